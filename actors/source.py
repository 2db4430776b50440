"""The source of one polled class of data: asks for it from time to time, for every market that is followed.

It is what a row `via = "poll"` of the routing table stands for. At the start it asks for as much as is kept, then only for
what came since. What it brings belongs to the markets, so a restart asks for nothing that is not due. One pass at a time, and
few requests at once: they take a small, fixed part of the session's places and do not stand behind the history of bars and
trades, which may take minutes of another budget. A question that fails leaves the rows as they are, growing old in everybody's
sight, and is asked again with growing pauses. Markets are looked up anew before each pass: one that was added is simply due.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import trio

from actors.messages import VenueReachable, ask_market
from engine.kernel import Actor, Backoff, ChildSpec, OnExhausted, Ref, on
from engine.model import Columns, DataRow, MarketState, Samples, VenueState
from engine.model import Source as Origin
from engine.venues.base import MarketVenue, NotSent, PolledSource, PublicRest, RateLimited, Unavailable, VenueError

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]

_LOOK_S = 5.0  # how soon a new market is noticed, at the latest
_HOPELESS = (NotSent, RateLimited, Unavailable)  # nobody else would be answered either
_OVERLAP = 2  # rows asked for again: the newest one may have changed since


class SourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How sources ask; what they ask for, and how often, is the routing table's."""

    concurrent: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2  # requests of one source at a time
    request_timeout_s: Seconds = 600.0  # with the wait for a place and for the venue's budget
    retry_min_s: Seconds = 1.0
    retry_max_s: Seconds = 60.0


class SourcePlan(msgspec.Struct, frozen=True):
    """One source's adapter and row, and the venue it asks."""

    source: PolledSource[Any]
    row: DataRow
    state: VenueState
    session: Ref

    def samples(self, market: MarketState) -> Samples:
        return samples_of(self.source, self.row, market)


