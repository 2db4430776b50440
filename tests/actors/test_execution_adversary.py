"""Plans against a venue that does whatever a venue may do, and kills at every step: never more is filled than was asked for."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.execution import POINTS, ExecutionSettings
from actors.messages import CancelPlan, VenueWord
from actors.orders import OrdersSettings
from engine.kernel import ActorDown, CallFailed, CallTimeout, Entropy, MailboxFull
from engine.model import (
    ExecutionRequest,
    Fill,
    OnEnd,
    OrderReport,
    OrderState,
    PlanState,
    Side,
)
from tests.support.adversary import Behaviour
from tests.support.plan_rig import PlanRig, plan_rig
from tests.support.plan_world import progressive, twap, whole

D = Decimal
SEEDS = range(int(os.environ.get("ADVERSARY_FROM", "0")), int(os.environ.get("ADVERSARY_TO", "8")))
STORM = Behaviour(
    lose_request=0.08,
    lose_reply=0.08,
    execute_late=0.08,
    not_sent=0.05,
    throttle=0.05,
    refuse=0.03,
    deny=0.3,
    query_fails=0.15,
    fill=0.1,
    move=0.1,
    lose_cancel=0.3,
    amend_late=0.2,
)
CALM = msgspec.structs.replace(
    STORM,
    lose_request=0.0,
    lose_reply=0.0,
    execute_late=0.0,
    deny=0.0,
    query_fails=0.0,
    lose_cancel=0.0,
    amend_late=0.0,
)


def asked(seed: int, chance: Entropy) -> ExecutionRequest:
    order = whole(
        amount=10 * (5 + chance.randrange(20)),
        side=chance.choice(list(Side)),
        price="50002",
        expires_after_s=900.0,
        good_for_s=5.0 + chance.randrange(30),
        request_key=f"k{seed}",
    )
    on_end = chance.choice(list(OnEnd))
    if seed % 3:
        return progressive(order, max_steps=1 + chance.randrange(6), step_s=1.0 + chance.randrange(5), on_end=on_end)
    return twap(
        order,
        duration_s=60.0,
        interval_s=6.0,
        jitter=chance.choice([0.0, 0.4]),
        passive=chance.random() < 0.5,
        on_end=on_end,
    )


class Storm:
    """One plan, and all that goes wrong around it."""

    def __init__(self, rig: PlanRig, nursery: trio.Nursery, seed: int) -> None:
        self._rig = rig
        self._nursery = nursery
        self._chance = Entropy(seed).fork("plan storm")
        self.request = asked(seed, self._chance)
        self.plan_id = ""
        rig.rig.venue.tell = self._word

    def _word(self, reports: tuple[OrderReport, ...], fills: tuple[Fill, ...]) -> None:
        """Lost, or told late, out of order, twice."""
        while self._chance.random() < 0.6:
            delay_s = self._chance.choice([0.0, 0.001, 0.05, 1.0, 10.0]) * self._chance.random()
            self._nursery.start_soon(self._tell, delay_s, VenueWord(reports, fills))

    async def _tell(self, delay_s: float, word: VenueWord) -> None:
        await trio.sleep(delay_s)
        self._rig.rig.orders.tell(word)

    async def begin(self) -> None:
        with trio.fail_after(60):
            while not self.plan_id:
                try:
                    self.plan_id = await self._rig.execute(self.request)
                except (ActorDown, CallFailed, CallTimeout, MailboxFull):
                    await trio.sleep(0.5)

    async def rage(self) -> None:
        """Until the plan is over, or long enough."""
        venue = self._rig.rig.venue
        for number in range(400):
            await trio.sleep(self._chance.uniform(0.0, 2.0))
            venue.pass_time()
            venue.churn()
            bid = 50_000 + self._chance.randrange(8) - 4
            self._rig.quote(bid, bid + 1 + self._chance.randrange(4))
            self.check()
            if self._chance.random() < 0.15:
                self._rig.rig.system.kill(self._chance.choice(["root/execution", "root/orders", "root/execution"]))
            if self._chance.random() < 0.3:
                await self._pass()
            if number == 150 and self._chance.random() < 0.3:
                await self._cancel()
            if self._rig.plan(self.plan_id).state.terminal:
                return

    async def calm(self) -> None:
        """Everything answers: the plan comes to its end."""
        self._rig.rig.venue.behaviour = CALM
        with trio.fail_after(3000):
            while not self._rig.plan(self.plan_id).state.terminal:
                await trio.sleep(2)
                self._rig.rig.venue.pass_time()
                self._rig.quote(50_000, 50_002)
                await self._pass()
                self.check()
        await trio.sleep(30)
        await self._pass()
        await trio.sleep(1)

    async def _pass(self) -> None:
        try:
            await self._rig.rig.sync()
        except (ActorDown, CallFailed, CallTimeout, MailboxFull):
            return

    async def _cancel(self) -> None:
        try:
            await self._rig.execution.call(CancelPlan(self.plan_id, "by the test"), timeout_s=10)
        except (ActorDown, CallFailed, CallTimeout, MailboxFull):
            return

    def check(self) -> None:
        """What the venue holds and has filled together is never more than the amount."""
        live = [placed for placed in self._rig.rig.venue.truth if placed.state is OrderState.OPEN]
        assert len(live) <= 1, f"{len(live)} orders of one plan at once"
        most = self._rig.truth() + sum((placed.amount - placed.filled for placed in live), D(0))
        assert most <= self.request.order.amount, f"{most} of {self.request.order.amount}"


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_children_of_a_plan_never_fill_more_than_its_amount(
    tmp_path: Path, autojump_clock: Any, seed: int
) -> None:
    orders = OrdersSettings(request_timeout_s=5.0)
    async with plan_rig(tmp_path / "store", seed=seed, behaviour=STORM, orders=orders) as rig:
        async with trio.open_nursery() as nursery:
            storm = Storm(rig, nursery, seed)
            await storm.begin()
            await storm.rage()
            await storm.calm()
            nursery.cancel_scope.cancel()
        plan = rig.plan(storm.plan_id)
        assert plan.worked.amount == rig.truth()
        assert not [order for order in rig.children(storm.plan_id) if not order.state.terminal]
        assert len({order.request_key for order in rig.children(storm.plan_id)}) == len(rig.children(storm.plan_id))
        if plan.state is PlanState.DONE:
            assert plan.worked.amount == plan.amount


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", [1, 2, 5])
async def test_a_kill_at_any_step_changes_nothing_but_time(
    tmp_path: Path, autojump_clock: Any, point: str, nth: int
) -> None:
    seen: list[str] = []

    def reached(label: str) -> None:
        seen.append(label)
        if label == point and seen.count(point) == nth:
            raise RuntimeError("killed here")

    async with plan_rig(
        tmp_path / "store", point=reached, settings=ExecutionSettings(retry_s=0.5, call_timeout_s=5.0)
    ) as rig:
        request = twap(whole(amount=60, request_key="once"), duration_s=12.0, interval_s=2.0)
        plan_id = ""
        with trio.fail_after(60):
            while not plan_id:
                try:
                    plan_id = await rig.execute(request)
                except (ActorDown, CallFailed, CallTimeout):
                    await trio.sleep(0.5)
        with trio.fail_after(600):
            while not rig.plan(plan_id).state.terminal:
                await trio.sleep(0.3)
                assert sum(placed.state is OrderState.OPEN for placed in rig.rig.venue.truth) <= 1
                for placed in rig.rig.venue.truth:
                    if placed.state is OrderState.OPEN:
                        rig.rig.venue.fill(placed)
        assert (rig.plan(plan_id).state, rig.truth()) == (PlanState.DONE, D(60))
        assert sum(placed.amount for placed in rig.rig.venue.truth) == D(60)
