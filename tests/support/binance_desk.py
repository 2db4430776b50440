"""A Binance client against the simulated venue over loopback, with one account, and an ear at its private stream."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import trio

from engine.kernel import Entropy, SystemClock
from engine.model import (
    Fill,
    Instrument,
    Order,
    OrderReport,
    OrderRequest,
    OrderType,
    Side,
    Snap,
    new_order,
    reported,
    to_submitting,
)
from engine.net import Library, connect
from engine.simulator import BinanceSettings as Simulated
from engine.simulator import Simulator, open_simulator
from engine.venues.base import PrivateEvent
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue
from tests.support.deribit import Keys

D = Decimal
SYMBOL = "BTCUSDT"


class Desk:
    """A venue with one account at the simulator, and what a test needs to place orders there."""

    def __init__(self, sim: Simulator, venue: BinanceUsdmVenue) -> None:
        self.sim = sim
        self.venue = venue
        self.rest = venue.rest("main")
        self.btc: Instrument
        self._orders = 0

    async def load(self) -> None:
        self.btc = {row.symbol: row for row in await self.rest.instruments()}[SYMBOL]

    async def mark(self) -> Decimal:
        return D(str((await self.rest.mark(SYMBOL)).mark))

    def near(self, price: Decimal, factor: str) -> Decimal:
        return self.btc.snap_price(price * D(factor), buying=True, how=Snap.NEAREST)

    async def order(self, side: Side = Side.BUY, *, off: str = "0.97", ttl_ms: int = 5000, **fields: Any) -> Order:
        """A limit order at `off` times the mark, ready to be sent; what has a trigger has it there."""
        now_ms = await self.rest.server_time_ms()
        self._orders += 1
        kind = fields.get("order_type", OrderType.LIMIT)
        price = self.near(await self.mark(), off)
        if kind.has_price:
            fields.setdefault("price", price)
        if kind.has_trigger:
            fields.setdefault("trigger_price", price)
        fields.setdefault("amount", D("0.010"))
        request = OrderRequest(instrument=self.btc.instrument_id, side=side, **fields)
        made = new_order(request, order_id=f"abcdefgh-{self._orders}", account="main", now_ms=now_ms)
        return to_submitting(made, valid_until_ms=now_ms + ttl_ms, now_ms=now_ms)

    async def place(self, order: Order) -> Order:
        report, _ = await self.rest.submit(order, self.btc)
        return reported(order, report, now_ms=1)

    async def found(self, order: Order) -> Order:
        report = (await self.rest.find_order(order, self.btc)).report
        assert report is not None
        return reported(order, report, now_ms=1)

    async def until(self, holds: Callable[[Order], bool], order: Order, within_s: float = 5.0) -> Order:
        with trio.fail_after(within_s):
            while not holds(order):
                await trio.sleep(0.02)
                order = await self.found(order)
        return order

    def move(self, price: Decimal) -> None:
        """The index jumps; mark and book follow."""
        self.sim.binance.venue.exchange.move_index(SYMBOL, price)
        self.sim.binance.venue.exchange.flush()


@asynccontextmanager
async def trading_desk(settings: Simulated | None = None, **changes: Any) -> AsyncIterator[Desk]:
    clock = SystemClock()
    async with open_simulator(
        clock,
        Entropy(7),
        deribit=None,
        control=None,
        binance=("127.0.0.1", 0),
        binance_settings=settings or Simulated.plain(),
        binance_symbols=[SYMBOL, "ETHUSDT"],
    ) as sim:
        at = sim.binance
        desk = Desk(
            sim,
            BinanceUsdmVenue(
                "binance",
                BinanceUsdmSettings(http_url=at.http_url, ws_url=at.ws_url, spot_url=at.spot_http_url, **changes),
                clock=clock,
                entropy=Entropy(8),
                credentials={"main": Keys(at.api_key, at.api_secret)},
            ),
        )
        await desk.load()
        try:
            yield desk
        finally:
            await desk.rest.close()


class Ear:
    """A private stream listened to, and all that it said."""

    def __init__(self, desk: Desk) -> None:
        self.heard: list[PrivateEvent] = []
        self.adapter = desk.venue.private("main")
        self._desk = desk

    async def listen(self, library: Library, *, task_status: trio.TaskStatus[None]) -> None:
        await self.adapter.renew(self._desk.rest)
        async with connect(self.adapter.url, library=library) as connection:
            task_status.started()
            while True:
                events, replies = self.adapter.receive(await connection.receive())
                assert replies == ()
                self.heard += events

    def of(self, order: Order) -> tuple[list[OrderReport], list[Fill]]:
        reports = [said for said in self.heard if isinstance(said, OrderReport)]
        fills = [said for said in self.heard if isinstance(said, Fill)]
        mine = order.client_order_id
        return (
            [report for report in reports if report.client_order_id == mine],
            [fill for fill in fills if fill.client_order_id == mine],
        )

    async def until(self, holds: Callable[[], bool], within_s: float = 5.0) -> None:
        with trio.fail_after(within_s):
            while not holds():
                await trio.sleep(0.01)


@asynccontextmanager
async def listening(desk: Desk, library: Library = Library.TRIO_WEBSOCKET) -> AsyncIterator[Ear]:
    ear = Ear(desk)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: ear.listen(library, task_status=task_status))
        yield ear
        nursery.cancel_scope.cancel()