class Source(Actor):
    """Writes the rows of one source into every followed market."""

    def __init__(self, plan: SourcePlan, settings: SourceSettings) -> None:
        super().__init__()
        self._plan = plan
        self._settings = settings
        self._now_s = self.ctx.clock.monotonic_s
        self._backoff = Backoff(min_s=settings.retry_min_s, max_s=settings.retry_max_s, jitter=0.5)
        self._answered_s: dict[str, float] = {}  # by symbol
        self._tried_s: dict[str, float] = {}
        self._reachable = trio.Event()

    async def on_start(self) -> None:
        self.spawn(self._keep_asking, name="passes")

    @on(VenueReachable)
    def venue_reachable(self, _message: VenueReachable) -> None:
        self._reachable.set()

    async def _keep_asking(self) -> None:
        failures = 0
        while True:
            self._reachable = trio.Event()
            errors = await self._ask_for(self._due())
            failures = failures + 1 if errors else 0
            await self._pause(errors, failures)

    def _due(self) -> list[str]:
        """The markets whose last answer is `poll_s` old, or that never had one; those tried longest ago first."""
        now_s, markets = self._now_s(), self._plan.state.markets
        self._answered_s = {symbol: at_s for symbol, at_s in self._answered_s.items() if symbol in markets}
        self._tried_s = {symbol: at_s for symbol, at_s in self._tried_s.items() if symbol in markets}
        due = [symbol for symbol, market in markets.items() if self._due_s(symbol, market) <= now_s]
        return sorted(due, key=lambda symbol: self._tried_s.get(symbol, float("-inf")))

    def _due_s(self, symbol: str, market: MarketState) -> float:
        """An answer without rows counts too: the venue has nothing of this symbol and need not be asked at once."""
        heard_s = self._plan.samples(market).fresh.heard_s
        return max(heard_s, self._answered_s.get(symbol, heard_s)) + self._plan.row.poll_s

    async def _pause(self, errors: Sequence[VenueError], failures: int) -> None:
        """Until something is due. After a failure for as long as is polite; where the venue was away, until it is back."""
        if not errors:
            await trio.sleep(self._next_s())
            return
        asked_for_s = max(error.retry_after_s if isinstance(error, RateLimited) else 0.0 for error in errors)
        wait_s = max(asked_for_s, self._backoff.delay_s(failures, self.ctx.entropy))
        self.log.debug("{} of a pass failed, again in {:.1f} s: {}", len(errors), wait_s, errors[0])
        await trio.sleep(asked_for_s)
        with trio.move_on_after(wait_s - asked_for_s):
            await self._reachable.wait()

    def _next_s(self) -> float:
        """How long until the next market is due, or might have been added."""
        dues = (self._due_s(symbol, market) for symbol, market in self._plan.state.markets.items())
        return max(0.0, min([_LOOK_S, *(due_s - self._now_s() for due_s in dues)]))

    # ── one pass ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _ask_for(self, symbols: Sequence[str]) -> list[VenueError]:
        """Ask once for each of `symbols`, or once for all; what went wrong."""
        errors: list[VenueError] = []
        if self._plan.source.at_once:
            if symbols:
                await self._ask(tuple(self._plan.state.markets), errors)
            return errors
        rest = iter(symbols)
        async with trio.open_nursery() as nursery:
            for _ in range(min(self._settings.concurrent, len(symbols))):
                nursery.start_soon(self._work, rest, errors)
        return errors

    async def _work(self, symbols: Iterator[str], errors: list[VenueError]) -> None:
        """One of a few workers. When the venue is away, or we ask too much of it, the rest is left to the next pass."""
        for symbol in symbols:
            if any(isinstance(error, _HOPELESS) for error in errors):
                return
            self._tried_s[symbol] = self._now_s()
            await self._ask((symbol,), errors)

    async def _ask(self, symbols: Sequence[str], errors: list[VenueError]) -> None:
        source, began_s = self._plan.source, self._now_s()
        limit = max((self._limit(symbol) for symbol in symbols), default=1)

        async def fetch(rest: PublicRest) -> Mapping[str, Columns]:
            nonlocal began_s
            began_s = self._now_s()  # after the wait for a turn: that is not the data's age
            return await source.fetch(rest, symbols, limit)

        try:
            answer = await ask_market(
                self._plan.session, source.name, fetch, timeout_s=self._settings.request_timeout_s
            )
        except VenueError as error:
            errors.append(error)
        else:
            self._take(symbols, answer, began_s)

    def _take(self, symbols: Sequence[str], answer: Mapping[str, Columns], began_s: float) -> None:
        markets = self._plan.state.markets
        for symbol in symbols:
            self._answered_s[symbol] = began_s
            if symbol not in markets:
                continue
            samples = self._plan.samples(markets[symbol])
            if symbol in answer:
                samples.take(answer[symbol], began_s)
            elif not len(samples):
                samples.fresh.touch(Origin.REST, began_s)  # the venue was asked and has none

    def _limit(self, symbol: str) -> int:
        """As many rows as must have come since the newest one, and a few more; everything while little is known."""
        market = self._plan.state.markets.get(symbol)
        now_ms = self._plan.state.now_ms(self._now_s())
        keep = self._plan.row.keep
        if market is None or now_ms is None:
            return keep
        newest = self._plan.samples(market).view(2)[:, 0]
        if len(newest) < 2:
            return keep
        spacing_ms = newest[1] - newest[0]
        return max(_OVERLAP, min(keep, math.ceil(float((now_ms - newest[1]) / spacing_ms)) + _OVERLAP))


def add_samples(venue: MarketVenue, table: Mapping[str, DataRow], state: VenueState) -> None:
    """Give each market an empty place for the rows of each polled source."""
    for name, source in venue.sources.items():
        if table[name].via == "poll":
            for market in state.markets.values():
                samples_of(source, table[name], market)


def samples_of(source: PolledSource[Any], row: DataRow, market: MarketState) -> Samples:
    """Where a market keeps a source's rows; made when it is not there yet."""
    if source.name not in market.samples:
        market.samples[source.name] = Samples(source.columns, capacity=row.keep, bound_s=row.age_s)
    return market.samples[source.name]


def source_specs(
    venue: MarketVenue, table: Mapping[str, DataRow], state: VenueState, *, session: Ref, settings: SourceSettings
) -> tuple[ChildSpec, ...]:
    """One child for each polled row of `table` that the venue has an adapter for.

    The markets there are get an empty place for its rows at once.
    """
    add_samples(venue, table, state)
    plans = [
        SourcePlan(source, table[name], state, session)
        for name, source in venue.sources.items()
        if table[name].via == "poll"
    ]
    return tuple(_source_spec(plan, settings) for plan in plans)


def _source_spec(plan: SourcePlan, settings: SourceSettings) -> ChildSpec:
    return ChildSpec(f"source:{plan.source.name}", lambda: Source(plan, settings), on_exhausted=OnExhausted.PARK)
