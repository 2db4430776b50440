"""Linked orders as rules: what may be asked for, what is due of it, and that nobody is left with less or more than was filled."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import (
    ZERO,
    CancelState,
    ErrorPolicy,
    ExitPolicy,
    Instrument,
    LinkedRequest,
    LinkKind,
    LinkSettings,
    ModelError,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Side,
    Trail,
    TriggerFill,
    bracket,
    closing,
    cut,
    due_exits,
    ends_here,
    ends_rivals,
    exposed,
    failed_exit,
    joined,
    linked_orders,
    overfilled,
    set_of,
    still_open,
    uncovered,
    waits_for_entry,
)
from tests.support.adversary import PERPETUAL

D = Decimal
S = OrderState
NOW_MS = 1_700_000_000_000


def ask(side: Side = Side.BUY, amount: int | str = 100, **more: Any) -> OrderRequest:
    return OrderRequest(instrument="sim:PERP", side=side, amount=D(amount), price=D(50_000), **more)


EXIT = ask(Side.SELL, reduce_only=True)
BRACKET = bracket(ask(), take_profit=D(51_000), stop=D(49_000))


def stored(request: LinkedRequest, policy: ExitPolicy = ExitPolicy.ALERT) -> list[Order]:
    ids = [f"n-{number}" for number in range(len(request.orders))]
    return list(linked_orders(request, order_ids=ids, account="sim:main", now_ms=NOW_MS, exit_failed=policy))


# ── shape ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("entry", LinkedRequest(kind=LinkKind.OCO, entry=ask(), exits=(EXIT, EXIT))),
        ("entry", LinkedRequest(kind=LinkKind.OTO, exits=(EXIT,))),
        ("entry", LinkedRequest(kind=LinkKind.OTOCO, exits=(EXIT, EXIT))),
        ("exits", LinkedRequest(kind=LinkKind.OCO, exits=(EXIT,))),
        ("exits", LinkedRequest(kind=LinkKind.OCO, exits=(EXIT,) * 6)),
        ("exits", LinkedRequest(kind=LinkKind.OTO, entry=ask(), exits=())),
        ("exits", LinkedRequest(kind=LinkKind.OTO, entry=ask(), exits=(EXIT,) * 6)),
        ("exits", LinkedRequest(kind=LinkKind.OTOCO, entry=ask(), exits=(EXIT,))),
        ("cancels_at", msgspec.structs.replace(BRACKET, cancels_at=TriggerFill.INCREMENTAL)),
        ("request_key", LinkedRequest(kind=LinkKind.OTO, entry=ask(), exits=(ask(Side.SELL, request_key="k"),))),
        ("account", LinkedRequest(kind=LinkKind.OTO, entry=ask(), exits=(ask(Side.SELL, account="other"),))),
        ("side", LinkedRequest(kind=LinkKind.OTOCO, entry=ask(), exits=(EXIT, ask()))),
        ("side", LinkedRequest(kind=LinkKind.OTO, entry=ask(), exits=(ask(reduce_only=True),))),
        ("amount", LinkedRequest(kind=LinkKind.OTOCO, entry=ask(), exits=(EXIT, ask(Side.SELL, 90)))),
        (
            "instrument",
            LinkedRequest(
                kind=LinkKind.OTOCO,
                entry=ask(),
                exits=(EXIT, msgspec.structs.replace(EXIT, instrument="sim:OTHER")),
            ),
        ),
    ],
)
def test_a_set_of_the_wrong_shape_is_refused_by_the_name_of_what_is_wrong(field: str, request_: LinkedRequest) -> None:
    with pytest.raises(ModelError) as refused:
        request_.check()
    assert refused.value.field == field


@pytest.mark.parametrize(
    "request_",
    [
        LinkedRequest(kind=LinkKind.OCO, exits=(EXIT,) * 5),
        LinkedRequest(kind=LinkKind.OTO, entry=ask(), exits=(ask(),)),
        LinkedRequest(kind=LinkKind.OTO, entry=ask(request_key="k"), exits=(EXIT,) * 5),
        BRACKET,
    ],
)
def test_a_set_of_a_right_shape_passes(request_: LinkedRequest) -> None:
    request_.check()


def test_a_bracket_has_exits_that_only_reduce_and_of_which_the_one_filled_wholly_ends_the_other() -> None:
    profit, loss = BRACKET.exits
    assert (profit.side, profit.order_type, profit.price) == (Side.SELL, OrderType.LIMIT, D(51_000))
    assert (loss.side, loss.order_type, loss.trigger_price) == (Side.SELL, OrderType.STOP_MARKET, D(49_000))
    assert profit.reduce_only and loss.reduce_only
    assert (BRACKET.kind, BRACKET.cancels_at) == (LinkKind.OTOCO, TriggerFill.COMPLETE_FILL)
    trailing = bracket(ask(), take_profit=D(51_000), stop=Trail(distance=D(500))).exits[1]
    assert (trailing.order_type, trailing.trail) == (OrderType.MARKET, Trail(distance=D(500)))


@pytest.mark.parametrize(
    ("side", "profit", "stop", "field"),
    [
        (Side.BUY, 49_500, 49_000, "take_profit"),
        (Side.BUY, 51_000, 50_500, "stop"),
        (Side.SELL, 50_500, 51_000, "take_profit"),
        (Side.SELL, 49_000, 49_500, "stop"),
    ],
)
def test_a_bracket_with_prices_on_the_wrong_side_is_refused(side: Side, profit: int, stop: int, field: str) -> None:
    with pytest.raises(ModelError) as refused:
        bracket(ask(side), take_profit=D(profit), stop=D(stop))
    assert refused.value.field == field


def test_a_stored_set_says_itself_who_depends_on_whom() -> None:
    entry, profit, loss = stored(BRACKET)
    assert entry.link and profit.link and loss.link
    assert entry.link.exits == ("n-1", "n-2") == set_of(entry)[1:]
    assert profit.link.after == loss.link.after == profit.link.entry == "n-0"
    assert (profit.link.rivals, loss.link.rivals) == (("n-2",), ("n-1",))
    assert profit.held and loss.held and not entry.held
    one, two, three = stored(LinkedRequest(kind=LinkKind.OCO, exits=(EXIT,) * 3))
    assert set_of(one) == ("n-0", "n-1", "n-2")
    assert set_of(two) == set_of(three) == ()
    assert two.link and two.link.rivals == ("n-0", "n-2")


def test_an_exit_that_reduces_waits_for_a_day_and_is_tried_again_if_so_told() -> None:
    assert [order.good_for_s for order in stored(BRACKET)] == [10.0, 86_400.0, 86_400.0]
    assert [order.on_error for order in stored(BRACKET, ExitPolicy.RETRY)] == [None, *[ErrorPolicy.RETRY] * 2]
    assert [order.on_error for order in stored(BRACKET)] == [None, None, None]


# ── what an entry releases ────────────────────────────────────────────────────────────────────────────────────────────

COARSE = msgspec.structs.replace(PERPETUAL, lot_size=D(10), min_amount=D(30))


class Desk:
    """Orders by id, as a queue keeps them."""

    def __init__(self, request: LinkedRequest, instrument: Instrument = PERPETUAL, max_slices: int = 20) -> None:
        self.orders = {order.order_id: order for order in stored(request)}
        self.instrument = instrument
        self.rules = LinkSettings(max_slices=max_slices)
        self.numbers = iter(range(100, 10_000))
        self.entry_id = next(iter(self.orders))

    @property
    def entry(self) -> Order:
        return self.orders[self.entry_id]

    @property
    def exits(self) -> list[Order]:
        return [order for order in self.orders.values() if order.order_id != self.entry_id]

    def templates(self) -> list[Order]:
        assert self.entry.link
        return [self.orders[order_id] for order_id in self.entry.link.exits]

    def fill(self, amount: Decimal) -> None:
        filled = self.entry.filled_amount + amount
        state = S.FILLED if filled >= self.entry.amount else S.OPEN
        self._entry(filled_amount=filled, state=self.entry.state if self.entry.state.terminal else state)

    def end(self, state: OrderState = S.CANCELLED) -> None:
        if not self.entry.state.terminal:
            self._entry(state=state)

    def _entry(self, **changes: Any) -> None:
        self.orders[self.entry_id] = msgspec.structs.replace(self.entry, **changes)

    def advance(self) -> Sequence[Order]:
        changed = due_exits(
            self.entry,
            [order for order in self.templates() if waits_for_entry(order)],
            instruments={"sim:PERP": self.instrument},
            rules=self.rules,
            next_id=lambda: f"n-{next(self.numbers)}",
            now_ms=NOW_MS,
        )
        self.orders.update((order.order_id, order) for order in changed)
        return changed

    def free(self, side_of: Order) -> Decimal:
        """How much of the exit `side_of` stands for is free to leave."""
        return sum(
            (
                order.amount
                for order in self.exits
                if order.state is S.WAITING and not waits_for_entry(order) and same_leg(order, side_of)
            ),
            ZERO,
        )


def same_leg(order: Order, other: Order) -> bool:
    return (order.order_type, order.price) == (other.order_type, other.price)


steps = st.lists(
    st.one_of(st.integers(1, 40).map(lambda lots: ("fill", lots)), st.sampled_from([("advance", 0), ("end", 0)])),
    max_size=40,
)


@given(
    steps,
    st.integers(3, 40),
    st.sampled_from(list(TriggerFill)),
    st.sampled_from([PERPETUAL, COARSE]),
    st.integers(1, 20),
)
def test_whatever_order_fills_and_ends_come_in_as_much_is_released_as_was_filled(
    todo: list[tuple[str, int]], lots: int, releases_at: TriggerFill, instrument: Instrument, max_slices: int
) -> None:
    request = bracket(ask(amount=lots * 10), take_profit=D(51_000), stop=D(49_000))
    desk = Desk(msgspec.structs.replace(request, releases_at=releases_at), instrument, max_slices)
    for what, lots_filled in [*todo, ("end", 0), ("advance", 0)]:
        if what == "fill" and not desk.entry.state.terminal:
            desk.fill(min(D(lots_filled * 10), desk.entry.remaining))
        elif what == "end":
            desk.end()
        else:
            desk.advance()
            assert desk.advance() == (), "done again, it changes nothing"
        filled = desk.entry.filled_amount
        for leg in desk.templates():
            free = desk.free(leg)
            if releases_at is TriggerFill.FIRST_HIT:
                assert free in (ZERO, desk.entry.amount)
            else:
                assert free <= filled, "never more exits than there is to take back"
            if what == "advance" and releases_at is TriggerFill.INCREMENTAL and waits_for_entry(leg):
                assert leg.link and leg.link.slices <= max_slices
                assert free + leg.amount == desk.entry.amount
        assert all(order.amount >= instrument.min_amount or order.state is S.CANCELLED for order in desk.exits)
    for leg in desk.templates():
        assert not waits_for_entry(leg)
        rest = desk.entry.filled_amount - desk.free(leg)
        if releases_at is not TriggerFill.FIRST_HIT:
            assert rest < instrument.min_amount
            assert uncovered(desk.entry, desk.templates()) == rest
        if leg.state is S.CANCELLED and not rest:
            assert leg.reason == f"its entry ended with {desk.entry.remaining} unfilled"


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(2, 20))
def test_with_slices_running_out_what_waits_for_more_is_little(fills: list[int], max_slices: int) -> None:
    lots = 1000
    desk = Desk(bracket(ask(amount=lots * 10), take_profit=D(51_000), stop=D(49_000)), max_slices=max_slices)
    for filled in fills:
        desk.fill(D(filled * 10))
        desk.advance()
        waiting = desk.entry.filled_amount - desk.free(desk.templates()[0])
        assert waiting <= D(lots * 10) / max(1, max_slices // 2) + 300


def test_slices_of_one_moment_are_rivals_and_the_last_one_is_the_held_order_itself() -> None:
    desk = Desk(BRACKET)
    desk.fill(D(30))
    profit_slice, profit, loss_slice, loss = desk.advance()
    assert profit_slice.link and loss_slice.link
    assert profit_slice.link.rivals == (loss_slice.order_id,)
    assert loss_slice.link.rivals == (profit_slice.order_id,)
    assert (profit_slice.amount, profit.amount, loss_slice.amount, loss.amount) == (30, 70, 30, 70)
    assert not profit_slice.held and profit.held
    desk.fill(D(70))
    profit, loss = desk.advance()
    assert (profit.order_id, loss.order_id) == ("n-1", "n-2")
    assert (profit.amount, loss.amount) == (70, 70)
    assert profit.link and profit.link.rivals == ("n-2",) and not profit.held


def test_exits_that_are_shares_of_their_entry_are_released_in_proportion() -> None:
    halves = LinkedRequest(kind=LinkKind.OTO, entry=ask(), exits=(ask(Side.SELL, 50), ask(Side.SELL, 50)))
    desk = Desk(halves)
    desk.fill(D(50))
    desk.advance()
    assert [order.amount for order in desk.exits] == [30, 30, 20, 20], "rounded down to the lot"
    desk.end()
    assert desk.advance() == tuple(desk.templates())
    assert {order.state for order in desk.templates()} == {S.CANCELLED}
    assert uncovered(desk.entry, desk.templates()) == D(10)


def test_an_entry_that_grew_is_covered_as_far_as_it_is_filled() -> None:
    desk = Desk(BRACKET)
    desk._entry(amount=D(200))
    for _ in range(20):
        desk.fill(D(10))
        desk.advance()
        assert desk.free(desk.templates()[0]) == desk.entry.filled_amount
    assert desk.entry.state is S.FILLED
    assert uncovered(desk.entry, desk.templates()) == ZERO


def test_conditions_of_a_released_exit_must_hold_as_well() -> None:
    trailing = bracket(ask(), take_profit=D(51_000), stop=Trail(distance=D(500)))
    desk = Desk(trailing)
    desk.fill(D(100))
    profit, loss = desk.advance()
    assert not profit.held
    assert loss.held and not waits_for_entry(loss)


def test_a_late_fill_of_an_entry_that_is_over_is_known_to_be_uncovered() -> None:
    desk = Desk(BRACKET)
    desk.fill(D(40))
    desk.advance()
    desk.end()
    desk.advance()
    assert uncovered(desk.entry, desk.templates()) == ZERO
    desk.fill(D(20))
    assert desk.advance() == ()
    assert uncovered(desk.entry, desk.templates()) == D(20)


# ── rivals ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def rivals(cancels_at: TriggerFill, *filled: int) -> list[Order]:
    orders = stored(LinkedRequest(kind=LinkKind.OCO, exits=(EXIT,) * len(filled), cancels_at=cancels_at))
    return [
        msgspec.structs.replace(order, filled_amount=D(amount), state=S.FILLED if amount == 100 else S.OPEN)
        for order, amount in zip(orders, filled, strict=True)
    ]


@pytest.mark.parametrize(
    ("cancels_at", "filled", "ends"),
    [
        (TriggerFill.FIRST_HIT, 0, False),
        (TriggerFill.FIRST_HIT, 10, True),
        (TriggerFill.FIRST_HIT, 100, True),
        (TriggerFill.COMPLETE_FILL, 0, False),
        (TriggerFill.COMPLETE_FILL, 90, False),
        (TriggerFill.COMPLETE_FILL, 100, True),
    ],
)
def test_a_rival_ends_the_others_when_it_is_filled_as_much_as_was_said(
    cancels_at: TriggerFill, filled: int, ends: bool
) -> None:
    assert ends_rivals(rivals(cancels_at, filled, 0)[0]) is ends


@pytest.mark.parametrize(
    ("cancels_at", "filled", "too_much"),
    [
        (TriggerFill.FIRST_HIT, (10, 0), False),
        (TriggerFill.FIRST_HIT, (10, 10), True),
        (TriggerFill.COMPLETE_FILL, (30, 70), False),
        (TriggerFill.COMPLETE_FILL, (40, 70), True),
        (TriggerFill.COMPLETE_FILL, (0, 100), False),
    ],
)
def test_fills_of_rivals_that_crossed_are_seen(
    cancels_at: TriggerFill, filled: tuple[int, int], too_much: bool
) -> None:
    assert overfilled(rivals(cancels_at, *filled)) is too_much


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def released() -> tuple[Order, Order]:
    desk = Desk(BRACKET)
    desk.fill(D(100))
    profit, loss = desk.advance()
    return profit, loss


def test_only_a_released_exit_that_was_refused_or_not_sent_in_time_has_failed() -> None:
    _, held, _ = stored(BRACKET)
    profit, _ = released()
    assert not failed_exit(msgspec.structs.replace(held, state=S.EXPIRED))
    assert not failed_exit(msgspec.structs.replace(profit, state=S.CANCELLED))
    assert failed_exit(msgspec.structs.replace(profit, state=S.REJECTED))
    assert failed_exit(msgspec.structs.replace(profit, state=S.EXPIRED))
    meant = msgspec.structs.replace(profit, state=S.EXPIRED, expires_at_ms=NOW_MS, updated_at_ms=NOW_MS + 1)
    assert not failed_exit(meant)


def test_a_failed_stop_leaves_the_position_unprotected_and_a_failed_profit_does_not_while_the_stop_lives() -> None:
    profit, loss = released()
    refused = msgspec.structs.replace(loss, state=S.REJECTED)
    assert exposed(refused, [profit]) == D(100)
    partly = msgspec.structs.replace(profit, filled_amount=D(40))
    assert exposed(refused, [partly]) == D(60)
    assert exposed(msgspec.structs.replace(profit, state=S.REJECTED), [loss]) == ZERO
    gone = msgspec.structs.replace(loss, state=S.CANCELLED)
    assert exposed(msgspec.structs.replace(profit, state=S.REJECTED), [gone]) == D(100)


def test_what_is_being_closed_for_one_failed_stop_is_not_exposed_by_another() -> None:
    profit, loss = released()
    market = closing(loss, [profit], D(60), order_id="n-9", now_ms=NOW_MS)
    other = msgspec.structs.replace(loss, order_id="n-8", state=S.REJECTED)
    assert exposed(other, [profit, market]) == D(40)
    assert exposed(other, [profit, msgspec.structs.replace(market, filled_amount=D(20))]) == D(40)
    ended = msgspec.structs.replace(market, filled_amount=D(20), state=S.CANCELLED)
    assert exposed(other, [profit, ended]) == D(80)


def test_what_stands_in_for_a_failed_exit_only_reduces_and_ends_its_rivals() -> None:
    profit, loss = released()
    order = closing(loss, [profit], D(60), order_id="n-9", now_ms=NOW_MS)
    assert (order.side, order.amount, order.order_type, order.reduce_only) == (Side.SELL, 60, OrderType.MARKET, True)
    assert order.link and order.link.rivals == (profit.order_id,) and order.link.closes == loss.order_id
    assert ends_rivals(msgspec.structs.replace(order, filled_amount=D(10), cancel=CancelState.NONE))


@pytest.mark.parametrize(("profit_took", "other_took", "left"), [(0, 0, 100), (30, 20, 50)])
@pytest.mark.parametrize("entry_filled", [100, 60])
def test_what_is_open_of_a_failed_exit_is_what_nobody_took_of_it(
    profit_took: int, other_took: int, left: int, entry_filled: int
) -> None:
    """Where the venue kept the set its exits were never larger than what the entry was filled, whatever they say."""
    profit, loss = released()
    entry = msgspec.structs.replace(stored(BRACKET)[0], filled_amount=D(entry_filled))
    order = closing(loss, [profit], D(60), order_id="n-9", now_ms=NOW_MS)
    other = msgspec.structs.replace(order, order_id="n-8", filled_amount=D(other_took))
    taken = msgspec.structs.replace(profit, filled_amount=D(profit_took))
    assert still_open(order, loss, entry, [taken, other]) == left
    assert still_open(msgspec.structs.replace(order, filled_amount=D(5)), loss, entry, [taken, other]) == left - 5
    kept = msgspec.structs.replace(loss, link=msgspec.structs.replace(loss.link, native=True, share=D(100)))
    assert still_open(order, kept, entry, [taken, other]) == left - (100 - entry_filled)


@pytest.mark.parametrize("cancels_at", [TriggerFill.FIRST_HIT, TriggerFill.COMPLETE_FILL])
def test_what_closes_the_rest_of_a_position_crossed_nothing(cancels_at: TriggerFill) -> None:
    profit, loss = rivals(cancels_at, 40, 0)
    market = closing(loss, [profit], D(60), order_id="n-9", now_ms=NOW_MS)
    assert not overfilled([profit, loss, msgspec.structs.replace(market, filled_amount=D(60))])
    assert overfilled([profit, loss, msgspec.structs.replace(market, filled_amount=D(70))])
    assert not ends_here(profit, market), "a part that was taken leaves the rest unprotected"
    assert ends_here(msgspec.structs.replace(market, filled_amount=D(1)), profit)


def test_what_is_cut_is_the_same_order_with_less_to_close() -> None:
    profit, loss = released()
    order = closing(loss, [profit], D(60), order_id="n-9", now_ms=NOW_MS)
    smaller = cut(order, D(30), now_ms=NOW_MS + 1)
    assert smaller == msgspec.structs.replace(
        closing(loss, [profit], D(30), order_id="n-9", now_ms=NOW_MS), updated_at_ms=NOW_MS + 1
    )


def test_what_stands_in_for_a_failed_exit_is_a_rival_of_all_that_are_not_over() -> None:
    profit, loss = released()
    order = closing(loss, [profit], D(60), order_id="n-9", now_ms=NOW_MS)
    over = msgspec.structs.replace(profit, order_id="n-8", state=S.CANCELLED)
    (after,) = joined([profit, over], order, now_ms=NOW_MS + 1)
    assert after.link and after.link.rivals == (loss.order_id, "n-9")
    assert msgspec.structs.replace(after, link=profit.link, updated_at_ms=profit.updated_at_ms) == profit
