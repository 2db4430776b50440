"""A Deribit client and what it talks to: the simulated venue over loopback, or a function in the network's place."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec

from engine.kernel import Clock, Entropy, SystemClock
from engine.model import (
    Instrument,
    Order,
    OrderRequest,
    OrderType,
    Side,
    Snap,
    new_order,
    to_submitting,
)
from engine.net import FunctionTransport, HttpReply, HttpRequest
from engine.simulator import DeribitSettings as Simulated
from engine.simulator import Simulator, open_simulator
from engine.venues.deribit import DeribitSettings, DeribitVenue
from engine.venues.deribit.private import DeribitRest

PERPETUAL = "BTC-PERPETUAL"


class Keys:
    """Credentials as an adapter sees them."""

    def __init__(self, key: str, secret: str) -> None:
        self.key = key
        self._secret = secret

    def reveal_secret(self) -> str:
        return self._secret


class Desk:
    """A venue with one account on the simulator, and what a test needs to place orders there."""

    def __init__(self, sim: Simulator, venue: DeribitVenue) -> None:
        self.sim = sim
        self.venue = venue
        self.rest = venue.rest("main")
        self.instruments: dict[str, Instrument] = {}
        self._orders = 0

    async def load(self) -> None:
        self.instruments = {row.symbol: row for row in await self.rest.instruments()}

    @property
    def perpetual(self) -> Instrument:
        return self.instruments[PERPETUAL]

    async def order(self, side: Side = Side.BUY, *, off: str = "0.97", ttl_ms: int = 5000, **fields: Any) -> Order:
        """A limit order at `off` times the market, ready to be sent; a market order has no price."""
        now_ms = await self.rest.server_time_ms()
        self._orders += 1
        if fields.get("order_type", OrderType.LIMIT).has_price:
            mark = Decimal(str((await self.rest.ticker(PERPETUAL)).mark))
            buying = side is Side.BUY
            fields.setdefault("price", self.perpetual.snap_price(mark * Decimal(off), buying=buying, how=Snap.PASSIVE))
        fields.setdefault("amount", Decimal(10))
        request = OrderRequest(instrument=self.perpetual.instrument_id, side=side, **fields)
        order = new_order(request, order_id=f"abcdefgh-{self._orders}", account="main", now_ms=now_ms)
        return to_submitting(order, valid_until_ms=now_ms + ttl_ms, now_ms=now_ms)


@asynccontextmanager
async def trading_desk(
    settings: Simulated | None = None, *, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[Desk]:
    """The simulator without peculiarities unless told otherwise, and a client of it."""
    clock = clock or SystemClock()
    async with open_simulator(clock, Entropy(7), settings=settings or Simulated.plain(), control=None) as sim:
        venue = DeribitVenue(
            "deribit",
            DeribitSettings(http_url=sim.deribit.http_url, ws_url=sim.deribit.ws_url, **changes),
            clock=clock,
            entropy=Entropy(8),
            credentials={"main": Keys(sim.deribit.client_id, sim.deribit.client_secret)},
        )
        desk = Desk(sim, venue)
        await desk.load()
        try:
            yield desk
        finally:
            await desk.rest.close()


def rest_against(function: Callable[[HttpRequest], Awaitable[HttpReply]], **changes: Any) -> DeribitRest:
    """A client whose network is `function`."""
    venue = DeribitVenue(
        "deribit",
        DeribitSettings(**changes),
        clock=SystemClock(),
        entropy=Entropy(1),
        credentials={"main": Keys("id", "hunter2")},
        transport=FunctionTransport(function),
    )
    return venue.rest("main")


def json_reply(value: Any, status: int = 200, **headers: str) -> HttpReply:
    return HttpReply(status, headers, msgspec.json.encode(value))


def note(channel: str, data: Any) -> bytes:
    """A subscription message as the venue writes it."""
    params = {"channel": channel, "data": data}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "subscription", "params": params})
