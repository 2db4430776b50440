"""The audit of one venue: holds what is in memory against the venue's own answers, and says when the data is not good.

It goes round the markets, one at a time and slowly: of each it asks for the last closed bars of one interval, another one at
each visit, for the mark price and for the top of the book. Closed bars must be equal, figure by figure: what differs is
counted, logged and replaced by the venue's word. A mark moves, so it must only be about right; a book is compared only if
question and memory met after the very same change. All of it waits behind everything else at the session.

At each visit it also reads the counters the feed keeps. Too much missing, late, out of order or mismatched since the visit
before is a notice, once for a market's class of data until a visit finds it good again.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, TypeVar

import msgspec
import trio

from actors._comparing import best_of, same_book, same_mark, settled_span, wrong_bars
from actors.messages import Notify, ask_market, notice_by
from engine.kernel import Actor, Backoff, ChildSpec, OnExhausted, Ref
from engine.model import DataClass, MarketState, Quality, Severity, VenueState
from engine.venues.base import NotSent, PublicRest, RateLimited, VenueError

R = TypeVar("R")
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]

_BOOK_DEPTH = 5


class AuditLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """More than this between two visits is a notice."""

    missing: Count = 0  # that no request brought back
    mismatched: Count = 0
    out_of_order: Count = 100
    lag_ms: Annotated[float, msgspec.Meta(gt=0)] = 2000.0


class AuditSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a visit asks for, and how often. At Binance a visit costs 4 of the 2,400 weight units a minute: bars 1, mark 1, book 2."""

    on: bool = True
    every_s: Seconds = 60.0  # a market is visited no oftener
    gap_s: Seconds = 1.0  # between two visits: 200 markets take 200 s
    bars: Annotated[int, msgspec.Meta(ge=0, le=99)] = 5  # closed ones of one interval; 0: none
    mark: bool = True
    book: bool = True
    notices: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20  # in one round; what is more is told as a number
    settle_s: Seconds = 10.0  # a bar is compared this long after its end
    mark_tolerance: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.005
    request_timeout_s: Seconds = 120.0
    limits: AuditLimits = AuditLimits()


