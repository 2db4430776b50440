"""What went wrong with orders elsewhere, each lesson a test by its number: L1-L4, L6, L9-L12.

The order queue is real, its store is real, the venue is an adversary in memory or the simulated one over the wire.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.messages import (
    Accepted,
    AcceptedLinked,
    AmendOrder,
    CancelAll,
    CancelOrder,
    GetOrdersStatus,
    OrdersStatus,
    QuiesceOrders,
    SetGate,
    SubmitBatch,
    SubmitLinked,
    SubmitOrder,
    Unsynced,
)
from actors.orders import OrdersSettings, QueueManagement
from engine.kernel import ActorDown, CallFailed
from engine.model import (
    Denial,
    ExitPolicy,
    GateState,
    LinkKind,
    LinkSettings,
    Order,
    OrderLifecycle,
    OrderState,
    OrderType,
    ProofRules,
    Severity,
    Side,
    TriggerBy,
    TriggerFill,
)
from engine.simulator import faults
from engine.venues.base import Refused
from tests.support.adversary import HONEST, Behaviour, PlacedOrder
from tests.support.binance_node import ORDERS as BINANCE_ORDERS
from tests.support.binance_node import SYMBOL, accounts, binance_node, node_at
from tests.support.live_node import simulator
from tests.support.order_asks import a_request, place
from tests.support.order_rig import Rig, order_rig

S = OrderState
D = Decimal
AWAY = Behaviour(query_fails=1.0, not_sent=1.0, lose_cancel=1.0)
HOUR_S = 3600.0
#: Looks seldom, so that hours pass quickly.
PATIENT = OrdersSettings(
    ask_s=60.0,
    tick_s=30.0,
    retry_s=60.0,
    retry_max_s=600.0,
    queue_management=QueueManagement(processing_interval_s=60.0),
    order_lifecycle=OrderLifecycle(monitoring_interval_s=300.0),
)


async def refusal(rig: Rig, **changes: Any) -> str:
    answer = await rig.orders.call(SubmitOrder(a_request(**changes)), timeout_s=10)
    assert isinstance(answer, Denial), answer
    return answer.code


async def status(rig: Rig) -> OrdersStatus:
    return await rig.orders.call(GetOrdersStatus(), timeout_s=10)


def placed(rig: Rig, order_id: str) -> list[PlacedOrder]:
    return [held for held in rig.venue.truth if held.client_order_id.startswith(f"{order_id}-")]


# ── L1: a failed query is not an empty answer ─────────────────────────────────────────────────────────────────────────


async def test_l01_questions_nobody_answers_change_nothing_and_prove_nothing(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=PATIENT) as rig:
        resting = await place(rig)
        await trio.sleep(1)
        rig.venue.behaviour = Behaviour(lose_reply=1.0, query_fails=1.0, fill=0.0)
        lost = await place(rig)
        await trio.sleep(HOUR_S / 2)
        assert (rig.order(resting).state, rig.order(lost).state) == (S.OPEN, S.UNKNOWN)
        rig.venue.behaviour = HONEST
        await trio.sleep(120)
        assert (rig.order(resting).state, rig.order(lost).state) == (S.OPEN, S.OPEN)
        assert [len(placed(rig, order_id)) for order_id in (resting, lost)] == [1, 1]


async def test_l01_unanswered_questions_are_not_counted_towards_the_proof(
    tmp_path: Path, autojump_clock: object
) -> None:
    """The first denial after long silence is the first one."""
    settings = OrdersSettings(proof=ProofRules(margin_s=6.0, repeat_s=60.0), ask_s=20.0)
    async with order_rig(
        tmp_path, seed=1, behaviour=Behaviour(lose_request=1.0, query_fails=1.0), settings=settings
    ) as rig:
        order_id = await place(rig, good_for_s=10.0)
        await trio.sleep(HOUR_S / 4)
        rig.venue.behaviour = HONEST
        await trio.sleep(50)
        assert rig.order(order_id).state is S.UNKNOWN
        await trio.sleep(60)
        assert rig.order(order_id).state is S.EXPIRED
        assert placed(rig, order_id) == []


# ── L2: an outage longer than any patience invents no end ─────────────────────────────────────────────────────────────


async def test_l02_after_hours_without_the_venue_every_order_is_what_it_was(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=PATIENT) as rig:
        resting, unwanted = [await place(rig, auto_cancel_s=0.0) for _ in range(2)]
        await trio.sleep(1)
        rig.venue.behaviour = Behaviour(lose_reply=1.0, query_fails=1.0, fill=0.0)
        lost = await place(rig, auto_cancel_s=0.0)
        await trio.sleep(1)
        rig.venue.behaviour = AWAY
        await rig.orders.call(CancelOrder(unwanted), timeout_s=10)
        for _ in range(4):
            await trio.sleep(HOUR_S / 2)
            rig.system.kill("root/orders")
        await trio.sleep(10)
        states = [rig.order(order_id).state for order_id in (resting, unwanted, lost)]
        assert states == [S.OPEN, S.OPEN, S.UNKNOWN]
        rig.venue.behaviour = HONEST
        await rig.sync()
        await trio.sleep(300)
        states = [rig.order(order_id).state for order_id in (resting, unwanted, lost)]
        assert states == [S.OPEN, S.CANCELLED, S.OPEN]
        assert [len(placed(rig, order_id)) for order_id in (resting, unwanted, lost)] == [1, 1, 1]


# ── L3: a submit without an answer ────────────────────────────────────────────────────────────────────────────────────


async def test_l03_an_order_whose_reply_was_lost_is_adopted_and_not_sent_again(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(lose_reply=1.0, fill=1.0)) as rig:
        order_id = await place(rig)
        await trio.sleep(0.03)
        assert rig.order(order_id).state is S.UNKNOWN
        await trio.sleep(300)
        await rig.sync()
        assert rig.order(order_id).state is S.FILLED
        assert [held.client_order_id for held in rig.venue.truth] == [f"{order_id}-1"]


async def test_l03_a_venue_that_answers_too_late_is_not_asked_twice(tmp_path: Path, autojump_clock: object) -> None:
    """The request's own patience ends long before the venue executes it."""
    settings = OrdersSettings(request_timeout_s=1.0)
    late = Behaviour(execute_late=1.0, fill=0.0)
    async with order_rig(tmp_path, seed=3, behaviour=late, settings=settings) as rig:
        order_id = await place(rig)
        await trio.sleep(30)
        await rig.sync()
        await trio.sleep(5)
        assert rig.order(order_id).state is S.OPEN
        assert [held.client_order_id for held in rig.venue.truth] == [f"{order_id}-1"]


