"""The feed of one instrument on one route: the only writer of its part of the instrument's `MarketState`.

A route is a connection of its own kind by which some classes of data come. Each feed has a ladder of its own, so trouble
is confined to one symbol on one route, and to one connection.

It has two modes. *Streaming* applies the stream's frames, repairs a gap by asking for this one symbol's book again, fills
the hole a reconnect leaves before it calls itself live, and steps down when it cannot vouch for the data. *Polling* serves
the same state by REST and meanwhile applies the stream's frames to a small state of its own, on probation: after a
snapshot and `clean_s` without a gap what was gathered there is handed over and streaming goes on where probation ended. A
move costs nothing of the restart budget. Classes the routing table never streams are polled in either mode; a feed of
such classes alone has no stream.

What counts is the age of the data, class by class, not the health of a socket. A market may also really be quiet: see
`actors.feed.ages` for what vouches for silence.

The state, the watchers, what is missing and the reason of the last fall belong to the slot: they outlive restarts and
moves.
"""

from actors.feed.policy import polled, routing_table
from actors.feed.polling import POLLING
from actors.feed.settings import FeedSettings
from actors.feed.specs import feed_path, feed_refs, feed_specs, shard_count
from actors.feed.streaming import STARTING, STREAMING

__all__ = [
    "POLLING",
    "STARTING",
    "STREAMING",
    "FeedSettings",
    "feed_path",
    "feed_refs",
    "feed_specs",
    "polled",
    "routing_table",
    "shard_count",
]
