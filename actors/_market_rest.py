"""One instrument's market data by request and reply: what a feed serves while its stream is down, fills holes with, and checks silence with.

Nothing here decides anything: a `VenueError` goes to whoever asked.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np

from actors.messages import ask_market
from engine.kernel import Clock, Ref
from engine.model import TRADE_COLUMNS, Bars, Columns, DataClass, MarketState, Source, VenueState
from engine.venues.base import Applied, NotSent, PublicRest, TradeRow

R = TypeVar("R")

BOOK_DEPTH = 20
_TRADES = 100

APPLIED = {
    DataClass.BOOK: Applied.BOOK,
    DataClass.TICKER: Applied.TICKER,
    DataClass.TRADES: Applied.TRADES,
    DataClass.BARS: Applied.BARS,
}


class MarketRest:
    """Asks through the session and writes into `state`."""

    def __init__(
        self, session: Ref, symbol: str, state: MarketState, venue: VenueState, clock: Clock, timeout_s: float
    ) -> None:
        self._session = session
        self._symbol = symbol
        self._state = state
        self._venue = venue
        self._clock = clock
        self._timeout_s = timeout_s
        self._began_s: dict[DataClass, float] = {}
        self._holes: dict[str, int] = {}  # by interval: bars the venue itself does not have

    async def take(self, data_class: DataClass) -> None:
        """Ask for one class and write it. Raises `VenueError`."""
        match data_class:
            case DataClass.BOOK:
                good = await self._take_book()
            case DataClass.TICKER:
                good = await self._take_ticker()
            case DataClass.TRADES:
                good = await self._take_trades()
            case DataClass.BARS:
                good = await self._take_bars()
        if good:
            self._touch(data_class, Source.REST)

    async def fill(self) -> None:
        """History at the start, and after a reconnect what happened meanwhile. Raises `VenueError`."""
        await self.take(DataClass.TRADES)
        await self.take(DataClass.BARS)

    async def confirm(self, data_class: DataClass) -> bool:
        """Whether the venue, asked now, has nothing that the state lacks: silence that is not a fault. Then its data is as of now.

        Raises `VenueError`.
        """
        match data_class:
            case DataClass.BOOK:
                same = await self._same_book()
            case DataClass.TICKER:
                same = await self._same_ticker()
            case DataClass.TRADES:
                same = all(row.trade_seq <= self._state.trades.last_seq for row in await self._trades())
            case DataClass.BARS:
                same = await self._same_bars()
        if same:
            source = self._state.fresh[data_class].source
            self._touch(data_class, Source.REST if source is Source.NONE else source)
        return same

    def _touch(self, data_class: DataClass, source: Source) -> None:
        """The data is as of the moment the request was begun, unless the stream has brought newer."""
        began_s, fresh = self._began_s[data_class], self._state.fresh.get(data_class)
        if fresh is None or fresh.updated_s < began_s:
            self._state.touch(data_class, source, began_s)

    # ── taking ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _take_book(self) -> bool:
        book = await self._ask(DataClass.BOOK, "book", lambda rest: rest.book(self._symbol, BOOK_DEPTH))
        return self._state.book.replace(book.bids, book.asks, change_id=book.change_id, venue_ms=book.venue_ms)

    async def _take_ticker(self) -> bool:
        answer = await self._ask(DataClass.TICKER, "ticker", lambda rest: rest.ticker(self._symbol))
        for name in answer.__struct_fields__:
            setattr(self._state.ticker, name, getattr(answer, name))
        return True

    async def _take_trades(self) -> bool:
        self._state.trades.merge(trade_columns(await self._trades()))
        return True

    async def _take_bars(self) -> bool:
        for interval, bars in self._state.bars.items():
            start_ms, end_ms = self._wanted(interval, bars)
            bars.merge(await self._bars(interval, start_ms, end_ms))
            if start_ms < (bars.last_key() or 0.0) - bars.interval_ms:
                self._holes[interval] = bars.missing()
        return bool(self._state.bars)

    def _wanted(self, interval: str, bars: Bars) -> tuple[int, int]:
        """From the newest bar on; everything if there is none, or if bars are missing that the venue may have."""
        now_ms = self._venue_ms()
        last = bars.last_key()
        open_ms = now_ms - now_ms % bars.interval_ms  # of the bar that is not closed
        oldest_ms = open_ms - (bars.capacity - 1) * bars.interval_ms
        if last is None or bars.missing() > self._holes.get(interval, 0):
            return oldest_ms, now_ms
        return max(oldest_ms, int(last)), now_ms

    def _venue_ms(self) -> int:
        now_ms = self._venue.now_ms(self._clock.monotonic_s())
        if now_ms is None:
            raise NotSent("bars: the venue's clock is not known yet")
        return now_ms

    # ── comparing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _same_book(self) -> bool:
        answer = await self._ask(DataClass.BOOK, "book", lambda rest: rest.book(self._symbol, BOOK_DEPTH))
        book = self._state.book
        return (
            book.ready
            and _same_side(answer.bids, book.bids(BOOK_DEPTH))
            and _same_side(answer.asks, book.asks(BOOK_DEPTH))
        )

    async def _same_ticker(self) -> bool:
        answer = await self._ask(DataClass.TICKER, "ticker", lambda rest: rest.ticker(self._symbol))
        ours = self._state.ticker
        return (answer.bid, answer.ask, answer.last, answer.mark) == (ours.bid, ours.ask, ours.last, ours.mark)

    async def _same_bars(self) -> bool:
        """Bars without trades may not be sent; they are taken from the answer. A bar with other volume was not heard of."""
        for interval, bars in self._state.bars.items():
            start_ms, end_ms = self._wanted(interval, bars)
            rows = await self._bars(interval, start_ms, end_ms)
            heard = len(bars) > 0 and start_ms <= int(bars.view()[-1, 0])
            volumes = dict(zip(bars.view()[:, 0].tolist(), bars.view()[:, 5].tolist(), strict=True))
            if not heard or any(volumes.get(row[0], 0.0) != row[5] for row in rows.tolist()):
                return False
            bars.merge(rows)
        return True

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _trades(self) -> tuple[TradeRow, ...]:
        return await self._ask(DataClass.TRADES, "trades", lambda rest: rest.trades(self._symbol, _TRADES))

    async def _bars(self, interval: str, start_ms: int, end_ms: int) -> Columns:
        return await self._ask(
            DataClass.BARS, f"bars {interval}", lambda rest: rest.bars(self._symbol, interval, start_ms, end_ms)
        )

    async def _ask(self, data_class: DataClass, what: str, do: Callable[[PublicRest], Awaitable[R]]) -> R:
        async def begin(rest: PublicRest) -> R:  # after the wait for a turn: that is not the data's age
            self._began_s[data_class] = self._clock.monotonic_s()
            return await do(rest)

        return await ask_market(self._session, f"{self._symbol} {what}", begin, timeout_s=self._timeout_s)


def _same_side(theirs: tuple[tuple[float, float], ...], ours: tuple[tuple[float, float], ...]) -> bool:
    """The levels both show; a stream may carry fewer than were asked for."""
    shared = min(len(theirs), len(ours))
    return theirs[:shared] == ours[:shared] and (shared > 0 or len(theirs) == len(ours))


def trade_columns(rows: tuple[TradeRow, ...]) -> Columns:
    """Trades as rows of `TRADE_COLUMNS`."""
    table = [(row.time_ms, row.price, row.amount, row.taker_side, row.trade_seq) for row in rows]
    return np.array(table, dtype=np.float64).reshape(len(rows), len(TRADE_COLUMNS))