# ── L4: killed between the store and the venue ────────────────────────────────────────────────────────────────────────


class Struck(Exception):
    """The process ends here."""


@pytest.mark.parametrize(
    "label",
    ["accept.decided", "accept.durable", "submit.decided", "submit.durable", "submit.answered", "answer.durable"],
)
async def test_l04_an_order_that_was_asked_for_once_is_placed_once_wherever_the_queue_is_killed(
    tmp_path: Path, autojump_clock: object, label: str
) -> None:
    struck: list[str] = []

    def point(at: str) -> None:
        if at == label and not struck:
            struck.append(at)
            raise Struck(at)

    settings = OrdersSettings(proof=ProofRules(margin_s=6.0, repeat_s=1.0))
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(fill=1.0), settings=settings, point=point) as rig:
        request = SubmitOrder(a_request(request_key="once"))
        answer: Any = None
        while not isinstance(answer, Accepted):  # who hears nothing asks again with the same key
            try:
                answer = await rig.orders.call(request, timeout_s=10)
            except (ActorDown, CallFailed):
                await trio.sleep(1)
        await trio.sleep(1)
        await rig.sync()
        await rig.until_over(300)
        assert struck == [label]
        (order,) = rig.stored_orders()
        assert (order.order_id, order.state) == (answer.order_id, S.FILLED)
        assert len(rig.venue.truth) == 1


# ── L6: conditional orders live elsewhere, and one "not found" is no proof ────────────────────────────────────────────


async def test_l06_a_stop_whose_reply_was_lost_is_found_where_stops_live(tmp_path: Path) -> None:
    async with binance_node(tmp_path) as node:
        node.sim.faults.add(faults.LoseReply(method="POST /fapi/v1/algoOrder", count=1))
        stop = await node.submit(
            side=Side.SELL, order_type=OrderType.STOP_MARKET, trigger_price=node.at("0.9"), trigger_by=TriggerBy.MARK
        )
        found = await node.until_state(stop, S.OPEN)
        assert found.attempt == 1
        assert node.truth["orders"] == {}, "a stop is no order yet"
        assert len(node.truth["algos"]) == 1
        await node.cancel(stop)
        await node.until_state(stop, S.CANCELLED)
        assert [algo["status"] for algo in node.truth["algos"].values()] == ["CANCELED"]


