"""What a venue's feeds and streams are in the tree: names, paths, shards, and the specs of all of them."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from actors.feed.polling import POLLING, PollingFeed
from actors.feed.seat import FeedSeat, carried
from actors.feed.settings import FeedSettings
from actors.feed.streaming import STREAMING, StreamingFeed
from actors.stream import Pulse, Stream, StreamPlan, StreamSettings
from engine.kernel import ChildSpec, LadderPolicy, Mode, OnExhausted, Ref, SupervisorSpec
from engine.model import DataClass, DataRow, MarketState, VenueState, instrument_id
from engine.venues.base import MarketVenue

_FEEDS = "feeds"

Address = Callable[[str], Ref]


def feed_path(under: str, symbol: str, route: str = "") -> str:
    """Path of a feed below the supervisor at `under` that holds what `feed_specs` returned."""
    return f"{under}/{_FEEDS}/{_feed_name(symbol, route)}"


def feed_refs(
    venue: MarketVenue, symbol: str, *, under: str, address: Address, rows: Mapping[str, DataRow]
) -> tuple[Ref, ...]:
    """All feeds of a symbol."""
    return tuple(address(feed_path(under, symbol, route)) for route in _routes(venue, rows))


def shard_count(symbols: Sequence[str], stream: StreamSettings) -> int:
    """How many connections on each route `symbols` take."""
    return -(-len(symbols) // stream.symbols_per_stream)


def feed_specs(
    venue: MarketVenue,
    state: VenueState,
    symbols: Sequence[str],
    *,
    under: str,
    address: Address,
    session: Ref,
    rows: Mapping[str, DataRow],
    feed: FeedSettings,
    stream: StreamSettings,
    first_shard: int = 0,
) -> SupervisorSpec:
    """Feeds and streams for `symbols`, as one supervisor to be placed below `under`; their empty markets are put into `state`.

    Feeds start before the streams that fill them and stop after them. Each parks by itself: none takes another with it.
    To add symbols to a running tree, start the children of what this returns for them below the supervisor that is there,
    in order, with `first_shard` the number of shards it has.
    """
    feeds: list[ChildSpec] = []
    streams: list[ChildSpec] = []
    for symbol in symbols:
        state.markets.setdefault(symbol, _market(venue, instrument_id(state.name, symbol), rows, feed.intervals))
    for number, first in enumerate(range(0, len(symbols), stream.symbols_per_stream), start=first_shard):
        shard = symbols[first : first + stream.symbols_per_stream]
        for route in _routes(venue, rows):
            pulse, streamed = Pulse(), carried(venue, route, rows, ("stream",))
            name = _stream_name(route, number)
            stream_ref = address(f"{under}/{_FEEDS}/{name}") if streamed else None
            for symbol in shard:
                seat = FeedSeat(
                    venue, state, symbol, route,
                    rows=rows, settings=feed, session=session, stream=stream_ref, pulse=pulse,
                )  # fmt: skip
                feeds.append(_feed_spec(seat))
            if streamed:
                fed = {symbol: address(feed_path(under, symbol, route)) for symbol in shard}
                adapter = partial(venue.stream, route, streamed)
                streams.append(_stream_spec(name, StreamPlan(adapter, fed, feed.intervals, state, pulse), stream))
    return SupervisorSpec(_FEEDS, children=(*feeds, *streams), on_exhausted=OnExhausted.PARK)


def _routes(venue: MarketVenue, rows: Mapping[str, DataRow]) -> tuple[str, ...]:
    """Those that carry anything at all."""
    return tuple(route for route in venue.routes if carried(venue, route, rows))


def _market(
    venue: MarketVenue, instrument: str, rows: Mapping[str, DataRow], intervals: tuple[str, ...]
) -> MarketState:
    """An empty state for what the routing table does not switch off."""
    on: set[DataClass] = {name for route in venue.routes for name in carried(venue, route, rows)}
    if not intervals:
        on.discard(DataClass.BARS)
    keep = {name: rows[name].keep for name in on}
    return MarketState(
        instrument,
        bounds_s={name: rows[name].age_s for name in DataClass if name in on},
        intervals=intervals if DataClass.BARS in on else (),
        bars_kept=keep.get(DataClass.BARS, 1),
        trades_kept=keep.get(DataClass.TRADES, 1),
        forced_kept=keep.get(DataClass.FORCED, 1),
    )


def _feed_spec(seat: FeedSeat) -> ChildSpec:
    name = _feed_name(seat.symbol, seat.route)
    if seat.stream is None:
        return ChildSpec(name, lambda: PollingFeed(seat), on_exhausted=OnExhausted.PARK)
    return ChildSpec(
        name,
        modes=(Mode(STREAMING, lambda: StreamingFeed(seat)), Mode(POLLING, lambda: PollingFeed(seat))),
        ladder=LadderPolicy(failures=seat.settings.failures, within_s=seat.settings.failures_within_s),
        on_exhausted=OnExhausted.PARK,
    )


def _stream_spec(name: str, plan: StreamPlan, settings: StreamSettings) -> ChildSpec:
    return ChildSpec(name, lambda: Stream(plan, settings), on_exhausted=OnExhausted.PARK)


def _stream_name(route: str, number: int) -> str:
    return f"stream:{route}:{number}" if route else f"stream:{number}"


def _feed_name(symbol: str, route: str) -> str:
    name = f"feed:{re.sub(r'[^A-Za-z0-9_.:@+-]', _in_path, symbol)}"
    return f"{name}:{route}" if route else name


def _in_path(found: re.Match[str]) -> str:
    """For what a path may not hold. Names of other letters differ in nothing else, so these are spelt out."""
    letter = found[0]
    return "_" if letter.isascii() else f"_{ord(letter):x}"
