"""A watcher of conditions with markets a test moves, a queue and an account that note and answer, and a real store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import trio

from actors.messages import (
    Arm,
    ConditionsMet,
    GetHoldings,
    GetOrdersStatus,
    Holdings,
    MarketChanged,
    Notify,
    OrdersStatus,
    TrailMoved,
    WatchMarket,
)
from actors.messages.triggers import ConditionsSeen, GetConditions
from actors.triggers import Triggers, TriggersDesk, TriggerSettings
from engine.kernel import (
    Actor,
    Backoff,
    ChildSpec,
    Entropy,
    Intensity,
    Message,
    Ref,
    SupervisorSpec,
    System,
    TrioClock,
    on,
    open_system,
)
from engine.model import (
    Condition,
    ConditionType,
    DataClass,
    GateState,
    MarketState,
    Notice,
    Operator,
    Order,
    OrderType,
    Side,
    Source,
)
from engine.store import Commit, Put, Store
from engine.venues.base import Applied
from tests.support.order_rig import Ear

ACCOUNT = "sim:main"
EPOCH_MS = 1_700_000_000_000
BOUNDS_S = {DataClass.BOOK: 5.0, DataClass.TICKER: 5.0, DataClass.TRADES: 60.0}


class FakeQueue(Actor):
    """Notes what it is told, and says whether it is in step."""

    def __init__(self, rig: "TriggerRig") -> None:
        super().__init__()
        self._rig = rig

    @on(ConditionsMet)
    def met(self, message: ConditionsMet) -> None:
        self._rig.met.append(message)

    @on(TrailMoved)
    def moved(self, message: TrailMoved) -> None:
        self._rig.trailed.append(message)

    @on(GetOrdersStatus)
    def status(self, _message: GetOrdersStatus) -> OrdersStatus:
        counts = {"waiting": 0, "submitting": 0, "open": 0, "unknown": 0}
        return OrdersStatus(
            account=ACCOUNT, gate=GateState.ACTIVE, synced=self._rig.synced, closed_instruments=(), **counts
        )


class FakeAccount(Actor):
    def __init__(self, rig: "TriggerRig") -> None:
        super().__init__()
        self._rig = rig

    @on(GetHoldings)
    def holdings(self, _message: GetHoldings) -> Holdings:
        return self._rig.holdings


class TriggerRig:
    """What a test holds."""

    def __init__(self, system: System, store: Store, bounds_s: dict[DataClass, float]) -> None:
        self.system = system
        self.store = store
        self.triggers: Ref = system.address("root/triggers")
        self.market = MarketState("sim:X", bounds_s=bounds_s)
        self.markets = {"sim:X": self.market}
        self.met: list[ConditionsMet] = []
        self.trailed: list[TrailMoved] = []
        self.heard: list[Message] = []
        self.asked: list[Message] = []  # what the feed was told
        self.synced = True
        self.holdings = Holdings((), ())
        self._seq = 0

    def now_s(self) -> float:
        return self.system.clock.monotonic_s()

    def notices(self) -> list[Notice]:
        return [message.notice for message in self.heard if isinstance(message, Notify)]

    def wanted(self) -> list[Applied]:
        return [message.wanted for message in self.asked if isinstance(message, WatchMarket)]

    def put(self, *orders: Order) -> None:
        self.store.commit([Commit("order.accepted", (Put("orders", order.order_id, order),)) for order in orders])

    async def arm(self, *orders: Order) -> None:
        """As the queue does: on disk first."""
        self.put(*orders)
        for order in orders:
            self.triggers.tell(Arm(order))
        await self.settle()

    async def settle(self) -> None:
        """Until everything that was told is handled; no time passes."""
        await trio.testing.wait_all_tasks_blocked()

    def set_ticker(self, **figures: float | None) -> None:
        for name, value in figures.items():
            setattr(self.market.ticker, name, value)
        self.market.touch(DataClass.TICKER, Source.STREAM, self.now_s())

    async def tick(self, **figures: float | None) -> list[str]:
        """A ticker with these figures; the orders told to be met since."""
        self.set_ticker(**figures)
        return await self.changed(Applied.TICKER)

    async def trade(self, price: float) -> list[str]:
        self._seq += 1
        self.market.trades.add(time_ms=1, price=price, amount=1.0, taker_side=1, trade_seq=self._seq)
        self.market.touch(DataClass.TRADES, Source.STREAM, self.now_s())
        return await self.changed(Applied.TRADES)

    async def book(self, bid: float, ask: float) -> list[str]:
        self.market.book.replace(((bid, 1.0),), ((ask, 1.0),), change_id=1, venue_ms=1)
        self.market.touch(DataClass.BOOK, Source.STREAM, self.now_s())
        return await self.changed(Applied.BOOK)

    async def changed(self, applied: Applied, instrument: str = "sim:X") -> list[str]:
        self.triggers.tell(MarketChanged(instrument, applied))
        return await self.since()

    async def since(self) -> list[str]:
        """The orders told to be met since it was asked last."""
        await self.settle()
        found = [message.order_id for message in self.met]
        self.met.clear()
        return found

    async def restart(self) -> None:
        self.system.kill("root/triggers")
        await trio.sleep(0.5)

    async def seen(self, order_id: str) -> ConditionsSeen:
        found = await self.triggers.call(GetConditions(order_id), timeout_s=5)
        assert found is not None, f"nobody watches for {order_id}"
        return found


def mark(operator: str, value: float | str, **fields: Any) -> Condition:
    """On the mark price of the order's instrument, or as `fields` say."""
    kind = ConditionType(fields.pop("type", "mark"))
    return Condition(type=kind, operator=Operator(operator), value=value, **fields)


