"""The feed of one instrument: the only writer of its `MarketState`.

It has two modes on a ladder. *Streaming* applies the stream's frames, repairs a gap by asking for this one symbol's
book again, fills the hole a reconnect leaves before it calls itself live, and steps down when it cannot vouch for the
data. *Polling* serves the same state by REST and meanwhile applies the stream's frames to a state of its own, on
probation: after a snapshot and `clean_s` without a gap what was gathered there is handed over and streaming goes on
where probation ended. A move costs nothing of the restart budget.

What counts is the age of the data, class by class, not the health of a socket. A market may also really be quiet, so
before a class is too old the venue is asked: if it has nothing newer, the data we have is as of now, and silence was no
fault.

The state, the watchers and the reason of the last fall belong to the slot: they outlive restarts and moves.
"""

import re
from collections.abc import Callable, Sequence

from actors._feed_base import FeedSeat, FeedSettings
from actors._feed_polling import POLLING, PollingFeed
from actors._feed_streaming import STREAMING, StreamingFeed
from actors.stream import Stream, StreamPlan, StreamSettings
from engine.kernel import ChildSpec, LadderPolicy, Mode, OnExhausted, Ref, SupervisorSpec
from engine.model import VenueState, instrument_id
from engine.venues.base import Venue

__all__ = ["POLLING", "STREAMING", "FeedSettings", "feed_path", "feed_specs"]

_FEEDS = "feeds"


def feed_path(under: str, symbol: str) -> str:
    """Path of a symbol's feed below the supervisor at `under` that holds what `feed_specs` returned."""
    return f"{under}/{_FEEDS}/{_feed_name(symbol)}"


def feed_specs(
    venue: Venue,
    state: VenueState,
    symbols: Sequence[str],
    *,
    under: str,
    address: Callable[[str], Ref],
    session: Ref,
    feed: FeedSettings,
    stream: StreamSettings,
) -> SupervisorSpec:
    """Feeds and streams for `symbols`, as one supervisor to be placed below `under`; their empty markets are put into `state`.

    Feeds start before the streams that fill them and stop after them. Each parks by itself: none takes another with it.
    """
    children: list[ChildSpec] = []
    streams: list[ChildSpec] = []
    for number, first in enumerate(range(0, len(symbols), stream.symbols_per_stream)):
        shard = symbols[first : first + stream.symbols_per_stream]
        stream_ref = address(f"{under}/{_FEEDS}/stream:{number}")
        for symbol in shard:
            market = state.markets[symbol] = feed.market(instrument_id(state.name, symbol))
            children.append(_feed_spec(FeedSeat(venue, state, symbol, "", market, feed, session, stream_ref)))
        feeds = {symbol: address(feed_path(under, symbol)) for symbol in shard}
        streams.append(
            _stream_spec(number, StreamPlan(lambda: venue.stream("", venue.routes[""]), feeds, feed.intervals), stream)
        )
    return SupervisorSpec(_FEEDS, children=(*children, *streams), on_exhausted=OnExhausted.PARK)


def _feed_spec(seat: FeedSeat) -> ChildSpec:
    return ChildSpec(
        _feed_name(seat.symbol),
        modes=(Mode(STREAMING, lambda: StreamingFeed(seat)), Mode(POLLING, lambda: PollingFeed(seat))),
        ladder=LadderPolicy(failures=seat.settings.failures, within_s=seat.settings.failures_within_s),
        on_exhausted=OnExhausted.PARK,
    )


def _stream_spec(number: int, plan: StreamPlan, settings: StreamSettings) -> ChildSpec:
    return ChildSpec(f"stream:{number}", lambda: Stream(plan, settings), on_exhausted=OnExhausted.PARK)


def _feed_name(symbol: str) -> str:
    return f"feed:{re.sub(r'[^A-Za-z0-9_.:@+-]', '_', symbol)}"
