"""Plans at work in the node: durable before they are answered, one order at a time, and the same after any kill."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.execution import ExecutionSettings
from actors.messages import (
    Accepted,
    CancelAll,
    CancelOrder,
    CancelPlan,
    Execute,
    FillUpdate,
    GetPlan,
    GetPlans,
    OrderUpdate,
    Planned,
    PlanUpdate,
    SetGate,
)
from actors.orders import OrdersSettings
from actors.recorder import StoreUsage
from engine.kernel import ChildSpec, Message
from engine.model import (
    Denial,
    ExecutionRequest,
    GateState,
    OnEnd,
    OrderLimits,
    OrderState,
    PlanState,
    Side,
)
from engine.store import Usage
from tests.support.order_rig import Ear
from tests.support.plan_rig import plan_rig
from tests.support.plan_world import progressive, twap, whole

D = Decimal


async def test_a_progressive_order_moves_by_amends_and_takes_the_rest_at_its_end(
    tmp_path: Path, autojump_clock: Any
) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        plan_id = await rig.execute(progressive(whole(price="50002.5"), max_steps=3, on_end=OnEnd.CROSS))
        first = await rig.until_resting(plan_id)
        assert first.price == D(50000)
        await trio.sleep(16)
        rig.rig.venue.fill(rig.rig.venue.truth[0], D(40))
        await trio.sleep(10)
        last = rig.rig.venue.truth[-1]
        assert (rig.rig.venue.amends, len(rig.rig.venue.truth), last.amount, last.price) == (2, 2, D(60), D("50002.5"))
        rig.rig.venue.fill(last)
        plan = await rig.until(plan_id)
        assert (plan.state, plan.worked.amount, plan.worked.taken) == (PlanState.DONE, D(100), D(60))
        assert [rest.price for rest in plan.rests] == [D(50000), D(50002), D("50002.5")]
        assert [order.request_key for order in rig.children(plan_id)] == [f"{plan_id}/1", f"{plan_id}/2"]


async def test_a_twap_places_slices_that_add_up(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        plan_id = await rig.execute(twap(whole(amount=100, side=Side.SELL, price="49990")))
        for _ in range(80):
            await trio.sleep(1)
            for placed in rig.rig.venue.truth:
                if placed.state is OrderState.OPEN:
                    rig.rig.venue.fill(placed)
        plan = await rig.until(plan_id)
        assert (plan.state, plan.worked.amount, rig.truth()) == (PlanState.DONE, D(100), D(100))
        assert [int(placed.amount) for placed in rig.rig.venue.truth] == [10, 20, 20, 10, 20, 20]


async def test_immediate_is_an_ordinary_order(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        answer = await rig.execution.call(Execute(ExecutionRequest(order=whole())), timeout_s=10)
        assert isinstance(answer, Accepted)
        assert rig.rig.order(answer.order_id).plan == ""
        refused = await rig.execution.call(Execute(ExecutionRequest(order=whole(amount=13))), timeout_s=10)
        assert isinstance(refused, Denial)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (progressive(whole(amount=13)), "BAD_REQUEST"),
        (progressive(whole(price="50000.3")), "BAD_REQUEST"),
        (progressive(whole(account="other")), "BAD_REQUEST"),
        (progressive(max_steps=-1), "BAD_REQUEST"),
    ],
)
async def test_what_cannot_be_worked_is_denied_and_leaves_nothing(
    tmp_path: Path, autojump_clock: Any, request_: ExecutionRequest, code: str
) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        answer = await rig.execution.call(Execute(request_), timeout_s=10)
        assert isinstance(answer, Denial)
        assert answer.code == code
        assert await rig.execution.call(GetPlans(ended=True), timeout_s=10) == ()


async def test_the_same_request_key_is_one_plan_over_or_not(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        request = progressive(whole(request_key="mine"), max_steps=0)
        plan_id = await rig.execute(request)
        assert await rig.execute(request) == plan_id
        await rig.until(plan_id)
        assert await rig.execute(request) == plan_id


async def test_no_more_plans_than_the_settings_allow(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store", settings=ExecutionSettings(max_plans=2)) as rig:
        for _ in range(2):
            await rig.execute(progressive())
        answer = await rig.execution.call(Execute(progressive()), timeout_s=10)
        assert isinstance(answer, Denial)
        assert answer.code == "TOO_MANY_PLANS"


async def test_a_full_store_takes_only_what_reduces(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        rig.execution.tell(StoreUsage(Usage(85, 100, 0, 0), alarm=True, gate_closed=True))
        refused = await rig.execution.call(Execute(progressive()), timeout_s=10)
        assert isinstance(refused, Denial)
        assert refused.code == "STORE_FULL"
        await rig.execute(progressive(whole(reduce_only=True)))


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
async def test_a_wall_clock_that_jumps_neither_hurries_a_plan_nor_holds_it_up(
    tmp_path: Path, autojump_clock: Any, jump_s: float
) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        plan_id = await rig.execute(progressive(whole(expires_after_s=600.0), max_steps=9, step_ticks=1))
        await rig.until_resting(plan_id)
        rig.rig.system.clock.jump(jump_s)
        await trio.sleep(16)
        assert [rest.price for rest in rig.plan(plan_id).rests] == [D(50_000), D("50000.5"), D(50_001), D("50001.5")]


# ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_plan_takes_its_order_with_it(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        plan_id = await rig.execute(progressive())
        await rig.until_resting(plan_id)
        assert await rig.execution.call(CancelPlan(plan_id, "enough"), timeout_s=10) == Planned(plan_id)
        plan = await rig.until(plan_id)
        assert (plan.state, plan.reason) == (PlanState.CANCELLED, "enough")
        assert [placed.state for placed in rig.rig.venue.truth] == [OrderState.CANCELLED]
        over = await rig.execution.call(CancelPlan(plan_id), timeout_s=10)
        assert isinstance(over, Denial)
        assert over.code == "NOT_LIVE"
        nothing = await rig.execution.call(CancelPlan("no-such-plan"), timeout_s=10)
        assert isinstance(nothing, Denial)
        assert nothing.code == "PLAN_NOT_FOUND"


async def test_cancelling_everything_ends_plans_between_their_orders_too(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        between = await rig.execute(twap(whole(price=None)))
        await trio.sleep(1)
        rig.rig.venue.fill(rig.rig.venue.truth[0])
        other = await rig.execute(progressive())
        await rig.until_resting(other)
        await rig.rig.orders.call(CancelAll(reason="panic"), timeout_s=10)
        for plan_id in (between, other):
            assert (await rig.until(plan_id)).state is PlanState.CANCELLED
        placed = len(rig.rig.venue.truth)
        await trio.sleep(120)
        assert len(rig.rig.venue.truth) == placed


async def test_whoever_cancels_its_order_ends_the_plan(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        plan_id = await rig.execute(progressive())
        child = await rig.until_resting(plan_id)
        await rig.rig.orders.call(CancelOrder(child.order_id), timeout_s=10)
        assert (await rig.until(plan_id)).state is PlanState.CANCELLED
        assert len(rig.children(plan_id)) == 1


async def test_a_closed_gate_makes_it_wait_and_say_so(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        await rig.rig.orders.call(SetGate(GateState.HALTED, "lunch"), timeout_s=10)
        plan_id = await rig.execute(progressive())
        await trio.sleep(90)
        assert "GATE_HALTED" in await rig.waits_for(plan_id)
        assert rig.children(plan_id) == []
        await rig.rig.orders.call(SetGate(GateState.ACTIVE, "back"), timeout_s=10)
        child = await rig.until_resting(plan_id)
        assert child.request_key == f"{plan_id}/1"


async def test_stale_prices_make_it_wait_and_say_so(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store", fresh=False) as rig:
        await trio.sleep(5)
        plan_id = await rig.execute(progressive())
        await trio.sleep(30)
        assert "stale" in await rig.waits_for(plan_id)
        assert rig.children(plan_id) == []


async def test_a_refusal_that_time_does_not_end_ends_the_plan_in_its_words(tmp_path: Path, autojump_clock: Any) -> None:
    limits = OrdersSettings(limits=OrderLimits(max_order_amount=D(50)))
    async with plan_rig(tmp_path / "store", orders=limits) as rig:
        plan = await rig.until(await rig.execute(progressive()))
        assert plan.state is PlanState.FAILED
        assert plan.reason.startswith("AMOUNT_LIMIT: field=amount")
        assert [notice.kind for notice in rig.rig.notices()] == ["plan.failed"]


async def test_its_owner_hears_of_the_plan_and_of_its_orders_and_fills(tmp_path: Path, autojump_clock: Any) -> None:
    heard: list[Message] = []
    async with plan_rig(tmp_path / "store") as rig:
        await rig.rig.system.start_child("root", ChildSpec("ear", lambda: Ear(heard)))
        owner = rig.rig.system.address("root/ear")
        answer = await rig.execution.call(Execute(progressive(), owner), timeout_s=10)
        assert isinstance(answer, Planned)
        await rig.until_resting(answer.plan_id)
        rig.rig.venue.fill(rig.rig.venue.truth[0])
        plan = await rig.until(answer.plan_id)
        await trio.sleep(0.1)
        plans = [message.plan for message in heard if isinstance(message, PlanUpdate)]
        assert plans[-1] == plan
        assert {type(message) for message in heard} == {PlanUpdate, OrderUpdate, FillUpdate}
        assert (plan.state, plan.worked.average_price) == (PlanState.DONE, D(50000))


async def test_what_turns_out_to_be_filled_after_its_end_is_counted(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        plan_id = await rig.execute(progressive())
        await rig.until_resting(plan_id)
        await rig.execution.call(CancelPlan(plan_id), timeout_s=10)
        assert (await rig.until(plan_id)).worked.amount == 0
        (placed,) = rig.rig.venue.truth
        for amount, state in ((D(30), PlanState.CANCELLED), (D(70), PlanState.DONE)):
            rig.rig.venue.fill(placed, amount)
            await trio.sleep(2)
            plan = rig.plan(plan_id)
            assert (plan.worked.amount, plan.state) == (placed.filled, state)
        assert await rig.execution.call(GetPlans(), timeout_s=10) == ()


# ── kills ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("victim", ["execution", "orders"])
async def test_a_plan_goes_on_where_it_was_after_a_kill(tmp_path: Path, autojump_clock: Any, victim: str) -> None:
    async with plan_rig(tmp_path / "store") as rig:
        plan_id = await rig.execute(progressive(max_steps=50, step_ticks=1))
        await rig.until_resting(plan_id)
        await trio.sleep(7)
        rig.rig.system.kill(f"root/{victim}")
        await trio.sleep(7)
        await rig.rig.sync()
        await trio.sleep(7)
        rig.rig.venue.fill(rig.rig.venue.truth[0])
        plan = await rig.until(plan_id)
        assert (plan.state, len(rig.rig.venue.truth)) == (PlanState.DONE, 1)
        status = await rig.execution.call(GetPlan(plan_id), timeout_s=10)
        assert status is not None
        assert status.plan == plan