async def test_l06_an_order_the_venue_denies_for_a_while_is_unknown_and_not_gone(tmp_path: Path) -> None:
    """The venue denies it for as long as the test wants, and nothing may be proved meanwhile: no race against a clock."""
    doubtful = msgspec.structs.replace(BINANCE_ORDERS, proof=ProofRules(margin_s=60.0, repeat_s=0.2))
    async with (
        simulator(binance=("127.0.0.1", 0), binance_symbols=[SYMBOL]) as sim,
        node_at(sim, tmp_path, accounts=accounts(sim, orders=doubtful)) as node,
    ):
        sim.faults.add(faults.HideOrders(hide_ms=600_000))
        sim.faults.add(faults.Silence(channel="private/"))
        sim.faults.add(faults.LoseReply(method="POST /fapi/v1/order", close=True, count=1))
        order_id = await node.submit(good_for_s=120.0)
        await node.until_state(order_id, S.UNKNOWN)
        await trio.sleep(3 * BINANCE_ORDERS.ask_s)
        assert node.order(order_id).state is S.UNKNOWN
        sim.faults.lift_all()
        found = await node.until_state(order_id, S.OPEN)
        assert found.attempt == 1
        assert len(node.placed(order_id)) == 1


# ── L9: commands do not outlive their time ────────────────────────────────────────────────────────────────────────────


async def test_l09_what_was_asked_for_before_a_long_disconnect_is_not_sent_after_it(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        open_id = await place(rig)
        await trio.sleep(1)
        rig.orders.tell(Unsynced("cut"))
        stale, good = await place(rig, good_for_s=5.0), await place(rig, good_for_s=300.0)
        amended = await rig.orders.call(AmendOrder(open_id, price=D(49_000)), timeout_s=10)
        assert isinstance(amended, Denial), "an amend is not kept for later"
        await trio.sleep(60)
        await rig.sync()
        await trio.sleep(1)
        assert rig.order(stale).state is S.EXPIRED
        assert (placed(rig, stale), len(placed(rig, good)), rig.venue.amends) == ([], 1, 0)


async def test_l09_a_deadline_holds_for_every_attempt(tmp_path: Path, autojump_clock: object) -> None:
    """A venue that turns orders away comes back when this one's time is over."""
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(unavailable=1.0)) as rig:
        order_id = await place(rig, good_for_s=20.0)
        await trio.sleep(19)
        rig.system.kill("root/orders")
        await trio.sleep(5)
        rig.venue.behaviour = HONEST
        await rig.sync()
        await trio.sleep(60)
        assert rig.order(order_id).state is S.EXPIRED
        assert rig.venue.truth == []


# ── L10: stopping, the kill switch, and what a restart remembers ──────────────────────────────────────────────────────


