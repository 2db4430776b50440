"""How long orders live and rest, what follows partial fills and refusals, and that silence is not trusted."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.messages import CancelOrder, QuiesceOrders, SubmitLinked, Unsynced
from actors.orders import OrdersSettings
from engine.model import (
    CancelState,
    ErrorPolicy,
    LinkKind,
    NonImmediateOrders,
    OrderLifecycle,
    OrderState,
    OrderType,
    PartialFill,
    Severity,
    Side,
)
from tests.support.adversary import HONEST, Behaviour, PlacedOrder
from tests.support.order_asks import NEVER, a_request, place
from tests.support.order_rig import Rig, order_rig

S = OrderState
D = Decimal
RETRY = OrdersSettings(order_lifecycle=OrderLifecycle(error_handling=ErrorPolicy.RETRY))


def lifecycle(**changes: Any) -> OrdersSettings:
    return OrdersSettings(order_lifecycle=OrderLifecycle(**changes))


def held(rig: Rig, order_id: str) -> PlacedOrder:
    (placed,) = (p for p in rig.venue.truth if p.client_order_id.startswith(f"{order_id}-"))
    return placed


def emergencies(rig: Rig) -> list[str]:
    return [notice.kind for notice in rig.notices() if notice.severity is Severity.EMERGENCY]


# ── the end of a life, the end of a rest ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("changes", [{}, {"delay_s": 50.0}, {"conditions": (NEVER,)}])
async def test_an_order_that_waits_when_its_life_is_over_expires(
    tmp_path: Path, autojump_clock: object, changes: dict[str, Any]
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.orders.tell(Unsynced("cut"))
        order_id = await place(rig, expires_after_s=60.0, **changes)
        await trio.sleep(59)
        assert rig.order(order_id).state is S.WAITING
        await trio.sleep(2)
        assert (rig.order(order_id).state, rig.order(order_id).reason) == (S.EXPIRED, "expired")


@pytest.mark.parametrize("restart", [False, True])
async def test_an_order_at_the_venue_is_cancelled_when_its_life_is_over(
    tmp_path: Path, autojump_clock: object, *, restart: bool
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, expires_after_s=60.0)
        await trio.sleep(30)
        if restart:
            rig.system.kill("root/orders")
            await trio.sleep(1)
            await rig.sync()
        else:
            rig.system.clock.jump(7200)
        await trio.sleep(27)
        assert rig.order(order_id).state is S.OPEN
        await trio.sleep(5)
        assert (rig.order(order_id).state, rig.order(order_id).reason) == (S.CANCELLED, "expired")
        assert held(rig, order_id).state is S.CANCELLED


async def test_an_order_of_unknown_fate_whose_life_is_over_is_cancelled_and_not_declared_dead(
    tmp_path: Path, autojump_clock: object
) -> None:
    behaviour = Behaviour(lose_reply=1.0, fill=0.0, query_fails=1.0)
    async with order_rig(tmp_path, seed=1, behaviour=behaviour) as rig:
        order_id = await place(rig, expires_after_s=60.0)
        await trio.sleep(100)
        order = rig.order(order_id)
        assert (order.state, order.cancel) == (S.UNKNOWN, CancelState.REQUESTED)
        rig.venue.behaviour = HONEST
        await trio.sleep(5)
        assert (rig.order(order_id).state, rig.order(order_id).reason) == (S.CANCELLED, "expired")


async def test_a_plain_order_rests_as_long_as_the_settings_say_from_the_venues_first_word(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=lifecycle(auto_cancel_timeout_s=100.0)) as rig:
        rig.orders.tell(Unsynced("cut"))
        order_id = await place(rig)
        await trio.sleep(60)
        await rig.sync()
        await trio.sleep(95)
        assert rig.order(order_id).state is S.OPEN
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await rig.sync()
        await trio.sleep(8)
        order = rig.order(order_id)
        assert (order.state, order.reason) == (S.CANCELLED, "it rested at the venue for as long as it may")


async def test_what_protects_a_position_is_not_taken_away_by_a_default(tmp_path: Path, autojump_clock: object) -> None:
    settings = lifecycle(auto_cancel_timeout_s=50.0, partial_fill_handling=PartialFill.CANCEL_REMAINING)
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        plain = await place(rig)
        sell: dict[str, Any] = {"side": Side.SELL, "price": D(50_100), "amount": D(30)}
        reducing = await place(rig, reduce_only=True, **sell)
        stop = await place(rig, order_type=OrderType.STOP_LIMIT, trigger_price=D(49_000), **sell)
        exits = (
            a_request(reduce_only=False, **sell),
            a_request(**{**sell, "price": D(50_200)}),
        )
        pair = await rig.orders.call(SubmitLinked(LinkKind.OCO, exits), timeout_s=10)
        own_word = await place(rig, reduce_only=True, auto_cancel_s=60.0, **sell)
        await trio.sleep(1)
        rig.venue.fill(held(rig, reducing), D(10))
        rig.venue.fill(held(rig, stop), D(10))
        await rig.sync()
        await trio.sleep(80)
        states = {order.order_id: order.state for order in rig.stored_orders()}
        assert states[plain] is S.CANCELLED
        assert {states[order_id] for order_id in (reducing, stop, *pair.order_ids)} == {S.OPEN}
        assert states[own_word] is S.CANCELLED


async def test_a_rest_without_end_is_one_that_ends_at_zero(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=lifecycle(auto_cancel_timeout_s=0.0)) as rig:
        default, own = await place(rig), await place(rig, auto_cancel_s=0.0)
        await trio.sleep(10_000)
        assert {rig.order(order_id).state for order_id in (default, own)} == {S.OPEN}


async def test_an_attempt_that_fails_after_its_deadline_ends_the_order_though_nothing_may_be_sent(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(not_sent=1.0, latency_s=4.0)) as rig:
        order_id = await place(rig, good_for_s=2.0)
        await trio.sleep(1)
        rig.orders.tell(Unsynced("cut"))
        await trio.sleep(5)
        assert (rig.order(order_id).state, rig.order(order_id).attempt) == (S.EXPIRED, 1)


async def test_an_order_that_is_found_after_its_rest_is_over_is_cancelled(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, auto_cancel_s=30.0)
        await trio.sleep(1)
        placed = rig.venue.truth.pop()
        await rig.sync()
        await trio.sleep(60)
        assert rig.order(order_id).state is S.UNKNOWN
        rig.venue.truth.append(placed)
        await trio.sleep(5)
        assert (rig.order(order_id).state, placed.state) == (S.CANCELLED, S.CANCELLED)


# ── partial fills ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("restart", [False, True])
async def test_the_rest_of_a_partial_fill_is_cancelled_when_the_order_says_so(
    tmp_path: Path, autojump_clock: object, *, restart: bool
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        gives_up = await place(rig, amount=D(30), partial_fill=PartialFill.CANCEL_REMAINING)
        waits = await place(rig, amount=D(30))
        await trio.sleep(1)
        if restart:
            rig.venue.behaviour = Behaviour(query_fails=1.0)
        for order_id in (gives_up, waits):
            rig.venue.fill(held(rig, order_id), D(10))
        await rig.sync()
        await trio.sleep(3)
        if restart:
            rig.system.kill("root/orders")
            rig.venue.behaviour = HONEST
            await trio.sleep(1)
            await rig.sync()
            await trio.sleep(3)
        order = rig.order(gives_up)
        assert (order.state, order.filled_amount, order.reason) == (S.CANCELLED, 10, "the rest after a partial fill")
        assert (rig.order(waits).state, rig.order(waits).filled_amount) == (S.OPEN, 10)
        assert rig.order(waits).cancel is CancelState.NONE


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refusal_that_may_pass_is_waited_out_with_a_new_id_each_time(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(refuse=1.0)) as rig:
        order_id = await place(rig, on_error=ErrorPolicy.RETRY, good_for_s=3.0)
        await trio.sleep(4)
        assert (rig.order(order_id).state, rig.order(order_id).refusals) == (S.WAITING, 1)
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await rig.sync()
        await trio.sleep(3)
        assert rig.order(order_id).refusals == 2, "5 seconds, then about 10, over a restart"
        rig.venue.behaviour = HONEST
        await trio.sleep(15)
        order = rig.order(order_id)
        assert (order.state, order.attempt, order.refusals) == (S.OPEN, 3, 2)
        assert rig.venue.refused == {f"{order_id}-1", f"{order_id}-2"}


async def test_refusals_are_retried_as_often_as_the_settings_say_and_no_more(
    tmp_path: Path, autojump_clock: object
) -> None:
    settings = OrdersSettings(
        order_lifecycle=OrderLifecycle(error_handling=ErrorPolicy.RETRY),
        non_immediate_orders=NonImmediateOrders(retry_attempts=2, retry_delay_s=1.0),
    )
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(refuse=1.0), settings=settings) as rig:
        order_id = await place(rig)
        await trio.sleep(60)
        order = rig.order(order_id)
        assert (order.state, order.attempt, order.refusals) == (S.REJECTED, 3, 2)
        assert "refused 3 times" in order.reason


async def test_what_can_never_be_taken_is_not_tried_again(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(refuse_for_good=1.0), settings=RETRY) as rig:
        order_id = await place(rig)
        await trio.sleep(60)
        assert (rig.order(order_id).state, rig.order(order_id).attempt) == (S.REJECTED, 1)


async def test_an_order_that_waits_out_a_refusal_can_be_cancelled(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(refuse=1.0), settings=RETRY) as rig:
        order_id = await place(rig)
        await trio.sleep(2)
        await rig.orders.call(CancelOrder(order_id), timeout_s=10)
        await trio.sleep(60)
        assert (rig.order(order_id).state, rig.order(order_id).attempt) == (S.CANCELLED, 1)


async def test_attempts_that_never_left_are_repeated_at_a_slower_and_slower_pace(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(not_sent=1.0)) as rig:
        order_id = await place(rig)
        await trio.sleep(100)
        attempts = rig.order(order_id).attempt
        assert 10 <= attempts <= 14, "1 s, 2 s, 4 s, 8 s and then every ten or twelve"


async def test_a_venue_that_does_not_accept_who_we_are_is_not_hammered_and_people_hear_it_once(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(unauthorised=1.0)) as rig:
        order_ids = [await place(rig, good_for_s=3600.0) for _ in range(20)]
        await trio.sleep(300)
        assert rig.venue.turned_away <= 20 + 8
        assert emergencies(rig) == ["account.not_authorised"]
        rig.venue.behaviour = HONEST
        await trio.sleep(600)
        assert {rig.order(order_id).state for order_id in order_ids} == {S.OPEN}


# ── a stream that is deaf ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 3, 200])
async def test_a_fill_the_stream_does_not_tell_is_known_soon_however_many_orders_rest(
    tmp_path: Path, autojump_clock: object, count: int
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_ids = [await place(rig) for _ in range(count)]
        await trio.sleep(30)
        asked = rig.venue.asked
        rig.venue.fill(held(rig, order_ids[-1]))
        await trio.sleep(12)
        assert rig.order(order_ids[-1]).state is S.FILLED
        assert rig.venue.asked - asked <= 2 * min(count, 4) + 2, "one list of all is asked for, not each of many"


async def test_orders_that_are_heard_of_are_not_asked_for(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        await place(rig)
        await trio.sleep(1)
        asked = rig.venue.asked
        for _ in range(20):
            await rig.sync()
            await trio.sleep(5)
        assert rig.venue.asked == asked


async def test_nothing_is_asked_while_the_node_is_out_of_step_or_stops(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        for _ in range(10):
            await place(rig)
        await trio.sleep(1)
        rig.orders.tell(Unsynced("cut"))
        await trio.sleep(0.1)
        asked = rig.venue.asked
        await trio.sleep(60)
        assert rig.venue.asked == asked
        await rig.sync()
        await rig.orders.call(QuiesceOrders(cancel=False), timeout_s=30)
        asked = rig.venue.asked
        await trio.sleep(60)
        assert rig.venue.asked == asked
