"""Active channels: each stream takes what happened, now or in intervals, and publishes it.

A stream exists only while somebody is subscribed, so nothing is rendered for nobody. Streams are shared by all
subscribers of a channel. Streams with an interval gather what they take and publish at multiples of the interval;
before a newcomer gets his first messages, what was gathered is published to the others, so that his snapshot and their
next message agree.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.simulator.deribit.channels import Channel
from engine.simulator.deribit.user_batch import UserBatch
from engine.simulator.events import BookChange
from engine.simulator.market import Market
from engine.simulator.orders import Trade

if TYPE_CHECKING:
    from engine.simulator.deribit.venue import DeribitVenue

__all__ = ["Stream", "Streams"]

Event = BookChange | Trade | Market | UserBatch | str | tuple[str, str]


class Stream:
    """Base of all streams: by default it takes nothing and has no first message."""

    def __init__(self, venue: "DeribitVenue", channel: Channel) -> None:
        self.venue = venue
        self.channel = channel
        self.pending = False

    def topics(self) -> list[str]:
        """What to take: `book`, `trades`, `ticker`, `state` with `:instrument`, `index:name`, `user`, `wallet`."""
        return []

    def take(self, event: Any) -> None:
        """Something happened on one of the topics. Sets `pending` when a later flush has to publish."""

    def flush(self) -> None:
        """Publish what was gathered."""

    def first(self, account: str | None) -> list[Any]:
        """The messages a new subscriber begins with."""
        return []

    def emit(self, data: Any, account: str | None = None) -> None:
        self.venue.publish(self.channel.name, data, account)

    def markets(self) -> list[Market]:
        """The markets the channel covers."""
        channel, markets = self.channel, self.venue.exchange.markets
        if channel.instrument:
            return [markets[channel.instrument]]
        if channel.kind not in ("future", "any"):
            return []
        return [m for m in markets.values() if channel.currency in ("any", m.instrument.settlement)]


class Streams:
    """All active streams, by channel and by topic."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._by_topic: dict[str, list[Stream]] = {}
        self._gathering: dict[int, dict[str, Stream]] = {}
        self._due: dict[int, int] = {}

    def __contains__(self, channel: str) -> bool:
        return channel in self._streams

    def __getitem__(self, channel: str) -> Stream:
        return self._streams[channel]

    def add(self, stream: Stream) -> None:
        self._streams[stream.channel.name] = stream
        for topic in stream.topics():
            self._by_topic.setdefault(topic, []).append(stream)

    def remove(self, channel: str) -> None:
        stream = self._streams.pop(channel, None)
        if stream is None:
            return
        for topic in stream.topics():
            listeners = self._by_topic[topic]
            listeners.remove(stream)
            if not listeners:
                del self._by_topic[topic]
        self._gathering.get(stream.channel.every_ms, {}).pop(channel, None)

    def offer(self, topic: str, event: Event, now_ms: int) -> None:
        for stream in self._by_topic.get(topic, ()):
            stream.take(event)
            if stream.pending:
                self._gather(stream, now_ms)

    def each(self, topic: str, action: Callable[[Stream], None]) -> None:
        for stream in self._by_topic.get(topic, ()):
            action(stream)

    def _gather(self, stream: Stream, now_ms: int) -> None:
        every_ms = stream.channel.every_ms
        gathering = self._gathering.setdefault(every_ms, {})
        if not gathering:
            self._due[every_ms] = now_ms - now_ms % every_ms + every_ms
        gathering[stream.channel.name] = stream

    @property
    def next_due_ms(self) -> int | None:
        """When something gathered is due, or None."""
        due = [self._due[every_ms] for every_ms, streams in self._gathering.items() if streams]
        return min(due, default=None)

    def flush(self, now_ms: int) -> None:
        """Publish all that is due."""
        for every_ms, gathering in self._gathering.items():
            if gathering and self._due[every_ms] <= now_ms:
                streams = list(gathering.values())
                gathering.clear()
                for stream in streams:
                    self._publish(stream)

    def flush_one(self, stream: Stream) -> None:
        """Publish what one stream has gathered, ahead of its time."""
        if stream.pending:
            self._gathering[stream.channel.every_ms].pop(stream.channel.name, None)
            self._publish(stream)

    @staticmethod
    def _publish(stream: Stream) -> None:
        stream.pending = False
        stream.flush()
