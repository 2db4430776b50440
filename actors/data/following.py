"""The feeds, streams and sources of one venue: their specs, and more of them while they run."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import trio

from actors.data.errors import FollowRefused
from actors.feed import FeedSettings, feed_refs, feed_specs, shard_count
from actors.feed.seat import carried
from actors.source import SourceSettings, add_samples, source_specs
from actors.stream import StreamSettings
from engine.kernel import ChildSpec, KernelError, Ref, SupervisorSpec, System
from engine.model import DataRow, VenueState
from engine.venues.base import MarketVenue

MOST_SYMBOLS = 2000


class MarketTree:
    """Makes the supervisor "feeds", to be placed below the one at `under`, and adds children to it.

    `feeds` is filled with the addresses of each symbol's feeds. `announce` is the very list `session_spec` was given: the session
    tells everybody on it that the venue is in reach, those that were added later too.
    """

    def __init__(
        self,
        venue: MarketVenue,
        state: VenueState,
        *,
        under: str,
        address: Callable[[str], Ref],
        session: Ref,
        rows: Mapping[str, DataRow],
        feed: FeedSettings,
        stream: StreamSettings,
        source: SourceSettings,
        feeds: dict[str, tuple[Ref, ...]],
        announce: list[Ref],
    ) -> None:
        self._venue = venue
        self._state = state
        self._under = under
        self._address = address
        self._session = session
        self._rows = rows
        self._feed = feed
        self._stream = stream
        self._source = source
        self._feeds = feeds
        self._announce = announce
        self._shards = 0
        self._adding = trio.Lock()

    def spec(self, symbols: Sequence[str]) -> SupervisorSpec:
        """Feeds and streams of `symbols`, and the sources, which serve whatever is followed. Raises `FollowRefused`."""
        self._check_streams(symbols, self._feed.intervals)
        feeds = self._specs(symbols, self._feed)
        sources = source_specs(self._venue, self._rows, self._state, session=self._session, settings=self._source)
        self._announce += [self._address(f"{self._under}/{feeds.name}/{spec.name}") for spec in sources]
        return msgspec.structs.replace(feeds, children=(*feeds.children, *sources))

    async def follow(self, system: System, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        """Follow these symbols too. What is followed already stays as it is; `FollowRefused` where that is not enough."""
        async with self._adding:
            new = [symbol for symbol in dict.fromkeys(symbols) if symbol not in self._state.markets]
            self._check_followed(symbols, intervals)
            self._check_new(new)
            self._check_streams(new, intervals)
            if new:
                specs = self._specs(new, msgspec.structs.replace(self._feed, intervals=tuple(intervals)))
                with trio.CancelScope(
                    shield=True
                ):  # none of it waits for the network; half of a market would stay half
                    await self._start(system, new, f"{self._under}/{specs.name}", specs.children)

    async def _start(
        self, system: System, new: Sequence[str], under: str, children: Sequence[SupervisorSpec | ChildSpec]
    ) -> None:
        """All of `children`, or none: what does not start takes back what did."""
        started: list[str] = []
        try:
            for child in children:
                await system.start_child(under, child)
                started.append(child.name)
        except KernelError as error:
            for name in reversed(started):
                await system.stop_child(f"{under}/{name}")
            for symbol in new:
                del self._state.markets[symbol]
                for ref in self._feeds.pop(symbol):
                    self._announce.remove(ref)
            raise FollowRefused(f"{self._state.name}: {', '.join(new[:10])} could not be followed: {error}") from error

    def _check_followed(self, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        for symbol in symbols:
            market = self._state.markets.get(symbol)
            lacking = [interval for interval in intervals if market is not None and interval not in market.bars]
            if market is not None and lacking:
                raise FollowRefused(
                    f"{market.instrument} is followed in {', '.join(market.bars)}: {', '.join(lacking)} cannot be added while"
                    " it is followed; name every interval from the start (in a node: its venue's feed.intervals)"
                )

    def _check_new(self, new: Sequence[str]) -> None:
        if len(self._state.markets) + len(new) > MOST_SYMBOLS:
            raise FollowRefused(f"{self._state.name}: expected at most {MOST_SYMBOLS} symbols, got {len(new)} more")
        check_listed(self._state, new)

    def _check_streams(self, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        """Whether a connection can carry all that it would have to."""
        most = self._stream.symbols_per_stream
        for route in self._venue.routes:
            adapter = self._venue.stream(route, carried(self._venue, route, self._rows, ("stream",)))
            try:
                adapter.subscribe(tuple(symbols[:most]), intervals)
            except ValueError as error:
                raise FollowRefused(
                    f"{self._state.name}: fewer intervals, or less than {most} symbols a stream: {error}"
                ) from error

    def _specs(self, symbols: Sequence[str], feed: FeedSettings) -> SupervisorSpec:
        """Feeds and streams of some more symbols; from now on they are in the state and among the feeds."""
        specs = feed_specs(
            self._venue,
            self._state,
            symbols,
            under=self._under,
            address=self._address,
            session=self._session,
            rows=self._rows,
            feed=feed,
            stream=self._stream,
            first_shard=self._shards,
        )
        add_samples(self._venue, self._rows, self._state)
        self._shards += shard_count(symbols, self._stream)
        for symbol in symbols:
            refs = feed_refs(self._venue, symbol, under=self._under, address=self._address, rows=self._rows)
            self._feeds[symbol] = refs
            self._announce += refs
        return specs


def check_listed(state: VenueState, symbols: Sequence[str]) -> None:
    """Raises `FollowRefused` for symbols the venue, once it has said what it lists, does not have."""
    unknown = [symbol for symbol in symbols if state.instruments and symbol not in state.instruments]
    if unknown:
        raise FollowRefused(f"{state.name}: expected symbols the venue lists, got {', '.join(unknown[:10])}")