def waiting(number: int, *conditions: Condition, **fields: Any) -> Order:
    """An order of the account for sim:X that waits."""
    return Order(
        order_id=f"rig-{number}",
        account=ACCOUNT,
        instrument="sim:X",
        side=fields.pop("side", Side.SELL),
        amount=Decimal(1),
        order_type=OrderType.MARKET,
        conditions=conditions,
        created_at_ms=EPOCH_MS,
        updated_at_ms=EPOCH_MS,
        deadline_ms=EPOCH_MS,
        **fields,
    )


@asynccontextmanager
async def trigger_rig(
    path: Path,
    *,
    settings: TriggerSettings | None = None,
    bounds_s: dict[DataClass, float] | None = None,
    stored: tuple[Order, ...] = (),
) -> AsyncIterator[TriggerRig]:
    """A running watcher, started with the orders `stored`."""
    clock, entropy = TrioClock(EPOCH_MS), Entropy(1)
    async with open_system(clock, entropy) as system:
        with Store.open(path, clock=clock, entropy=entropy) as store:
            rig = TriggerRig(system, store, bounds_s or BOUNDS_S)
            rig.put(*stored)
            desk = TriggersDesk(
                account=ACCOUNT,
                store=store,
                settings=settings or TriggerSettings(),
                orders=system.address("root/orders"),
                account_sync=system.address("root/account"),
                notifier=system.address("root/notifier"),
                market=rig.markets.get,
                feeds=lambda name: (system.address("root/feed"),) if name in rig.markets else (),
            )
            often = Intensity(max_restarts=1000, period_s=10_000.0)
            children = (
                ChildSpec("notifier", partial(Ear, rig.heard)),
                ChildSpec("feed", partial(Ear, rig.asked)),
                ChildSpec("account", partial(FakeAccount, rig)),
                ChildSpec("orders", partial(FakeQueue, rig), intensity=often, backoff=Backoff(min_s=0.05, max_s=0.1)),
                ChildSpec("triggers", partial(Triggers, desk), intensity=often, backoff=Backoff(min_s=0.05, max_s=0.1)),
            )
            await system.start(SupervisorSpec("root", children=children))
            yield rig
            await system.stop()
