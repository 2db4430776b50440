"""The market side of one venue, assembled: feeds, streams, sources and the audit, and the way to have more symbols followed."""

from collections.abc import Sequence

import msgspec
import trio

from actors._sections import VenueSection, table_of
from actors.audit import audit_spec
from actors.feed import feed_refs, feed_specs, shard_count
from actors.parts import FollowRefused, NodeParts, VenueParts
from actors.source import add_samples, source_specs
from engine.kernel import ChildSpec, KernelError, Ref, SupervisorSpec
from engine.model import VenueState
from engine.venues.base import MarketVenue

MOST_SYMBOLS = 2000


class Markets:
    """Makes the specs of one venue's market side and fills its `VenueParts`.

    `announce` grows with what has to be told that the venue is in reach; the session reads it each time.
    """

    def __init__(self, venue: MarketVenue, section: VenueSection, node: NodeParts, root: str) -> None:
        state = VenueState(venue.name)
        self.venue = venue
        self._section = section
        self._node = node
        self._under = f"{root}/parts"
        self._shards = 0
        self._adding = trio.Lock()
        self.announce: list[Ref] = []
        self.parts = VenueParts(
            venue.name,
            state,
            node.system.address(f"{root}/session"),
            policy=table_of(section),
            routes=venue.routes,
            follow=self.follow,
        )

    def specs(self) -> tuple[SupervisorSpec | ChildSpec, ...]:
        """Feeds with their streams and the polled sources as one supervisor, and the audit."""
        section, parts = self._section, self.parts
        feeds = self._feeds(section.symbols, section.feed.intervals)
        sources = source_specs(self.venue, parts.policy, parts.state, session=parts.session, settings=section.source)
        self.announce += [self._node.system.address(f"{self._under}/feeds/{spec.name}") for spec in sources]
        feeds = msgspec.structs.replace(feeds, children=(*feeds.children, *sources))
        return (feeds, *self._audits())

    def _audits(self) -> tuple[ChildSpec, ...]:
        parts, settings = self.parts, self._section.audit
        if not settings.on:
            return ()
        return (audit_spec(parts.state, session=parts.session, notifier=self._node.notifier, settings=settings),)

    def _feeds(self, symbols: Sequence[str], intervals: Sequence[str]) -> SupervisorSpec:
        """Feeds and streams of some more symbols; from now on they are in the state and in the parts."""
        section, parts, address = self._section, self.parts, self._node.system.address
        feeds = feed_specs(
            self.venue,
            parts.state,
            symbols,
            under=self._under,
            address=address,
            session=parts.session,
            rows=parts.policy,
            feed=msgspec.structs.replace(section.feed, intervals=tuple(intervals)),
            stream=section.stream,
            first_shard=self._shards,
        )
        add_samples(self.venue, parts.policy, parts.state)
        self._shards += shard_count(symbols, section.stream)
        for symbol in symbols:
            refs = feed_refs(self.venue, symbol, under=self._under, address=address, rows=parts.policy)
            parts.feeds[symbol] = refs
            self.announce += refs
        return feeds

    async def follow(self, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        """Follow these symbols too. What is followed already stays as it is; `FollowRefused` where that is not enough."""
        async with self._adding:
            new = [symbol for symbol in dict.fromkeys(symbols) if symbol not in self.parts.state.markets]
            self._check_followed(symbols, intervals)
            self._check_new(new)
            if not new:
                return
            await self._start(new, self._feeds(new, intervals).children)

    async def _start(self, new: Sequence[str], children: Sequence[SupervisorSpec | ChildSpec]) -> None:
        """All of `children`, or none: what does not start takes back what did."""
        under, started = f"{self._under}/feeds", list[str]()
        try:
            for child in children:
                await self._node.system.start_child(under, child)
                started.append(child.name)
        except KernelError as error:
            for name in reversed(started):
                await self._node.system.stop_child(f"{under}/{name}")
            for symbol in new:
                del self.parts.state.markets[symbol]
                for ref in self.parts.feeds.pop(symbol):
                    self.announce.remove(ref)
            raise FollowRefused(f"{self.parts.name}: {', '.join(new[:10])} could not be followed: {error}") from error

    def _check_followed(self, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        for symbol in symbols:
            market = self.parts.state.markets.get(symbol)
            lacking = [interval for interval in intervals if market is not None and interval not in market.bars]
            if market is not None and lacking:
                raise FollowRefused(
                    f"{market.instrument} is followed in {', '.join(market.bars)}: {', '.join(lacking)} cannot be added while"
                    f" the node runs; add it to venues.{self.parts.name}.feed.intervals"
                )

    def _check_new(self, new: Sequence[str]) -> None:
        state = self.parts.state
        if len(state.markets) + len(new) > MOST_SYMBOLS:
            raise FollowRefused(f"{state.name}: expected at most {MOST_SYMBOLS} symbols, got {len(new)} more")
        unknown = [symbol for symbol in new if state.instruments and symbol not in state.instruments]
        if unknown:
            raise FollowRefused(f"{state.name}: expected symbols the venue lists, got {', '.join(unknown[:10])}")