class Audit(Actor):
    """See the module's page."""

    def __init__(self, state: VenueState, session: Ref, notifier: Ref, settings: AuditSettings) -> None:
        super().__init__()
        self._state = state
        self._session = session
        self._notifier = notifier
        self._settings = settings
        self._now_s = self.ctx.clock.monotonic_s
        self._backoff = Backoff(min_s=settings.gap_s, max_s=max(60.0, settings.gap_s), jitter=0.5)
        self._seen: dict[tuple[str, DataClass], _Seen] = {}
        self._round = 0
        self._raised = 0  # in this round

    async def on_start(self) -> None:
        self.spawn(self._go_round, name="rounds")

    async def _go_round(self) -> None:
        """For ever. One visit at a time, spread evenly over `every_s` where there are few markets."""
        failures = 0
        while True:
            symbols = tuple(self._state.markets)
            pause_s = max(self._settings.gap_s, self._settings.every_s / max(1, len(symbols)))
            for symbol in symbols:
                await trio.sleep(max(pause_s, self._backoff.delay_s(failures, self.ctx.entropy) if failures else 0.0))
                failures = 0 if await self._visit(symbol) else failures + 1
            if not symbols:
                await trio.sleep(pause_s)
            self._round += 1
            self._end_notices()
            self._seen = {key: seen for key, seen in self._seen.items() if key[0] in self._state.markets}

    async def _visit(self, symbol: str) -> bool:
        """Compare one market and judge its counters; False when the venue did not answer."""
        market = self._state.markets.get(symbol)
        if market is None:
            return True
        for data_class, quality in market.quality.items():
            self._seen.setdefault((symbol, data_class), _Seen(quality))
        try:
            await self._compare(symbol, market)
        except RateLimited as error:
            self.log.debug("{} not compared: {}", symbol, error)
            await trio.sleep(error.retry_after_s)
            return False
        except VenueError as error:
            self.log.debug("{} not compared: {}", symbol, error)
            return False
        finally:
            self._judge(symbol, market)
        return True

    # ── comparing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _compare(self, symbol: str, market: MarketState) -> None:
        if self._settings.bars and market.bars:
            intervals = tuple(market.bars)
            await self._compare_bars(symbol, market, intervals[self._round % len(intervals)])
        if self._settings.mark and market.mark_fresh is not None:
            await self._compare_mark(symbol, market)
        if self._settings.book and DataClass.BOOK in market.quality:
            await self._compare_book(symbol, market)

    async def _compare_bars(self, symbol: str, market: MarketState, interval: str) -> None:
        """Row by row; the venue's row takes the place of one that differs."""
        bars = market.bars[interval]
        now_ms = self._state.now_ms(self._now_s())
        if now_ms is None:
            raise NotSent("bars: the venue's clock is not known yet")
        span = settled_span(bars, now_ms, int(self._settings.settle_s * 1000), self._settings.bars)
        if span is None or interval not in market.loaded:
            return
        first_ms, last_ms = span
        end_ms = last_ms + bars.interval_ms - 1
        rows = await self._ask(
            f"{symbol} bars {interval}", lambda rest: rest.bars(symbol, interval, first_ms, end_ms, history=True)
        )
        rows = rows[(rows[:, 0] >= first_ms) & (rows[:, 0] <= last_ms)]
        wrong = wrong_bars(bars, rows)
        _count(market.quality[DataClass.BARS], len(rows), len(wrong))
        for bar in wrong:
            self.log.warning("{} {}: the bar of {:.0f} is mended: {}", symbol, interval, bar.row[0], bar.difference)
            bars.upsert(bar.row, closed=True)

    async def _compare_mark(self, symbol: str, market: MarketState) -> None:
        fresh, before = market.mark_fresh, market.ticker.mark
        theirs = await self._ask(f"{symbol} mark", lambda rest: rest.mark(symbol))
        if fresh is None or fresh.stale(self._now_s()):
            return  # it is called stale already
        same = same_mark((before, market.ticker.mark), theirs.mark, self._settings.mark_tolerance)
        if same is not None:
            _count(_mark_quality(market), 1, int(not same))

    async def _compare_book(self, symbol: str, market: MarketState) -> None:
        before = best_of(market.book)
        theirs = await self._ask(f"{symbol} book", lambda rest: rest.book(symbol, _BOOK_DEPTH))
        same = same_book((before, best_of(market.book)), theirs)
        if same is not None:
            _count(market.quality[DataClass.BOOK], 1, int(not same))

    async def _ask(self, what: str, do: Callable[[PublicRest], Awaitable[R]]) -> R:
        return await ask_market(self._session, what, do, timeout_s=self._settings.request_timeout_s, history=True)

    # ── judging ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _judge(self, symbol: str, market: MarketState) -> None:
        for data_class, quality in market.quality.items():
            seen = self._seen[symbol, data_class]
            wrong = ", ".join(seen.since(quality, self._settings.limits))
            if wrong and not seen.told:
                self._raise(f"{market.instrument} {data_class}: {wrong}")
            elif seen.told and not wrong:
                self.log.info("{} {} is good again", market.instrument, data_class)
            seen.told = bool(wrong)

    def _raise(self, text: str) -> None:
        """A connection that is in trouble is in trouble for all its markets: a few of them tell the story."""
        self._raised += 1
        if self._raised <= self._settings.notices:
            self._notify(text)
        else:
            self.log.warning("{}", text)

    def _end_notices(self) -> None:
        more, self._raised = self._raised - self._settings.notices, 0
        if more > 0:
            self._notify(f"{self._state.name}: {more} more classes of data are not good; the log names them")

    def _notify(self, text: str) -> None:
        self._notifier.tell(Notify(notice_by(self.ctx, Severity.WARNING, "data.quality", text)))


class _Seen:
    """The counters of one class of one market at the last visits."""

    __slots__ = ("lost", "mismatched", "out_of_order", "repaired", "told", "unrepaired")

    def __init__(self, quality: Quality) -> None:
        self.told = False
        self.unrepaired, self.lost = 0, quality.lost
        self.repaired = quality.repaired + quality.lost  # settled, one way or the other
        self.out_of_order = quality.out_of_order
        self.mismatched = quality.mismatched

    def since(self, quality: Quality, limits: AuditLimits) -> Iterator[str]:
        """What has been too much since the visit before; and then this visit is the one before.

        What is missing now may be on its way: lost is what was missing at the visit before and was not brought since.
        """
        lost = quality.lost + max(0, self.unrepaired - (quality.repaired + quality.lost - self.repaired))
        missing = lost - self.lost
        mismatched = quality.mismatched - self.mismatched
        out_of_order = quality.out_of_order - self.out_of_order
        self.lost, self.unrepaired, self.repaired = lost, quality.unrepaired, quality.repaired + quality.lost
        self.mismatched, self.out_of_order = quality.mismatched, quality.out_of_order
        if missing > limits.missing:
            yield f"{missing} missing, and not brought back"
        if mismatched > limits.mismatched:
            yield f"{mismatched} not what the venue says"
        if out_of_order > limits.out_of_order:
            yield f"{out_of_order} out of order"
        if quality.lag_ms > limits.lag_ms:
            yield f"comes {quality.lag_ms:.0f} ms late"


def _count(quality: Quality, compared: int, mismatched: int) -> None:
    quality.compared += compared
    quality.mismatched += mismatched


def _mark_quality(market: MarketState) -> Quality:
    return market.quality[DataClass.MARK if DataClass.MARK in market.quality else DataClass.TICKER]


def audit_spec(state: VenueState, *, session: Ref, notifier: Ref, settings: AuditSettings) -> ChildSpec:
    """The audit's place."""
    return ChildSpec("audit", lambda: Audit(state, session, notifier, settings), on_exhausted=OnExhausted.PARK)
