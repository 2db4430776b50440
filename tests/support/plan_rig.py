"""An execution over an order queue, a recorder and an adversarial venue, on one mock clock and a real store."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import trio

from actors.execution import Execution, ExecutionDesk, ExecutionSettings
from actors.messages import Execute, GetPlan, Planned, VenueWord
from actors.orders import OrdersSettings
from engine.kernel import Actor, Ref, System
from engine.model import (
    DataClass,
    ExecutionRequest,
    Fill,
    MarketState,
    Order,
    OrderReport,
    OrderState,
    Plan,
    Source,
    VenueState,
    split_instrument,
)
from engine.store import Store
from tests.support.adversary import HONEST, PERPETUAL, Behaviour
from tests.support.order_rig import ACCOUNT, Rig, order_rig


class PlanRig:
    """What a test holds."""

    def __init__(self, rig: Rig, market: MarketState) -> None:
        self.rig = rig
        self.market = market
        self.execution: Ref = rig.system.address("root/execution")
        self.quote(50_000, 50_004)

    @property
    def store(self) -> Store:
        return self.rig.store

    def quote(self, bid: float, ask: float) -> None:
        """A fresh book."""
        self.market.book.replace([(bid, 1e6)], [(ask, 1e6)], change_id=1, venue_ms=1)
        self.market.touch(DataClass.BOOK, Source.STREAM, self.rig.system.clock.monotonic_s())

    async def keep_fresh(self) -> None:
        """As a feed does, until it is cancelled."""
        while True:
            self.market.touch(DataClass.BOOK, Source.STREAM, self.rig.system.clock.monotonic_s())
            await trio.sleep(0.2)

    def listen(self, nursery: trio.Nursery) -> None:
        """The venue's private stream, without misdeeds."""
        self.rig.venue.tell = lambda reports, fills: nursery.start_soon(self._tell, reports, fills)

    async def _tell(self, reports: tuple[OrderReport, ...], fills: tuple[Fill, ...]) -> None:
        self.rig.orders.tell(VenueWord(reports, fills))

    async def execute(self, request: ExecutionRequest) -> str:
        answer = await self.execution.call(Execute(request), timeout_s=30.0)
        assert isinstance(answer, Planned), answer
        return answer.plan_id

    def plan(self, plan_id: str) -> Plan:
        found = self.store.plan(plan_id)
        assert found is not None, f"{plan_id} is not in the store"
        return found

    async def waits_for(self, plan_id: str) -> str:
        status = await self.execution.call(GetPlan(plan_id), timeout_s=30.0)
        assert status is not None
        waits: str = status.waits_for
        return waits

    def children(self, plan_id: str) -> list[Order]:
        return [order for order in self.rig.stored_orders() if order.plan == plan_id]

    async def until(self, plan_id: str, *, deadline_s: float = 600.0) -> Plan:
        """Wait until the plan is over."""
        with trio.fail_after(deadline_s):
            while not self.plan(plan_id).state.terminal:
                await trio.sleep(0.5)
        return self.plan(plan_id)

    async def until_resting(self, plan_id: str, *, deadline_s: float = 60.0) -> Order:
        """Wait until a child of the plan is open."""
        with trio.fail_after(deadline_s):
            while not (resting := [o for o in self.children(plan_id) if o.state is OrderState.OPEN]):
                await trio.sleep(0.1)
        return resting[0]

    def truth(self) -> Decimal:
        """What the venue filled."""
        return sum((placed.filled for placed in self.rig.venue.truth), Decimal(0))


@asynccontextmanager
async def plan_rig(
    path: Path,
    *,
    seed: int = 1,
    behaviour: Behaviour = HONEST,
    settings: ExecutionSettings | None = None,
    orders: OrdersSettings | None = None,
    point: Callable[[str], None] = lambda _label: None,
    owner_of: Callable[[str], Ref | None] = lambda _name: None,
    fresh: bool = True,
    **changes: Any,
) -> AsyncIterator[PlanRig]:
    """`fresh`: the book stays so by itself."""
    market = MarketState("sim:PERP", bounds_s={DataClass.BOOK: 2.0})

    def execution(system: System, store: Store, state: VenueState) -> Actor:
        state.markets[PERPETUAL.symbol] = market
        desk = ExecutionDesk(
            account=ACCOUNT,
            venue=state,
            store=store,
            settings=settings or ExecutionSettings(),
            orders=system.address("root/orders"),
            recorder=system.address("root/recorder"),
            notifier=system.address("root/notifier"),
            market=lambda name: state.markets.get(split_instrument(name, "sim")[1]),
            feeds=lambda _name: (),
            owner_of=owner_of,
            point=point,
        )
        return Execution(desk)

    async with order_rig(path, seed=seed, behaviour=behaviour, settings=orders, execution=execution, **changes) as rig:
        plans = PlanRig(rig, market)
        async with trio.open_nursery() as nursery:
            plans.listen(nursery)
            if fresh:
                nursery.start_soon(plans.keep_fresh)
            yield plans
            nursery.cancel_scope.cancel()