async def test_l10_a_queue_that_is_stopping_takes_and_sends_nothing(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rests = await place(rig)
        delayed = await place(rig, delay_s=5.0)
        await trio.sleep(1)
        left = await rig.orders.call(QuiesceOrders(cancel=False), timeout_s=10)
        assert left == 1
        assert await refusal(rig) == "STOPPING"
        await trio.sleep(60)
        assert [held.client_order_id for held in rig.venue.truth] == [f"{rests}-1"]
        assert not rig.order(delayed).state.may_be_live


@pytest.mark.parametrize("state", [GateState.HALTED, GateState.REDUCING])
async def test_l10_a_gate_that_was_closed_is_closed_after_a_crash(
    tmp_path: Path, autojump_clock: object, state: GateState
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.orders.tell(Unsynced("cut"))
        waiting, exit_ = await place(rig), await place(rig, side=Side.SELL, price=D(60_000), reduce_only=True)
        await rig.orders.call(SetGate(state, "somebody said so"), timeout_s=10)
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await rig.sync()
        await trio.sleep(30)
        assert (await status(rig)).gate is state
        assert await refusal(rig) == f"GATE_{state.upper()}"
        assert placed(rig, waiting) == []
        assert len(placed(rig, exit_)) == (1 if state is GateState.REDUCING else 0)


async def test_l10_the_kill_switch_reaches_every_order_whatever_it_is_doing(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        resting, partly = await place(rig), await place(rig, amount=D(50))
        await trio.sleep(1)
        rig.venue.fill(placed(rig, partly)[0], D(20))
        delayed = await place(rig, delay_s=100.0)
        rig.venue.behaviour = Behaviour(lose_reply=1.0, query_fails=1.0, lose_cancel=1.0, fill=0.0)
        lost, behind = await place(rig), await place(rig)
        await trio.sleep(1)
        await rig.orders.call(SetGate(GateState.HALTED, "the switch"), timeout_s=10)
        assert await rig.orders.call(CancelAll(), timeout_s=10) == 5
        rig.system.kill("root/orders")
        await trio.sleep(10)
        rig.venue.behaviour = HONEST
        await rig.sync()
        await trio.sleep(60)
        await rig.sync()
        ended = {order_id: rig.order(order_id).state for order_id in (resting, partly, delayed, lost, behind)}
        assert set(ended.values()) == {S.CANCELLED}, ended
        assert all(held.state is S.CANCELLED for held in rig.venue.truth)
        assert rig.order(partly).filled_amount == 20


# ── L11: a protection that fails is not more violent than the danger ──────────────────────────────────────────────────


async def a_failed_stop(tmp_path: Path, policy: ExitPolicy) -> tuple[Rig, list[Order]]:
    """A bracket whose stop the venue refuses."""
    settings = OrdersSettings(links=LinkSettings(exit_failed=policy))
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        submit = rig.venue.submit

        async def no_stops(order: Order, instrument: Any) -> Any:
            if order.order_type.has_trigger:
                raise Refused("stops are not taken today", code=10028)
            return await submit(order, instrument)

        rig.venue.submit = no_stops  # type: ignore[method-assign]
        entry = a_request(amount=D(30))
        profit = a_request(side=Side.SELL, amount=D(30), price=D(60_000), reduce_only=True)
        stop = a_request(
            side=Side.SELL,
            amount=D(30),
            price=None,
            order_type=OrderType.STOP_MARKET,
            trigger_price=D(45_000),
            reduce_only=True,
        )
        answer = await rig.orders.call(
            SubmitLinked(LinkKind.OTOCO, (profit, stop), entry, TriggerFill.FIRST_HIT), timeout_s=10
        )
        assert isinstance(answer, AcceptedLinked), answer
        await trio.sleep(1)
        rig.venue.fill(placed(rig, answer.order_ids[0])[0])
        await rig.sync()
        await trio.sleep(5)
        return rig, rig.stored_orders()


async def test_l11_a_stop_that_fails_is_told_to_people_and_sells_nothing(
    tmp_path: Path, autojump_clock: object
) -> None:
    rig, orders = await a_failed_stop(tmp_path, LinkSettings().exit_failed)
    assert [notice.kind for notice in rig.notices() if notice.severity is Severity.EMERGENCY] == ["link.unprotected"]
    assert not [order for order in orders if order.order_type is OrderType.MARKET]


async def test_l11_who_wants_a_market_exit_says_so(tmp_path: Path, autojump_clock: object) -> None:
    _, orders = await a_failed_stop(tmp_path, ExitPolicy.CLOSE)
    (exit_,) = [order for order in orders if order.order_type is OrderType.MARKET]
    assert (exit_.side, exit_.amount, exit_.reduce_only) == (Side.SELL, D(30), True)


# ── L12: batches, deletes while iterating, ids ────────────────────────────────────────────────────────────────────────


async def test_l12_each_order_of_a_batch_has_its_own_answer_and_its_own_fate(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        batch = (a_request(), a_request(amount=D(7)), a_request(delay_s=60.0), a_request(instrument="sim:NOTHING"))
        answers = await rig.orders.call(SubmitBatch(batch), timeout_s=10)
        assert [isinstance(answer, Accepted) for answer in answers] == [True, False, True, False]
        await trio.sleep(1)
        states = [rig.order(answer.order_id).state for answer in answers if isinstance(answer, Accepted)]
        assert states == [S.OPEN, S.WAITING]


async def test_l12_a_cancel_of_everything_is_followed_up_for_every_order(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Half of the cancels get no answer; orders go while others are still being gone through."""
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        resting = [await place(rig) for _ in range(40)]
        await trio.sleep(2)
        rig.orders.tell(Unsynced("cut"))
        waiting = [await place(rig) for _ in range(20)]
        rig.venue.behaviour = Behaviour(lose_cancel=0.5, fill=0.0)
        assert await rig.orders.call(CancelAll(), timeout_s=10) == 60
        await trio.sleep(60)
        await rig.sync()
        assert {rig.order(order_id).state for order_id in (*resting, *waiting)} == {S.CANCELLED}
        assert {held.state for held in rig.venue.truth} == {S.CANCELLED}
        assert len(rig.venue.truth) == len(resting)


async def test_l12_a_move_that_frees_many_orders_frees_each_of_them(tmp_path: Path, autojump_clock: object) -> None:
    """Orders whose delays end together leave the list they are taken from while it is gone through."""
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        ids = [await place(rig, delay_s=5.0) for _ in range(60)]
        await trio.sleep(20)
        assert [rig.order(order_id).state for order_id in ids] == [S.OPEN] * 60
        assert len(rig.venue.truth) == 60


async def test_l12_ids_of_one_moment_are_different_in_every_life_and_every_store(
    tmp_path: Path, autojump_clock: object
) -> None:
    """The clock says the same for all of them."""
    made: list[str] = []
    for store in ("one", "two"):
        async with order_rig(tmp_path / store, seed=len(made) + 1, behaviour=HONEST) as rig:
            made += [await place(rig) for _ in range(25)]
            rig.system.kill("root/orders")
            await trio.sleep(1)
            made += [await place(rig) for _ in range(25)]
    assert len(set(made)) == 100
