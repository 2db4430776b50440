"""Whose turn it is, and what holds an order: delays, conditions, batches, and a restart in the middle of it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from actors.messages import (
    Accepted,
    Arm,
    CancelAll,
    CancelOrder,
    ConditionsMet,
    GetQueueStatistics,
    QueueStatistics,
    SetGate,
    SubmitBatch,
    TrailMoved,
    Unsynced,
)
from actors.orders import OrdersSettings, QueueManagement
from actors.orders.figures import QueueFigures
from actors.triggers import Triggers
from engine.model import (
    ConditionalOrders,
    Denial,
    GateState,
    NonImmediateOrders,
    OrderLimits,
    OrderState,
    Priority,
    Side,
    Trail,
    Trailing,
)
from tests.support.adversary import HONEST, Behaviour
from tests.support.order_asks import NEVER, a_request, place, refused
from tests.support.order_rig import Rig, order_rig

S = OrderState
ONE_BY_ONE = OrdersSettings(max_in_flight=1)


def sent(rig: Rig) -> list[str]:
    """Order ids in the order they came to the venue."""
    return [placed.client_order_id.rpartition("-")[0] for placed in rig.venue.truth]


async def met(rig: Rig, order_id: str) -> None:
    rig.orders.tell(ConditionsMet(order_id, rig.system.clock.wall_ms(), "seen"))
    await trio.sleep(0.5)


async def statistics(rig: Rig) -> QueueStatistics:
    answer = await rig.orders.call(GetQueueStatistics(), timeout_s=10)
    assert isinstance(answer, QueueStatistics)
    return answer


# ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("restart", [False, True])
async def test_high_orders_leave_before_normal_ones_and_low_ones_last_also_after_a_restart(
    tmp_path: Path, autojump_clock: object, *, restart: bool
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=ONE_BY_ONE) as rig:
        rig.orders.tell(Unsynced("cut"))
        asked = [(p, await place(rig, priority=p)) for p in (Priority.LOW, Priority.NORMAL, Priority.HIGH) * 3]
        if restart:
            rig.system.kill("root/orders")
            await trio.sleep(1)
        await rig.sync()
        await trio.sleep(5)
        by_priority = [
            [i for p, i in asked if p is wanted] for wanted in (Priority.HIGH, Priority.NORMAL, Priority.LOW)
        ]
        assert sent(rig) == [order_id for ids in by_priority for order_id in ids]


async def test_an_old_low_order_leaves_before_high_ones_that_came_after_its_patience(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=ONE_BY_ONE) as rig:
        rig.orders.tell(Unsynced("cut"))
        low = await place(rig, priority=Priority.LOW)
        await trio.sleep(29)
        before = await place(rig, priority=Priority.HIGH)
        await trio.sleep(2)
        after = await place(rig, priority=Priority.HIGH)
        await rig.sync()
        await trio.sleep(3)
        assert sent(rig) == [before, low, after]


async def test_a_failed_attempt_lets_others_pass_and_takes_its_old_place_again(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(not_sent=1.0), settings=ONE_BY_ONE) as rig:
        first = await place(rig)
        await trio.sleep(0.5)
        rig.venue.behaviour = HONEST
        others = [await place(rig) for _ in range(3)]
        await trio.sleep(5)
        assert sent(rig) == [*others, first], "while it waits for its next attempt nobody waits for it"
        assert rig.order(first).attempt == 2


async def test_while_the_account_only_reduces_orders_that_do_not_hold_up_nobody(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.orders.tell(Unsynced("cut"))
        grows = await place(rig)
        shrinks = await place(rig, side=Side.SELL, price=Decimal(50_001), reduce_only=True)
        await rig.orders.call(SetGate(GateState.REDUCING, "test"), timeout_s=10)
        await rig.sync()
        await trio.sleep(2)
        assert sent(rig) == [shrinks]
        await rig.orders.call(SetGate(GateState.ACTIVE, "test"), timeout_s=10)
        await trio.sleep(2)
        assert sent(rig) == [shrinks, grows]


async def test_a_throttled_account_waits_as_long_as_the_venue_asks_and_cancels_do_not(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        resting = await place(rig)
        await trio.sleep(1)
        rig.venue.behaviour = Behaviour(throttle=1.0)
        waits = [await place(rig) for _ in range(5)]
        await trio.sleep(0.2)
        assert await rig.orders.call(CancelOrder(resting), timeout_s=10) == Accepted(resting)
        await trio.sleep(0.1)
        assert rig.order(resting).state is S.CANCELLED
        rig.venue.behaviour = HONEST
        await trio.sleep(3)
        assert {rig.order(order_id).state for order_id in waits} == {S.OPEN}


# ── batches ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_batch_of_three_leaves_at_once_and_nobody_waits_for_ten(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        start_s = trio.current_time()
        answers = await rig.orders.call(SubmitBatch(tuple(a_request() for _ in range(3))), timeout_s=10)
        while len(rig.venue.truth) < 3:
            await trio.sleep(0.01)
        assert trio.current_time() - start_s < 0.1
        assert sorted(sent(rig)) == sorted(answer.order_id for answer in answers)


async def test_a_batch_is_answered_in_its_order_and_a_bad_order_of_it_harms_no_other(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        requests = (a_request(), a_request(amount=Decimal(15)), a_request(request_key="k"), a_request(request_key="k"))
        good, bad, keyed, again = await rig.orders.call(SubmitBatch(requests), timeout_s=10)
        assert isinstance(bad, Denial)
        assert (bad.code, bad.field) == ("BAD_REQUEST", "amount")
        assert keyed == again
        assert rig.order(good.order_id).request_key == ""
        assert len(rig.stored_orders()) == 2
        too_many = await rig.orders.call(SubmitBatch((a_request(),) * 201), timeout_s=10)
        assert [answer.code for answer in too_many] == ["BATCH_TOO_LARGE"] * 201
        assert len(rig.stored_orders()) == 2


async def test_every_order_of_a_large_batch_leaves_though_a_turn_begins_only_a_few(
    tmp_path: Path, autojump_clock: object
) -> None:
    settings = OrdersSettings(queue_management=QueueManagement(batch_size=3), max_in_flight=64)
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        await rig.orders.call(SubmitBatch(tuple(a_request() for _ in range(100))), timeout_s=10)
        await trio.sleep(2)
        assert len(set(sent(rig))) == 100
        assert {order.state for order in rig.stored_orders()} == {S.OPEN}


# ── delays ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_delayed_order_leaves_when_it_is_due_whatever_the_wall_clock_does(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, delay_s=20.0, good_for_s=5.0)
        rig.system.clock.jump(3600)
        await trio.sleep(19)
        assert rig.venue.truth == []
        rig.system.clock.jump(-7200)
        await trio.sleep(2)
        assert rig.order(order_id).state is S.OPEN


async def test_a_delay_goes_on_over_a_restart_and_the_time_the_order_is_good_for_counts_from_its_end(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        sends = await place(rig, delay_s=20.0, good_for_s=5.0)
        await trio.sleep(10)
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await rig.sync()
        await trio.sleep(8)
        assert rig.venue.truth == []
        await trio.sleep(2)
        assert rig.order(sends).state is S.OPEN
        late = await place(rig, delay_s=20.0, good_for_s=5.0)
        rig.orders.tell(Unsynced("cut"))
        await trio.sleep(24)
        assert rig.order(late).state is S.WAITING
        await trio.sleep(2)
        assert rig.order(late).state is S.EXPIRED


async def test_a_cancel_ends_an_order_that_sleeps(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, delay_s=5.0)
        await rig.orders.call(CancelOrder(order_id, "changed my mind"), timeout_s=10)
        await trio.sleep(10)
        assert (rig.order(order_id).state, rig.order(order_id).reason) == (S.CANCELLED, "changed my mind")
        assert rig.venue.truth == []


# ── conditions ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("restart", [False, True])
async def test_a_conditional_order_waits_for_its_conditions_and_leaves_once(
    tmp_path: Path, autojump_clock: object, *, restart: bool
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, conditions=(NEVER,), good_for_s=5.0)
        if restart:
            rig.system.kill("root/orders")
        await trio.sleep(100)
        await rig.sync()
        assert rig.order(order_id).state is S.WAITING
        for _ in range(3):
            await met(rig, order_id)
        await trio.sleep(5)
        order = rig.order(order_id)
        assert (order.state, order.evidence) == (S.OPEN, "seen")
        assert order.met_at_ms is not None
        assert sent(rig) == [order_id]


async def test_an_order_whose_conditions_were_met_before_a_restart_leaves_after_it(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.orders.tell(Unsynced("cut"))
        order_id = await place(rig, conditions=(NEVER,))
        await met(rig, order_id)
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await rig.sync()
        await trio.sleep(1)
        assert sent(rig) == [order_id]


async def test_conditions_that_are_met_too_late_for_an_order_change_nothing(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        plain = await place(rig)
        await trio.sleep(1)
        cancelled = await place(rig, conditions=(NEVER,))
        await rig.orders.call(CancelOrder(cancelled), timeout_s=10)
        before = rig.order(plain), rig.order(cancelled)
        for order_id in (plain, cancelled, "nobody-1"):
            await met(rig, order_id)
        assert (rig.order(plain), rig.order(cancelled)) == before


async def test_an_order_that_is_good_for_a_moment_is_good_for_one_from_when_its_conditions_held(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, conditions=(NEVER,), good_for_s=5.0)
        rig.orders.tell(Unsynced("cut"))
        await trio.sleep(60)
        await met(rig, order_id)
        await trio.sleep(3)
        assert rig.order(order_id).state is S.WAITING
        await trio.sleep(3)
        assert rig.order(order_id).state is S.EXPIRED


@pytest.mark.parametrize(("side", "bests"), [(Side.SELL, [100, 90, 110]), (Side.BUY, [100, 110, 90])])
async def test_a_trail_is_stored_as_it_moves_on_and_never_moves_back(
    tmp_path: Path, autojump_clock: object, side: Side, bests: list[int]
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, side=side, trail=Trail(distance=Decimal(5)))
        seen = []
        for best in bests:
            rig.orders.tell(TrailMoved(order_id, Trailing(best=Decimal(best), at_ms=1)))
            await trio.sleep(0.5)
            trailing = rig.order(order_id).trailing
            seen.append(None if trailing is None else int(trailing.best))
        assert seen == [bests[0], bests[0], bests[2]]
        rig.system.kill("root/orders")
        await trio.sleep(1)
        assert int(rig.order(order_id).trailing.best) == bests[2]  # type: ignore[union-attr]


async def test_what_waits_for_conditions_is_armed_once(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed: list[str] = []
    monkeypatch.setattr(Triggers, "arm", lambda _self, message: armed.append(message.order.order_id))
    assert Triggers.handler_names[Arm] == "arm"
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, side=Side.SELL, trail=Trail(distance=Decimal(5)))
        for best in (1, 2, 3):
            rig.orders.tell(TrailMoved(order_id, Trailing(best=Decimal(best), at_ms=1)))
            await trio.sleep(1)
        assert armed == [order_id]


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────

OFF = OrdersSettings(
    non_immediate_orders=NonImmediateOrders(enabled=False), conditional_orders=ConditionalOrders(enabled=False)
)


@pytest.mark.parametrize(
    ("settings", "changes", "code", "field"),
    [
        (None, {"delay_s": 301.0}, "DELAY_LIMIT", "delay_s"),
        (None, {"delay_s": -1.0}, "BAD_REQUEST", "delay_s"),
        (None, {"delay_s": float("nan")}, "BAD_REQUEST", "delay_s"),
        (None, {"conditions": (NEVER,) * 6}, "TOO_MANY_CONDITIONS", "conditions"),
        (None, {"conditions": (NEVER,) * 2, "any_of": ((NEVER,) * 4,)}, "TOO_MANY_CONDITIONS", "conditions"),
        (None, {"expires_after_s": 0.0}, "BAD_REQUEST", "expires_after_s"),
        (None, {"delay_s": 20.0, "expires_after_s": 10.0}, "BAD_REQUEST", "expires_after_s"),
        (None, {"auto_cancel_s": -1.0}, "BAD_REQUEST", "auto_cancel_s"),
        (None, {"good_for_s": 0.0}, "BAD_REQUEST", "good_for_s"),
        (None, {"metadata": {"a": "line\nbreak"}}, "BAD_REQUEST", "metadata.a"),
        (None, {"metadata": {str(n): "" for n in range(33)}}, "BAD_REQUEST", "metadata"),
        (OFF, {"delay_s": 1.0}, "DISABLED", "delay_s"),
        (OFF, {"conditions": (NEVER,)}, "DISABLED", "conditions"),
        (OFF, {"trail": Trail(distance=Decimal(5))}, "DISABLED", "conditions"),
        (OrdersSettings(enabled=False), {}, "DISABLED", "enabled"),
    ],
)
async def test_a_wait_the_settings_do_not_allow_is_refused_by_name(
    tmp_path: Path,
    autojump_clock: object,
    settings: OrdersSettings | None,
    changes: dict[str, Any],
    code: str,
    field: str,
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        denial = await refused(rig, **changes)
        assert (denial.code, denial.field) == (code, field)
        assert rig.stored_orders() == []


async def test_orders_that_wait_for_their_time_fill_the_queue_and_all_that_is_live_counts(
    tmp_path: Path, autojump_clock: object
) -> None:
    limits = OrderLimits(max_waiting=2, max_live_orders=4)
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=OrdersSettings(limits=limits)) as rig:
        rig.orders.tell(Unsynced("cut"))
        await place(rig)
        await place(rig, conditions=(NEVER,))
        await place(rig, delay_s=60.0)
        assert (await refused(rig)).code == "QUEUE_FULL"
        await rig.sync()
        await trio.sleep(1)
        await place(rig, conditions=(NEVER,))
        assert (await refused(rig, conditions=(NEVER,))).code == "TOO_MANY_ORDERS"


# ── figures ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.floats(0, 1e6), max_size=50), st.integers(0, 20))
def test_the_running_mean_is_the_mean_and_nothing_is_divided_by_zero(times: list[float], failed: int) -> None:
    figures = QueueFigures()
    assert figures.get_success_rate() == 0.0
    for seconds in times:
        figures.record_order_processed(seconds)
    for _ in range(failed):
        figures.record_order_failed()
    assert figures.avg_processing_time == pytest.approx(sum(times) / len(times) if times else 0.0)
    decided = len(times) + failed
    assert figures.get_success_rate() == (len(times) / decided if decided else 0.0)


async def test_a_queue_without_orders_has_a_success_rate_of_zero(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        figures = await statistics(rig)
        assert (figures.success_rate, figures.avg_processing_time, figures.queue_length) == (0.0, 0.0, 0)


async def test_the_figures_of_a_queue_say_what_waits_for_what_and_what_became_of_orders(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        await place(rig)
        await trio.sleep(1)
        rig.venue.behaviour = Behaviour(refuse=1.0)
        await place(rig)
        await trio.sleep(1)
        rig.venue.behaviour = Behaviour(not_sent=1.0)
        await place(rig, good_for_s=1.5)
        await trio.sleep(5)
        rig.venue.behaviour = HONEST
        rig.orders.tell(Unsynced("cut"))
        await place(rig, priority=Priority.HIGH)
        await place(rig, delay_s=60.0, priority=Priority.LOW)
        await place(rig, conditions=(NEVER,))
        await trio.sleep(2)
        figures = await statistics(rig)
        assert (figures.orders_processed, figures.orders_failed, figures.success_rate) == (1, 2, 1 / 3)
        assert figures.retry_count == 1
        assert 0.02 <= figures.avg_processing_time < 0.1
        assert (figures.queue_length, figures.ready, figures.delayed, figures.conditional) == (3, 1, 1, 1)
        assert figures.queue_by_priority == {"high": 1, "normal": 1, "low": 1}
        assert (figures.open, figures.unknown, figures.in_flight, figures.in_review) == (1, 0, 0, 0)
        assert 2.0 <= figures.oldest_ready <= figures.oldest_waiting < 3.0
        rig.system.kill("root/orders")
        await trio.sleep(1)
        assert (await statistics(rig)).orders_processed == 1, "they are the process's, not one incarnation's"


async def test_cancelling_everything_sweeps_the_venue_once_and_reaches_what_waits(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        swept: list[str] = []
        sweep = rig.venue.cancel_everything

        async def counted(symbol: str = "") -> None:
            swept.append(symbol)
            await sweep(symbol)

        monkeypatch.setattr(rig.venue, "cancel_everything", counted)
        for changes in ({}, {}, {"delay_s": 60.0}, {"conditions": (NEVER,)}):
            await place(rig, **changes)
        await trio.sleep(1)
        assert await rig.orders.call(CancelAll(reason="panic"), timeout_s=10) == 4
        await trio.sleep(5)
        assert {(order.state, order.reason) for order in rig.stored_orders()} == {(S.CANCELLED, "panic")}
        assert swept == [""]


async def test_a_sweep_that_fails_leaves_everything_to_the_single_cancels(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:

        async def hangs(symbol: str = "") -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(rig.venue, "cancel_everything", hangs)
        for _ in range(30):
            await place(rig)
        await trio.sleep(1)
        await rig.orders.call(CancelAll(), timeout_s=10)
        await trio.sleep(3)
        assert {order.state for order in rig.stored_orders()} == {S.CANCELLED}
