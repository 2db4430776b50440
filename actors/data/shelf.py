"""Where everything that can be read stands: the markets of some venues, found by symbol, with what is known of their age.

It counts as the interface's figures want it: a read that memory answered is a hit, stale or not, since stale data is served
while it is renewed; a read that found nothing is a miss. A bad argument is neither.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from actors.data.errors import BadArgument, DataError, DataUnavailable
from actors.data.values import ValueInfo
from engine.kernel import Clock
from engine.model import DataClass, DataRow, Freshness, MarketState, Samples, Source, VenueState, split_instrument

#: Adds markets to the running tree: symbols, and intervals to follow them in. Those already followed stay as they are.
Follow: TypeAlias = Callable[[Sequence[str], Sequence[str]], Awaitable[None]]


class VenueData(Protocol):
    """One venue as a reader sees it: its markets, its routing table in force, which classes come by which route."""

    @property
    def state(self) -> VenueState: ...
    @property
    def policy(self) -> Mapping[str, DataRow]: ...
    @property
    def routes(self) -> Mapping[str, frozenset[DataClass]]: ...
    @property
    def follow(self) -> Follow | None: ...


class VenueMarkets(msgspec.Struct):
    """A venue that is nothing but its markets: outside a node, where no assembly holds it."""

    state: VenueState
    policy: Mapping[str, DataRow] = {}
    routes: Mapping[str, frozenset[DataClass]] = {}
    follow: Follow | None = None


class Found(msgspec.Struct, frozen=True):
    """A market by the name it was asked for."""

    name: str
    venue: VenueData
    market: MarketState


class Counts(msgspec.Struct):
    """Reads so far."""

    hits: int = 0
    misses: int = 0
    stale: int = 0
    degraded: int = 0


class Shelf:
    """The markets of `venues`, read in place. A bare symbol is the default venue's, or the only venue's that follows it."""

    def __init__(self, venues: Mapping[str, VenueData], clock: Clock, default_venue: str) -> None:
        self.venues = venues
        self.clock = clock
        self.default_venue = default_venue
        self.counts = Counts()
        self.failure: DataError | None = None  # what brought the data has ended: nothing may be read any more

    # ── finding ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, name: str, what: str) -> Found:
        """The market called `name`. Raises `DataUnavailable`, or the failure of what brought the data."""
        if self.failure is not None:
            raise self.failure
        venue_name, symbol = split_instrument(name, self.default_venue)
        venue = self.venues.get(venue_name)
        market = venue.state.markets.get(symbol) if venue else None
        if venue is not None and market is not None:
            return Found(name, venue, market)
        if ":" in name:
            known = "not followed" if venue else f"no venue of that name, only: {', '.join(self.venues) or 'none'}"
            raise self.missing(name, what, known)
        followers = [other for other in self.venues.values() if symbol in other.state.markets]
        if len(followers) == 1:
            return Found(name, followers[0], followers[0].state.markets[symbol])
        if followers:
            choice = ", ".join(f"{other.state.name}:{symbol}" for other in followers)
            raise self.missing(name, what, f"followed at several venues, say which: {choice}")
        raise self.missing(name, what, "not followed; `initialize` adds it")

    def markets(self, only: str = "") -> Iterator[tuple[str, VenueData, MarketState]]:
        """Every market, or `only` one venue's, by the shortest name it has: bare at the default venue, `venue:symbol` elsewhere."""
        for name, venue in self.venues.items():
            if only not in ("", name):
                continue
            for symbol, market in venue.state.markets.items():
                yield (symbol if name == self.default_venue else f"{name}:{symbol}"), venue, market

    def fresh(self, found: Found, data_class: DataClass, what: str) -> Freshness:
        """The freshness of a class that is followed. Raises `DataUnavailable`."""
        fresh = found.market.fresh.get(data_class)
        if fresh is None:
            raise self.missing(found.name, what, self._why_not(found.venue, data_class))
        return fresh

    def samples(self, found: Found, source: str, what: str) -> Samples:
        """The rows of a polled source, at least one. Raises `DataUnavailable`."""
        samples = found.market.samples.get(source)
        if samples is None:
            raise self.missing(found.name, what, self._why_not(found.venue, source))
        if not len(samples):
            raise self.missing(found.name, what, self.nothing_yet(found, samples.fresh))
        return samples

    # ── saying ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def missing(self, name: str, what: str, why: str) -> DataUnavailable:
        """The error of a read that found nothing; counted."""
        self.counts.misses += 1
        return DataUnavailable(name, what, why)

    def nothing_yet(self, found: Found, fresh: Freshness | None) -> str:
        """Why there is no value although it is followed."""
        problem = found.venue.state.problem
        if problem:
            return f"nothing came yet: {problem}"
        _, symbol = split_instrument(found.market.instrument, "")
        if found.venue.state.instruments and symbol not in found.venue.state.instruments:
            return "nothing came yet: the venue does not list it"
        if fresh is not None and fresh.source is not Source.NONE:
            return "the venue was asked and has none"
        return "nothing came yet"

    def served(
        self, found: Found, fresh: Freshness, data_class: DataClass | None = None, *, complete: bool = True
    ) -> ValueInfo:
        """What to say of a value that is there; counted. `data_class` None: of a polled source."""
        age_s = fresh.age_s(self.clock.monotonic_s())
        stale = age_s > fresh.bound_s
        degraded = data_class is not None and self.degraded(found.venue, found.market, data_class)
        counts = self.counts
        counts.hits += 1
        counts.stale += stale
        counts.degraded += degraded
        return ValueInfo(
            source=fresh.source,
            age_s=None if fresh.source is Source.NONE else age_s,
            stale=stale,
            degraded=degraded,
            complete=complete,
        )

    @staticmethod
    def degraded(venue: VenueData, market: MarketState, data_class: DataClass) -> bool:
        """Whether REST serves a class that should be streamed."""
        row = venue.policy.get(data_class)
        if row is not None and row.via != "stream":
            return False
        for route, classes in venue.routes.items():
            if data_class in classes:
                return market.modes.get(route) == "polling"
        return market.mode == "polling"

    @staticmethod
    def _why_not(venue: VenueData, name: str) -> str:
        row = venue.policy.get(name)
        if row is not None and row.via == "off":
            return f"off in the routing table of {venue.state.name}"
        return f"{venue.state.name} has no such data"


# ── arguments ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def checked_limit(limit: Any) -> int:
    """A number of rows. Raises `BadArgument`."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadArgument("limit", "a whole number of at least 1", repr(limit))
    return limit


def one_of(field: str, value: Any, allowed: Sequence[Any]) -> None:
    """Raises `BadArgument` for a value that is not allowed."""
    if isinstance(value, bool) or value not in allowed:
        raise BadArgument(field, f"one of {', '.join(map(str, allowed)) or 'none: nothing is followed'}", repr(value))
