"""The node of the stress drill: whole, in this process, with one Binance venue, and read as a strategy reads it."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from actors.data import DataManager, DataUnavailable
from actors.node import Node, NodeSettings, open_node
from engine.model import DataClass, Freshness, MarketState, VenueState
from scripts.drills._stress_judge import BookTruth, View
from scripts.drills._stress_plan import VENUE
from scripts.drills._stress_venue import Place

__all__ = ["Reads", "Rig", "book_of", "open_rig", "view_of"]

BARS_KEPT = 500
STREAMING = "streaming"
WEIGHT_SHARE = 1.0  # of the venue's budget: nobody else is behind this address
LEVELS = 20


def settings(place: Place, symbols: Sequence[str], intervals: Sequence[str]) -> NodeSettings:
    """A node that follows `symbols` and does nothing else. The book, marks, trades and bars are streamed."""
    venue = {
        "kind": VENUE,
        "symbols": list(symbols),
        "connection": {
            "http_url": place.http, "ws_url": place.ws, "spot_url": place.spot_http, "weight_share": WEIGHT_SHARE,
        },
        "feed": {"intervals": list(intervals)},
        "data": {"bars": {"keep": BARS_KEPT}, "ticker": {"via": "off"}},
    }  # fmt: skip
    return msgspec.convert({"name": "stress", "venues": {VENUE: venue}}, NodeSettings)


class Reads:
    """Every kind of read of every symbol, as a strategy does it; and whether one of them asked the venue."""

    def __init__(self, data: DataManager, state: VenueState, intervals: Sequence[str]) -> None:
        self._data = data
        self._state = state
        self._intervals = intervals
        self.done = 0
        self.failed: Counter[str] = Counter()
        self.rest_calls = 0

    async def all(self, symbol: str) -> None:
        """One read of each kind."""
        data = self._data
        calls_before = self._state.rest_calls
        for interval in self._intervals:
            await self._one(data.get_klines(symbol, interval, 300))
        await self._one(data.get_orderbook(symbol))
        await self._one(data.get_trades(symbol))
        await self._one(data.get_liquidation_trades(symbol))
        await self._one(data.get_mark_price(symbol))
        await self._one(data.get_funding_rate(symbol))
        await self._one(data.get_oi_history(symbol))
        await self._one(data.get_spot_price(symbol))
        self.rest_calls += self._state.rest_calls - calls_before

    async def _one(self, read: Awaitable[object]) -> None:
        try:
            await read
        except DataUnavailable as error:
            self.failed[str(error)[:200]] += 1
        self.done += 1


class Rig:
    """The running node, and what is known of the venue."""

    def __init__(self, node: Node, data: DataManager, intervals: Sequence[str]) -> None:
        self.node = node
        self.state = node.parts.venues[VENUE].state
        self.reads = Reads(data, self.state, intervals)

    @property
    def now_s(self) -> float:
        return self.node.system.clock.monotonic_s()

    @property
    def markets(self) -> Mapping[str, MarketState]:
        return self.state.markets

    def loaded(self) -> bool:
        """Whether all history is in."""
        done, wanted = self.state.history()
        return wanted > 0 and done == wanted

    def whole(self) -> bool:
        """Whether every route of every symbol streams, nothing is stale, and no hole is left."""
        now_s = self.now_s
        return not self.state.problem and not any(_trouble(market, now_s) for market in self.markets.values())

    def why_not_whole(self) -> str:
        """The first few markets that are not."""
        now_s = self.now_s
        bad = [
            f"{symbol} {_trouble(market, now_s)}" for symbol, market in self.markets.items() if _trouble(market, now_s)
        ]
        return f"{self.state.problem} {len(bad)} markets: {'; '.join(bad[:3])}"

    def ages(self, symbol: str) -> list[tuple[str, Freshness]]:
        """What is promised an age, by class or source."""
        market = self.markets[symbol]
        classes = [(str(name), fresh) for name, fresh in market.fresh.items() if name is not DataClass.FORCED]
        return classes + [(name, samples.fresh) for name, samples in market.samples.items()]

    def gaps(self) -> tuple[int, int, int]:
        """How many messages, trades and bars were missed, how many of them came back, and how many did not."""
        qualities = [quality for market in self.markets.values() for quality in market.quality.values()]
        found, repaired = sum(q.missing for q in qualities), sum(q.repaired for q in qualities)
        return found, repaired, sum(map(unrepaired, self.markets.values())) + sum(q.lost for q in qualities)

    def restarts(self) -> int:
        return sum(node.restarts for node in self.node.system.tree().walk())


def _trouble(market: MarketState, now_s: float) -> str:
    """What is not as it should be, empty if nothing is."""
    stale = [str(name) for name in market.stale_classes(now_s)]
    stale += [name for name, samples in market.samples.items() if samples.fresh.stale(now_s)]
    if market.mode == STREAMING and not stale and not unrepaired(market):
        return ""
    return f"is {market.mode}, stale: {stale}, unrepaired: {unrepaired(market)}"


def unrepaired(market: MarketState) -> int:
    """Messages, trades and bars that are known to be missing."""
    return (
        sum(quality.unrepaired for quality in market.quality.values())
        + market.trades.missed
        + sum(bars.missing() for bars in market.bars.values())
    )


def view_of(market: MarketState) -> View:
    """All that a reader could see now, copied."""
    ticker = market.ticker
    return View(
        bars={interval: bars.copy() for interval, bars in market.bars.items()},
        kept=BARS_KEPT - 1,  # of the bars asked for at the start one may have begun meanwhile
        trades=market.trades.copy(),
        mark={name: getattr(ticker, name) for name in ("mark", "index", "funding", "next_funding_ms")},
        mark_ms=ticker.mark_ms,
        samples={name: samples.copy() for name, samples in market.samples.items()},
    )


def book_of(market: MarketState) -> BookTruth:
    """The best levels shown now; none for a book that is not ready."""
    book = market.book
    return BookTruth(book.change_id if book.ready else -1, book.bids(LEVELS), book.asks(LEVELS))


@asynccontextmanager
async def open_rig(
    place: Place, symbols: Sequence[str], intervals: Sequence[str], directory: Path
) -> AsyncIterator[Rig]:
    """A started node for as long as the block runs."""
    async with open_node(settings(place, symbols, intervals), directory) as node:
        yield Rig(node, node.parts.data, intervals)
