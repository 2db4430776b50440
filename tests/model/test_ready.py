"""Whose turn it is: nobody starves, nobody is lost, equals leave in the order they came."""

from collections.abc import Callable
from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.model import Lane, Order, OrderRequest, Priority, ReadyQueue, Side, free_since_ms, new_order

PATIENCE_MS = {Priority.HIGH: 0, Priority.NORMAL: 5_000, Priority.LOW: 30_000}
NAMES = ("v:A", "v:B", "v:C")


def an_order(
    number: int,
    priority: Priority = Priority.NORMAL,
    at_ms: int = 0,
    instrument: str = "v:A",
    *,
    reduce_only: bool = False,
) -> Order:
    request = OrderRequest(
        instrument=instrument,
        side=Side.BUY,
        amount=Decimal(1),
        price=Decimal(1),
        priority=priority,
        reduce_only=reduce_only,
        good_for_s=7.5,
    )
    return new_order(request, order_id=f"node-{number}", account="v:main", now_ms=at_ms)


def key(order: Order) -> tuple[int, int]:
    return free_since_ms(order) + PATIENCE_MS[order.priority], int(order.order_id.partition("-")[2])


def always(_lane: Lane) -> bool:
    return True


def drain(ready: ReadyQueue, may_leave: Callable[[Lane], bool] = always) -> list[str]:
    left = []
    while (order_id := ready.take(may_leave)) is not None:
        left.append(order_id)
    return left


orders = st.lists(
    st.tuples(st.sampled_from(Priority), st.integers(0, 100_000), st.sampled_from(NAMES), st.booleans()), max_size=40
).map(
    lambda rows: [
        an_order(n, priority, at_ms, name, reduce_only=reducing)
        for n, (priority, at_ms, name, reducing) in enumerate(rows)
    ]
)


@given(orders, st.randoms(use_true_random=False))
def test_whatever_order_they_come_in_they_leave_by_their_keys(queued: list[Order], chance: object) -> None:
    """So a restart, which finds them by age in the store, sends them as the life before would have."""
    ready = ReadyQueue(PATIENCE_MS)
    shuffled = list(queued)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for order in shuffled:
        ready.add(order)
    assert drain(ready) == [order.order_id for order in sorted(queued, key=key)]
    assert len(ready) == 0


@given(st.sampled_from(Priority), st.integers(0, 10_000))
def test_equal_orders_leave_in_the_order_they_were_asked_for(priority: Priority, at_ms: int) -> None:
    ready = ReadyQueue(PATIENCE_MS)
    for number in (3, 1, 2, 10):
        ready.add(an_order(number, priority, at_ms))
    assert drain(ready) == ["node-1", "node-2", "node-3", "node-10"]


def test_under_a_never_ending_stream_of_high_orders_a_low_one_leaves_after_its_patience() -> None:
    ready = ReadyQueue(PATIENCE_MS)
    ready.add(an_order(0, Priority.LOW, at_ms=0))
    for second in range(1, 100):
        ready.add(an_order(2 * second, Priority.HIGH, at_ms=second * 1000))
        ready.add(an_order(2 * second + 1, Priority.HIGH, at_ms=second * 1000))
        if ready.take(always) == "node-0":
            assert second == 2 * 29 + 1  # two came a second and one left: those free within 30 s of it went first
            return
    raise AssertionError("it starved")


def test_a_closed_lane_holds_up_nobody_else_and_goes_on_where_it_was() -> None:
    ready = ReadyQueue(PATIENCE_MS)
    for number in range(4):
        ready.add(an_order(number, instrument=NAMES[number % 2]))
    assert drain(ready, lambda lane: lane.instrument != "v:A") == ["node-1", "node-3"]
    ready.add(an_order(4))
    assert ready.take(always) is None, "it was found closed, and nobody said that it opened"
    ready.reopen("v:A")
    assert drain(ready) == ["node-0", "node-2", "node-4"]


def test_what_only_reduces_passes_orders_of_its_instrument_that_may_not_leave() -> None:
    ready = ReadyQueue(PATIENCE_MS)
    ready.add(an_order(1))
    ready.add(an_order(2, reduce_only=True))
    assert drain(ready, lambda lane: lane.reduce_only) == ["node-2"]
    ready.reopen_all()
    assert drain(ready) == ["node-1"]


def test_an_attempt_that_comes_back_stands_where_it_stood() -> None:
    ready = ReadyQueue(PATIENCE_MS)
    first, second = an_order(1, at_ms=10), an_order(2, at_ms=20)
    ready.add(first)
    ready.add(second)
    assert ready.take(always) == first.order_id
    ready.add(msgspec.structs.replace(first, attempt=1, updated_at_ms=99))
    assert drain(ready) == [first.order_id, second.order_id]


class Queue(RuleBasedStateMachine):
    """Against a list that is sorted anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = ReadyQueue(PATIENCE_MS)
        self.inside: dict[str, Order] = {}
        self.shut: set[str] = set()
        self.number = 0
        self.out: list[Order] = []

    @rule(
        priority=st.sampled_from(Priority), at_ms=st.integers(0, 60_000), name=st.sampled_from(NAMES), r=st.booleans()
    )
    def add(self, priority: Priority, at_ms: int, name: str, r: bool) -> None:
        self.number += 1
        self._add(an_order(self.number, priority, at_ms, name, reduce_only=r))

    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        if self.out:
            self._add(self.out.pop(data.draw(st.integers(0, len(self.out) - 1))))

    def _add(self, order: Order) -> None:
        self.ready.add(order)
        self.ready.add(order)
        self.inside[order.order_id] = order

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        if self.inside:
            order_id = data.draw(st.sampled_from(sorted(self.inside)))
            self.ready.drop(order_id)
            self.ready.drop(order_id)
            self.out.append(self.inside.pop(order_id))

    @rule(name=st.sampled_from(NAMES))
    def shut_or_open(self, name: str) -> None:
        if name in self.shut:
            self.shut.discard(name)
            self.ready.reopen(name)
        else:
            self.shut.add(name)

    @rule(count=st.integers(1, 5))
    def take(self, count: int) -> None:
        for _ in range(count):
            able = [order for order in self.inside.values() if order.instrument not in self.shut]
            first = min(able, key=key, default=None)
            taken = self.ready.take(lambda lane: lane.instrument not in self.shut)
            assert taken == (first.order_id if first else None)
            if first is not None:
                self.out.append(self.inside.pop(first.order_id))

    @invariant()
    def nothing_is_lost_and_nothing_kept(self) -> None:
        assert set(self.ready) == set(self.inside)
        assert len(self.ready) == len(self.inside)
        assert self.ready._entries <= 2 * len(self.inside) + 2 * 64


def lane_of(order: Order) -> Lane:
    return Lane(order.instrument, order.reduce_only)


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_dropping_and_adding_for_ever_keeps_no_more_than_is_there() -> None:
    ready = ReadyQueue(PATIENCE_MS)
    for number in range(5_000):
        ready.add(an_order(number, at_ms=-number))
        if number >= 10:
            ready.drop(f"node-{number - 10}")
    assert len(ready) == 10
    assert ready._entries <= 2 * 10 + 64 + 1
    assert len(ready._heads) <= 2 * 10 + 64 + 1
