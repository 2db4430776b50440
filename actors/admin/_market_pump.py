"""A subscription to market data: nothing is queued, the newest state is sent.

A feed says that an instrument moved; what moved is noted, and at most every `PERIOD_S` the present state of what was
noted is sent. A client that reads slowly sees fewer states, never older ones. Trades are the exception: all that are
still in the feed's memory are sent, with a count of those that are not.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from actors import _jsonrpc as rpc
from actors.admin._market import bar_row, book_view, trade_row
from engine.kernel import Clock
from engine.model import MarketState
from engine.venues.base import Applied

PERIOD_S = 0.1
BOOK_DEPTH = 10

#: What a topic needs to hear of.
WANTED = {"book": Applied.BOOK, "trade": Applied.TRADES, "bar": Applied.BARS, "mark": Applied.TICKER}

Put = Callable[[bytes], Awaitable[None]]


class MarketPump:
    """Sends the market topics of `instruments` (every one when empty). `state_of` finds an instrument's market."""

    def __init__(
        self,
        subscription: str,
        topics: frozenset[str],
        instruments: frozenset[str],
        state_of: Callable[[str], MarketState | None],
        clock: Clock,
        put: Put,
    ) -> None:
        self._subscription = subscription
        self._topics = topics
        self._instruments = instruments
        self._state_of = state_of
        self._clock = clock
        self._put = put
        self._dirty: dict[str, Applied] = {}
        self._feeds: dict[str, Any] = {}  # summaries of feeds that changed
        self._news = trio.Event()
        self._last_trade: dict[str, int] = {}
        self._last_bars: dict[tuple[str, str], tuple[float, ...]] = {}
        self.wanted = Applied.NOTHING
        for topic in topics:
            self.wanted |= WANTED.get(topic, Applied.NOTHING)

    def follows(self, instrument: str) -> bool:
        return not self._instruments or instrument in self._instruments

    def changed(self, instrument: str, applied: Applied) -> None:
        if self.follows(instrument) and applied & self.wanted:
            self._dirty[instrument] = self._dirty.get(instrument, Applied.NOTHING) | applied
            self._news.set()

    def feed_changed(self, instrument: str, summary: Any) -> None:
        """A feed changed its mode, or something became stale or fresh."""
        if self.follows(instrument) and "feed" in self._topics:
            self._feeds[instrument] = summary
            self._news.set()

    async def run(self) -> None:
        """Ends by cancellation."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            feeds, self._feeds = self._feeds, {}
            dirty, self._dirty = self._dirty, {}
            for summary in feeds.values():
                await self._send("feed", summary)
            for instrument, applied in dirty.items():
                await self._send_market(instrument, applied)
            await trio.sleep(PERIOD_S)

    async def _send_market(self, instrument: str, applied: Applied) -> None:
        state = self._state_of(instrument)
        if state is None:
            return
        if self._due("book", applied):
            await self._send("book", book_view(state, BOOK_DEPTH))
        if self._due("mark", applied):
            ticker = state.ticker
            data = {"instrument": instrument, "mark": ticker.mark, "index": ticker.index, "funding": ticker.funding}
            await self._send("mark", data)
        if self._due("trade", applied):
            await self._send_trades(instrument, state)
        if self._due("bar", applied):
            await self._send_bars(instrument, state)

    def _due(self, topic: str, applied: Applied) -> bool:
        return topic in self._topics and bool(applied & WANTED[topic])

    async def _send_trades(self, instrument: str, state: MarketState) -> None:
        newest = state.trades.last_seq
        seen = self._last_trade.get(instrument, newest - 1)  # a new subscriber starts with the newest one
        self._last_trade[instrument] = newest
        trades = [trade_row(row) for row in state.trades.view() if row[4] > seen]
        if trades:
            missed = trades[0]["trade_seq"] - seen - 1
            await self._send("trade", {"instrument": instrument, "trades": trades, "missed": missed})

    async def _send_bars(self, instrument: str, state: MarketState) -> None:
        for interval, bars in state.bars.items():
            rows = bars.copy(2)  # of the next to last the final value may still be news
            for row in rows:
                values = tuple(row.tolist())
                key = (instrument, interval)
                last = self._last_bars.get(key)
                if last is None or values[0] > last[0] or (values[0] == last[0] and values != last):
                    self._last_bars[key] = values
                    await self._send("bar", {"instrument": instrument, "interval": interval, **bar_row(values)})

    async def _send(self, topic: str, data: Any) -> None:
        event = rpc.Event(self._subscription, topic, None, self._clock.wall_ms(), data)
        await self._put(rpc.encode_event(event))
