"""The market side of one venue: the specs of its feeds, streams and sources, and more of them while it runs."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import trio

from actors.data.errors import DataUnavailable
from actors.feed import FeedSettings, feed_refs, feed_specs, shard_count
from actors.source import SourceSettings, source_path, source_specs
from actors.stream import StreamSettings
from engine.kernel import KernelError, Ref, SupervisorSpec, System
from engine.model import DataRow, VenueState
from engine.venues.base import MarketVenue


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

    def spec(self, symbols: Sequence[str]) -> SupervisorSpec:
        """Feeds and streams of `symbols`, and the sources, which serve whatever is followed."""
        feeds = self._specs(symbols, self._feed)
        sources = source_specs(self._venue, self._rows, self._state, session=self._session, settings=self._source)
        self._announce += [self._address(source_path(self._under, name)) for name in self._polled()]
        return msgspec.structs.replace(feeds, children=(*feeds.children, *sources))

    async def follow(self, system: System, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        """Have these followed too, in these intervals. Those already followed stay as they are.

        Raises `DataUnavailable` for a symbol that is followed in fewer intervals, before anything is added: its feed runs.
        """
        markets = self._state.markets
        for symbol in symbols:
            lacking = [] if symbol not in markets else [i for i in intervals if i not in markets[symbol].bars]
            if lacking:
                kept = ", ".join(markets[symbol].bars) or "no interval"
                why = f"it is followed in {kept} already, and no interval is added while it is"
                raise DataUnavailable(symbol, f"bars {', '.join(lacking)}", why)
        new = [symbol for symbol in symbols if symbol not in markets]
        if not new:
            return
        specs = self._specs(new, msgspec.structs.replace(self._feed, intervals=tuple(intervals)))
        with trio.CancelScope(
            shield=True
        ):  # nothing here waits for the network; half of a market would never be completed
            await self._start(system, new, specs)

    async def _start(self, system: System, symbols: Sequence[str], specs: SupervisorSpec) -> None:
        """All children or none. Raises what starting one of them raised."""
        started: list[str] = []
        try:
            for child in specs.children:
                await system.start_child(f"{self._under}/{specs.name}", child)
                started.append(f"{self._under}/{specs.name}/{child.name}")
        except KernelError:
            for path in reversed(started):
                await system.stop_child(path)
            for symbol in symbols:
                del self._state.markets[symbol], self._feeds[symbol]
            raise

    def _specs(self, symbols: Sequence[str], feed: FeedSettings) -> SupervisorSpec:
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
        self._shards += shard_count(symbols, self._stream)
        for symbol in symbols:
            refs = feed_refs(self._venue, symbol, under=self._under, address=self._address, rows=self._rows)
            self._feeds[symbol] = refs
            self._announce += refs
        return specs

    def _polled(self) -> list[str]:
        return [name for name in self._venue.sources if self._rows[name].via == "poll"]
