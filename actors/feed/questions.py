"""Questions about one instrument's market, asked through the venue's session, with the moment each answer is of.

That is when the request's turn had come, or the venue's own stamp where that is later: a request may wait long in the
venue's budget.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from actors.feed.settings import FeedSettings
from actors.messages import ask_market
from engine.kernel import Clock, Ref
from engine.model import Bars, Columns, MarketState, VenueState
from engine.venues.base import BookSnapshot, MarkSnapshot, NotSent, PublicRest, TickerSnapshot, TradeRow

R = TypeVar("R")


class MarketQuestions:
    """Every question raises the `VenueError` that says why there is no answer."""

    def __init__(
        self, session: Ref, symbol: str, state: MarketState, venue: VenueState, clock: Clock, settings: FeedSettings
    ) -> None:
        self._session = session
        self._symbol = symbol
        self._state = state
        self._venue = venue
        self._clock = clock
        self._settings = settings

    def window(self, bars: Bars) -> tuple[int, int]:
        """Opening of the oldest bar that is kept, and the venue's time. `NotSent` while that is not known."""
        now_ms = self._venue_ms()
        open_ms = now_ms - now_ms % bars.interval_ms  # of the bar that is not closed
        return open_ms - (bars.capacity - 1) * bars.interval_ms, now_ms

    async def book(self, depth: int) -> tuple[BookSnapshot, float]:
        answer, began_s = await self._ask("book", lambda rest: rest.book(self._symbol, depth))
        return answer, self._as_of(answer.venue_ms, began_s)

    async def ticker(self) -> tuple[TickerSnapshot, float]:
        answer, began_s = await self._ask("ticker", lambda rest: rest.ticker(self._symbol))
        return answer, self._as_of(answer.venue_ms, began_s)

    async def mark(self) -> tuple[MarkSnapshot, float]:
        answer, began_s = await self._ask("mark", lambda rest: rest.mark(self._symbol))
        return answer, self._as_of(answer.venue_ms, began_s)

    async def trades(
        self, limit: int, *, after_seq: int | None = None, timeout_s: float | None = None, history: bool = True
    ) -> tuple[tuple[TradeRow, ...], float]:
        """In the line for what can wait, unless it cannot: of one symbol they may cost as much as the bars of twenty."""

        async def ask(rest: PublicRest) -> tuple[TradeRow, ...]:
            return await rest.trades(self._symbol, limit, after_seq=after_seq, history=history)

        return await self._ask("trades", ask, timeout_s or self._settings.history_timeout_s, history=history)

    async def bars(self, interval: str, start_ms: int, end_ms: int) -> tuple[Columns, float]:
        return await self._ask(f"bars {interval}", lambda rest: rest.bars(self._symbol, interval, start_ms, end_ms))

    async def _ask(
        self,
        what: str,
        do: Callable[[PublicRest], Awaitable[R]],
        timeout_s: float | None = None,
        *,
        history: bool = False,
    ) -> tuple[R, float]:
        """The answer, and when its turn had come."""
        began_s = self._clock.monotonic_s()

        async def begin(rest: PublicRest) -> R:  # the wait for a turn is not the data's age
            nonlocal began_s
            began_s = self._clock.monotonic_s()
            return await do(rest)

        timeout_s = timeout_s or self._settings.poll_timeout_s
        answer = await ask_market(self._session, f"{self._symbol} {what}", begin, timeout_s=timeout_s, history=history)
        return answer, began_s

    def _as_of(self, venue_ms: int, began_s: float) -> float:
        """What the venue stamped was current then."""
        now_s = self._clock.monotonic_s()
        now_ms = self._venue.now_ms(now_s)
        return began_s if now_ms is None else max(began_s, now_s - max(0, now_ms - venue_ms) / 1000)

    def stamped_s(self, venue_ms: int, otherwise_s: float) -> float:
        """When the venue stamped it: what is computed anew all the time is as old as that, however late it was asked for."""
        now_s = self._clock.monotonic_s()
        now_ms = self._venue.now_ms(now_s)
        return otherwise_s if now_ms is None else now_s - max(0, now_ms - venue_ms) / 1000

    def _venue_ms(self) -> int:
        now_ms = self._venue.now_ms(self._clock.monotonic_s())
        if now_ms is None:
            raise NotSent("bars: the venue's clock is not known yet")
        return now_ms
