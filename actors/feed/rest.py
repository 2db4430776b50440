"""One instrument's market data by request and reply: histories, holes, polls, and questions about silence.

Nothing here decides anything: a `VenueError` goes to whoever asked.
"""

import numpy as np

from actors.feed.crosscheck import trades_lack
from actors.feed.questions import MarketQuestions
from engine.model import TRADE_COLUMNS, Bars, Columns, DataClass, Source
from engine.venues.base import Applied, TradeRow

BOOK_DEPTH = 20
POLLED_TRADES = 500
MARK_FIELDS = ("mark", "index", "funding", "next_funding_ms")
TICKER_FIELDS = ("bid", "ask", "last", "open_interest")

APPLIED = {
    DataClass.BOOK: Applied.BOOK,
    DataClass.TICKER: Applied.TICKER,
    DataClass.TRADES: Applied.TRADES,
    DataClass.BARS: Applied.BARS,
    DataClass.MARK: Applied.MARK,
    DataClass.FORCED: Applied.FORCED,
}
ASKABLE = frozenset(DataClass) - {DataClass.FORCED}  # no venue tells liquidations when it is asked


class MarketRest(MarketQuestions):
    """Writes answers into the state, or compares them with it."""

    # ── taking ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def take(self, data_class: DataClass) -> None:
        """Ask for the newest of one class and write it. Raises `VenueError`."""
        match data_class:
            case DataClass.BOOK:
                await self._take_book()
            case DataClass.TICKER:
                await self._take_ticker()
            case DataClass.MARK:
                await self._take_mark()
            case DataClass.TRADES:
                await self._take_trades()
            case DataClass.BARS:
                for interval in self._state.bars.keys() & self._state.loaded:
                    await self.take_bars(interval)
            case DataClass.FORCED:
                raise ValueError("forced: cannot be asked for")

    async def _take_book(self) -> None:
        book, as_of_s = await self.book(BOOK_DEPTH)
        state = self._state
        if state.book.replace(book.bids, book.asks, change_id=book.change_id, venue_ms=book.venue_ms):
            self.touch(DataClass.BOOK, as_of_s)

    async def _take_ticker(self) -> None:
        answer, as_of_s = await self.ticker()
        ticker = self._state.ticker
        if DataClass.MARK in self._state.fresh:
            for name in TICKER_FIELDS:
                setattr(ticker, name, getattr(answer, name) or getattr(ticker, name))
            ticker.venue_ms = answer.venue_ms
        else:
            for name in answer.__struct_fields__:
                setattr(ticker, name, getattr(answer, name))
        self.touch(DataClass.TICKER, as_of_s)

    async def _take_mark(self) -> None:
        answer, as_of_s = await self.mark()
        ticker = self._state.ticker
        if answer.venue_ms < ticker.mark_ms:
            return  # an answer shared with others may be a second old
        for name in MARK_FIELDS:
            setattr(ticker, name, getattr(answer, name))
        ticker.mark_ms = answer.venue_ms
        self.touch(DataClass.MARK, self.stamped_s(answer.venue_ms, as_of_s))

    async def _take_trades(self) -> None:
        rows, began_s = await self.trades(POLLED_TRADES)
        self._state.trades.merge(trade_columns(rows))
        self.touch(DataClass.TRADES, began_s)

    async def take_bars(self, interval: str, from_ms: int | None = None) -> None:
        """Bars from `from_ms` on, or from the newest one, or all that are kept. Raises `VenueError`."""
        bars = self._state.bars[interval]
        oldest_ms, now_ms = self.window(bars)
        last = bars.last_key
        start_ms = from_ms if from_ms is not None else oldest_ms if last is None else int(last)
        rows, began_s = await self.bars(interval, max(oldest_ms, start_ms), now_ms)
        bars.merge(rows)
        self.touch(DataClass.BARS, began_s)

    async def take_trades_after(self, seq: int, *, timeout_s: float | None, history: bool) -> int:
        """The trades after number `seq`; how many of them were new. Raises `VenueError`."""
        capacity = self._state.trades.capacity
        rows, _ = await self.trades(capacity, after_seq=seq, timeout_s=timeout_s, history=history)
        return self._state.trades.merge(trade_columns(rows))

    def touch(self, data_class: DataClass, as_of_s: float) -> None:
        """What is as of then was written, unless the stream has brought newer."""
        fresh = self._state.fresh.get(data_class)
        if fresh is None or fresh.updated_s < as_of_s:
            self._state.touch(data_class, Source.REST, as_of_s)

    # ── comparing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def confirm(self, data_class: DataClass) -> float | None:
        """Whether the venue, asked now, has nothing that the state lacks: silence that is not a fault.

        Then the data is as of the moment returned. None: it has something newer. Raises `VenueError`.
        """
        match data_class:
            case DataClass.BOOK:
                as_of_s = await self._same_book()
            case DataClass.TICKER:
                as_of_s = await self._same_ticker()
            case DataClass.MARK:
                as_of_s = await self._same_mark()
            case DataClass.TRADES:
                as_of_s = await self._same_trades()
            case DataClass.BARS:
                as_of_s = await self._same_bars()
            case DataClass.FORCED:
                raise ValueError("forced: cannot be asked for")
        fresh = self._state.fresh.get(data_class)
        if as_of_s is not None and fresh is not None:
            if fresh.source is Source.NONE:
                fresh.source = Source.REST
            fresh.assure(as_of_s)
        return as_of_s

    async def _same_book(self) -> float | None:
        answer, as_of_s = await self.book(BOOK_DEPTH)
        book = self._state.book
        same = (
            book.ready
            and _same_side(answer.bids, book.bids(BOOK_DEPTH))
            and _same_side(answer.asks, book.asks(BOOK_DEPTH))
        )
        return as_of_s if same else None

    async def _same_ticker(self) -> float | None:
        answer, as_of_s = await self.ticker()
        ours = self._state.ticker
        same = (answer.bid, answer.ask) == (ours.bid, ours.ask)
        if DataClass.MARK not in self._state.fresh:
            same = same and (answer.last, answer.mark) == (ours.last, ours.mark)
        return as_of_s if same else None

    async def _same_mark(self) -> float | None:
        answer, as_of_s = await self.mark()
        ours = self._state.ticker
        same = (answer.mark, answer.index, answer.funding) == (ours.mark, ours.index, ours.funding)
        return as_of_s if same else None

    async def _same_trades(self) -> float | None:
        """Bars are asked for where they tell it: at some venues they cost a twentieth of what trades cost."""
        state = self._state
        if self._shortest() is not None and state.trades.last_seq >= 0:
            as_of_s = await self._same_bars()
            return None if trades_lack(state, self._venue.instruments.get(self._symbol)) else as_of_s
        rows, began_s = await self.trades(POLLED_TRADES)
        return began_s if all(row.trade_seq <= state.trades.last_seq for row in rows) else None

    async def _same_bars(self) -> float | None:
        """By the shortest interval. Bars without trades may not be sent; they are taken from the answer. A bar with other volume was not heard of."""
        found = self._shortest()
        if found is None:
            return None
        interval, bars = found
        now_ms, last = self._venue_ms(), bars.last_key
        if last is None:
            return None
        start_ms = max(int(last), now_ms - bars.capacity * bars.interval_ms)
        rows, began_s = await self.bars(interval, start_ms, now_ms)
        volumes = {row[0]: row[5] for row in bars.view().tolist()}
        if start_ms > last or any(volumes.get(row[0], 0.0) != row[5] for row in rows.tolist()):
            return None
        bars.merge(rows)
        return began_s

    def _shortest(self) -> tuple[str, Bars] | None:
        loaded = [(bars.interval_ms, name) for name, bars in self._state.bars.items() if name in self._state.loaded]
        return (min(loaded)[1], self._state.bars[min(loaded)[1]]) if loaded else None


def _same_side(theirs: tuple[tuple[float, float], ...], ours: tuple[tuple[float, float], ...]) -> bool:
    """The levels both show; a stream may carry fewer than were asked for."""
    shared = min(len(theirs), len(ours))
    return theirs[:shared] == ours[:shared] and (shared > 0 or len(theirs) == len(ours))


def trade_columns(rows: tuple[TradeRow, ...]) -> Columns:
    """Trades as rows of `TRADE_COLUMNS`."""
    table = [(row.time_ms, row.price, row.amount, row.taker_side, row.trade_seq) for row in rows]
    return np.array(table, dtype=np.float64).reshape(len(rows), len(TRADE_COLUMNS))
