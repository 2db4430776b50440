"""What a plan does next, without an actor, a venue or a clock."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import (
    ErrorPolicy,
    ExecutionRequest,
    ExecutionStyle,
    ModelError,
    OnEnd,
    OrderState,
    OrderType,
    Pace,
    PlanState,
    Progressive,
    Quote,
    Side,
    TimeInForce,
    Twap,
    Withdraw,
    ended,
)
from engine.model.plans.plan import ChosenBy
from engine.model.plans.planning import MAX_REFUSALS
from engine.model.plans.prices import next_slice
from tests.support.adversary import PERPETUAL
from tests.support.plan_world import PlanWorld, progressive, twap, whole

D = Decimal


def prices(world: PlanWorld) -> list[str]:
    """Where the child stood, in order."""
    return [str(rest.price) for rest in world.plan.rests]


# ── what may be asked for ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (progressive(whole(time_in_force=TimeInForce.IOC)), "time_in_force"),
        (progressive(whole(partial_fill="cancel_remaining")), "partial_fill"),
        (progressive(whole(post_only=True), on_end=OnEnd.CROSS), "on_end"),
        (progressive(step_s=0.0), "step_s"),
        (progressive(step_fraction=D("NaN")), "step_fraction"),
        (progressive(max_steps=10_000), "max_steps"),
        (twap(interval_s=0.01), "interval_s"),
        (twap(duration_s=3600.0, interval_s=1.0), "duration_s / interval_s"),
        (twap(jitter=0.9), "jitter"),
        (ExecutionRequest(order=whole(), style=ExecutionStyle.TWAP), "twap"),
        (ExecutionRequest(order=whole(), progressive=Progressive()), "progressive"),
        (
            ExecutionRequest(order=whole(), style=ExecutionStyle.PROGRESSIVE, twap=Twap(duration_s=9, interval_s=1)),
            "twap",
        ),
    ],
)
def test_what_cannot_be_worked_is_refused_by_field(request_: ExecutionRequest, field: str) -> None:
    with pytest.raises(ModelError) as caught:
        request_.check()
    assert caught.value.field == field


def test_immediate_is_the_default_and_takes_any_order() -> None:
    ExecutionRequest(order=whole(time_in_force=TimeInForce.IOC)).check()
    assert ExecutionRequest(order=whole()).style is ExecutionStyle.IMMEDIATE


# ── progressive ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_starts_at_the_own_side_and_steps_towards_the_other_within_its_price() -> None:
    world = PlanWorld(progressive(whole(price="50003"), max_steps=9))
    for _ in range(4):
        world.look(seconds=5)
    assert prices(world) == ["50000", "50002", "50003"]
    assert [str(order.price) for order in world.live] == ["50003"]
    assert len(world.orders) == 1, "it moved by amends"


def test_without_parameters_it_has_the_usual_ones() -> None:
    bare = ExecutionRequest(order=whole(), style=ExecutionStyle.PROGRESSIVE)
    for request in (bare, progressive()):
        world = PlanWorld(request)
        for _ in range(9):
            world.look(seconds=5)
        assert (world.plan.step, len(world.done), world.plan.state) == (5, 5, PlanState.EXPIRED)


def test_without_a_price_of_its_own_it_stays_a_tick_short_of_the_other_side() -> None:
    world = PlanWorld(progressive(whole(price=None), max_steps=20, step_ticks=3))
    for _ in range(10):
        world.look(seconds=5)
    assert prices(world) == ["50000", "50001.5", "50003", "50003.5"]


def test_a_sell_is_the_mirror_image() -> None:
    world = PlanWorld(progressive(whole(side=Side.SELL, price="50001"), max_steps=9))
    for _ in range(4):
        world.look(seconds=5)
    assert prices(world) == ["50004", "50002", "50001"]


def test_a_distance_is_behind_the_own_side() -> None:
    pace = Pace(distance_ticks=4, step_s=1.0, by=ChosenBy.REQUEST)
    world = PlanWorld(progressive(step_ticks=2), pace=pace)
    world.look()
    world.look(seconds=1)
    assert prices(world) == ["49998", "49999"]


def test_it_follows_a_market_that_runs_away() -> None:
    world = PlanWorld(progressive(step_ticks=1))
    world.look()
    world.quote = Quote(D("50007"), D("50009"))
    world.look(seconds=5)
    assert prices(world) == ["50000", "50007"]


@pytest.mark.parametrize(("price", "kind"), [("50010", OrderType.LIMIT), (None, OrderType.MARKET)])
def test_at_its_end_it_takes_what_is_left_or_gives_it_up(price: str | None, kind: OrderType) -> None:
    world = PlanWorld(progressive(whole(price=price), max_steps=1, on_end=OnEnd.CROSS))
    world.look()
    world.fill(30)
    world.look(seconds=5)
    world.look(seconds=5)
    last = world.order
    assert (last.order_type, last.amount, last.price) == (kind, D(70), None if price is None else D(price))
    assert last.time_in_force is (TimeInForce.IOC if price else TimeInForce.GTC)
    world.fill()
    world.look()
    assert (world.plan.state, world.plan.worked.amount, world.plan.worked.taken) == (PlanState.DONE, D(100), D(70))

    world = PlanWorld(progressive(whole(price=price), max_steps=0))
    world.look()
    world.look(seconds=5)
    assert (world.plan.state, world.plan.reason) == (PlanState.EXPIRED, "its steps are used up")
    assert not world.live


def test_what_the_market_did_not_have_at_the_end_is_given_up() -> None:
    world = PlanWorld(progressive(max_steps=0, on_end=OnEnd.CROSS))
    world.look()
    world.look(seconds=5)
    world.fill(40)
    world.change(world.order.order_id, state=OrderState.CANCELLED)
    world.look()
    assert (world.plan.state, world.plan.remaining, len(world.orders)) == (PlanState.EXPIRED, D(60), 2)


def test_an_order_that_cannot_be_moved_is_replaced_by_one_for_what_is_left() -> None:
    world = PlanWorld(progressive(step_ticks=1))
    world.look()
    world.fill(30)
    world.do = lambda action: PlanWorld.do(world, action) if isinstance(action, Withdraw) or not world.live else None  # type: ignore[method-assign]
    for _ in range(4):
        world.look(seconds=5)
    assert [(str(o.price), o.amount, o.state) for o in list(world.orders.values())[:2]] == [
        ("50000", D(100), OrderState.CANCELLED),
        ("50000.5", D(70), OrderState.CANCELLED),
    ]


# ── TWAP ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_slices_are_whole_lots_and_add_up_to_the_amount() -> None:
    world = PlanWorld(twap(whole(amount=250)))
    for _ in range(6):
        world.look()
        world.fill()
        world.look()
        world.look(seconds=10)
    assert [int(order.amount) for order in world.orders.values()] == [40, 40, 40, 40, 40, 50]
    assert (world.plan.state, world.filled) == (PlanState.DONE, D(250))


def test_an_amount_of_few_lots_has_as_few_slices() -> None:
    assert PlanWorld(twap(whole(amount=30))).plan.slices == 3


def test_what_a_slice_did_not_fill_is_added_to_the_next() -> None:
    world = PlanWorld(twap(whole(amount=60)))
    world.look()
    world.look(seconds=10)
    assert [int(order.amount) for order in world.orders.values()] == [10, 20]
    assert len(world.live) == 1


def test_after_a_long_silence_it_does_not_catch_up_at_once() -> None:
    world = PlanWorld(twap(whole(amount=600)))
    world.look()
    world.fill()
    world.look(seconds=55)  # five of six slices later
    assert world.order.amount == D(200)
    world.fill()
    world.look(seconds=10)
    world.fill()
    world.look(seconds=10)
    assert [int(order.amount) for order in world.orders.values()] == [100, 200, 200, 100]


def test_a_passive_slice_rests_at_the_own_side_and_others_take() -> None:
    for passive, price, expected in ((True, None, "50000"), (True, "49990", "49990"), (False, "50010", "50010")):
        world = PlanWorld(twap(whole(price=price), passive=passive))
        world.look()
        assert str(world.order.price) == expected
    world = PlanWorld(twap(whole(price=None)))
    world.look()
    assert world.order.order_type is OrderType.MARKET


def test_the_rest_is_taken_or_given_up_when_its_time_is_over() -> None:
    for on_end, state in ((OnEnd.CROSS, PlanState.DONE), (OnEnd.CANCEL, PlanState.EXPIRED)):
        world = PlanWorld(twap(whole(price=None, amount=60), passive=True, on_end=on_end))
        for _ in range(60):
            world.look(seconds=2.5)
            if world.live and world.order.order_type is OrderType.MARKET:
                world.fill()
        assert world.plan.state is state
        assert world.filled == (D(60) if on_end is OnEnd.CROSS else D(0))


@given(
    lots=st.integers(1, 400),
    slices=st.integers(1, 50),
    jitter=st.floats(0, 0.5),
    catch_up=st.sampled_from([D(0), D("0.5"), D(1), D(3)]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_fills_when_the_slices_never_exceed_the_amount_and_reach_it(
    lots: int, slices: int, jitter: float, catch_up: Decimal, data: st.DataObject
) -> None:
    request = twap(whole(amount=lots * 10), duration_s=float(slices), interval_s=1.0, jitter=jitter, catch_up=catch_up)
    world = PlanWorld(request)
    luck = data.draw(st.randoms(use_true_random=False))
    for _ in range(slices * 4 + 8):
        world.roll = luck.random()
        world.look(seconds=luck.choice([0.1, 0.5, 1.0]))
        if world.plan.state.terminal:
            break
        if world.live:
            left = int(world.order.remaining / 10)
            world.fill(10 * luck.randint(0, left) if luck.random() < 0.3 else None)
        assert world.filled <= world.plan.amount
    if world.plan.state is PlanState.DONE:
        assert world.filled == world.plan.amount


def test_a_slice_of_the_schedule_is_its_share_of_the_whole() -> None:
    plan = PlanWorld(twap(whole(amount=70), duration_s=30.0)).plan
    assert [next_slice(plan, PERPETUAL, D(10), plan.started_at_ms + at) for at in (0, 10_000, 20_000)] == [
        (1, D(20)),
        (2, D(40)),
        (3, D(60)),
    ]


def test_a_slice_worth_too_little_waits_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = msgspec.structs.replace(
        PERPETUAL, inverse=False, lot_size=D("0.001"), min_amount=D("0.001"), min_notional=D(100)
    )
    monkeypatch.setattr("tests.support.plan_world.PERPETUAL", linear)
    order = msgspec.structs.replace(whole(), amount=D("0.010"))
    world = PlanWorld(twap(order, duration_s=50.0, interval_s=5.0))
    for _ in range(12):
        world.look()
        if world.live:
            world.fill()
        world.look(seconds=5)
    assert [str(child.amount) for child in world.orders.values()] == ["0.003", "0.003", "0.004"]
    assert world.plan.state is PlanState.DONE


def test_more_than_the_venue_takes_in_one_order_is_taken_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    small = msgspec.structs.replace(PERPETUAL, max_market_amount=D(40))
    monkeypatch.setattr("tests.support.plan_world.PERPETUAL", small)
    world = PlanWorld(progressive(whole(price=None), max_steps=0, on_end=OnEnd.CROSS))
    for _ in range(5):
        world.look(seconds=5)
        if world.order.order_type is OrderType.MARKET:
            world.fill()
    assert [int(child.amount) for child in world.orders.values()] == [100, 40, 40, 20]
    assert world.plan.state is PlanState.DONE


# ── both ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

EITHER = pytest.mark.parametrize("request_", [progressive(), twap()], ids=["progressive", "twap"])


@EITHER
def test_a_child_carries_what_the_whole_said_and_a_key_of_its_own(request_: ExecutionRequest) -> None:
    order = whole(reduce_only=True, strategy="s", request_key="mine", metadata={"a": "b"}, expires_after_s=50.0)
    world = PlanWorld(msgspec.structs.replace(request_, order=order))
    world.look()
    child = world.order
    assert (child.reduce_only, child.strategy, child.metadata) == (True, "s", {"a": "b"})
    assert (child.request_key, child.plan, child.expires_at_ms) == ("n-plan-1/1", "n-plan-1", None)
    assert (child.account, child.on_error, child.auto_cancel_s) == ("sim:main", ErrorPolicy.CANCEL, 0.0)


@EITHER
@pytest.mark.parametrize("state", [OrderState.WAITING, OrderState.SUBMITTING, OrderState.UNKNOWN])
def test_nothing_follows_a_child_whose_fate_is_not_known(request_: ExecutionRequest, state: OrderState) -> None:
    world = PlanWorld(request_)
    world.look()
    world.change(world.order.order_id, state=state)
    for _ in range(20):
        world.look(seconds=5)
    assert (len(world.orders), len(world.done)) == (1, 1)
    assert str(state) in world.waits_for


@EITHER
def test_stale_data_moves_nothing_and_is_said(request_: ExecutionRequest) -> None:
    world = PlanWorld(request_)
    world.quote = None
    world.look(seconds=30)
    assert (world.orders, world.waits_for) == ({}, "the book is stale")
    world.quote = Quote(D("50000"), D("50004"))
    world.look()
    assert len(world.orders) == 1


@EITHER
def test_a_child_cancelled_by_somebody_else_ends_the_plan(request_: ExecutionRequest) -> None:
    world = PlanWorld(request_)
    world.look()
    world.change(world.order.order_id, state=OrderState.CANCELLED, reason="by hand")
    world.look(seconds=60)
    assert (world.plan.state, len(world.orders)) == (PlanState.CANCELLED, 1)
    assert "by hand" in world.plan.reason


@EITHER
def test_a_plan_that_is_cancelled_is_over_when_its_child_is(request_: ExecutionRequest) -> None:
    world = PlanWorld(request_)
    world.look()
    world.plan = ended(world.plan, PlanState.CANCELLED, "enough")
    world.do = lambda _action: None  # type: ignore[method-assign,assignment]  # the cancel is under way
    step = world.decide()
    assert isinstance(step.do, Withdraw)
    world.plan = step.plan
    assert world.plan.state is PlanState.WORKING
    world.change(world.order.order_id, state=OrderState.CANCELLED)
    world.look()
    assert (world.plan.state, world.plan.reason) == (PlanState.CANCELLED, "enough")


@EITHER
def test_a_child_that_filled_while_its_plan_was_cancelled_counts(request_: ExecutionRequest) -> None:
    world = PlanWorld(request_)
    world.look()
    world.plan = ended(world.plan, PlanState.CANCELLED, "enough")
    world.fill()
    world.look()
    expected = PlanState.DONE if world.filled == world.plan.amount else PlanState.CANCELLED
    assert world.plan.state is expected


@EITHER
def test_a_venue_that_refuses_is_asked_a_few_times_only(request_: ExecutionRequest) -> None:
    world = PlanWorld(request_)
    world.refuse = lambda _request: True
    for _ in range(120):
        world.look(seconds=1)
    assert (world.plan.state, world.plan.reason) == (PlanState.FAILED, "no funds")
    assert len(world.orders) == MAX_REFUSALS


@EITHER
def test_time_ends_it(request_: ExecutionRequest) -> None:
    world = PlanWorld(msgspec.structs.replace(request_, order=whole(expires_after_s=12.0)))
    world.look()
    world.look(seconds=12)
    assert (world.plan.state, world.plan.reason) == (PlanState.EXPIRED, "its time is over")
    assert not world.live


@EITHER
def test_a_child_the_queue_did_not_take_is_asked_for_again_under_its_number(request_: ExecutionRequest) -> None:
    world = PlanWorld(request_)
    first = world.decide()
    world.plan = first.plan  # stored, and then nothing
    world.quote = Quote(D("49000"), D("49004"))
    world.look(seconds=7)
    world.look(seconds=7)
    assert list(world.orders) == ["n-plan-1/1"]
    assert all(rest.price < D(49500) for rest in world.plan.rests) or request_.twap


@given(data=st.data(), style=st.sampled_from(["progressive", "twap", "passive"]), buy=st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_happens_there_is_one_child_at_a_time_and_never_more_than_the_amount(
    data: st.DataObject, style: str, buy: bool
) -> None:
    order = whole(amount=200, side=Side.BUY if buy else Side.SELL, price="50002")
    parameters: dict[str, Any] = {"on_end": data.draw(st.sampled_from(OnEnd))}
    request = (
        progressive(order, max_steps=3, **parameters)
        if style == "progressive"
        else twap(order, passive=style == "passive", jitter=0.3, **parameters)
    )
    world = PlanWorld(request, max_life_s=90.0)
    luck = data.draw(st.randoms(use_true_random=False))
    world.refuse = lambda _request: luck.random() < 0.1
    lost = False
    for _ in range(80):
        world.roll = luck.random()
        bid = 50_000 + luck.randint(-8, 8)
        world.quote = None if luck.random() < 0.1 else Quote(D(bid), D(bid + luck.randint(1, 4)))
        if luck.random() < 0.1:  # killed after the decision was stored, before anything was done
            world.plan = world.decide().plan
        if world.plan.state.terminal:
            break
        world.look(seconds=luck.choice([0.0, 0.25, 2.0, 6.0]))
        if world.live:
            fate = luck.random()
            if lost or fate < 0.1:
                lost = fate < 0.6
                world.change(world.order.order_id, state=OrderState.UNKNOWN if lost else OrderState.OPEN)
            elif fate < 0.5:
                world.fill(10 * luck.randint(1, int(world.order.remaining / 10)))
            elif fate < 0.53:
                world.change(world.order.order_id, state=OrderState.EXPIRED)
        assert len(world.live) <= 1
        assert world.filled + sum(o.remaining for o in world.live) <= world.plan.amount
        for child in world.orders.values():
            assert child.price is not None
            assert child.side.sign * (child.price - D("50002")) <= 0, "beyond its price"
