"""Public market data over one socket: which frames to send, and whose a received frame is."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from engine.venues.base import NotAuthorised, RateLimited, Route, Unavailable
from engine.venues.decoding import WireError, decode
from engine.venues.deribit.errors import venue_error
from engine.venues.deribit.names import book_channel, channel_of, channels, symbol_of
from engine.venues.deribit.rpc import encode_request
from engine.venues.deribit.wire import Envelope, Heartbeat

_CHANNELS_PER_REQUEST = 500  # and a frame stays below 32 kB
_MAX_UNANSWERED = 1000
_ENVELOPE = msgspec.json.Decoder(Envelope)
_HEARTBEAT = msgspec.json.Decoder(Heartbeat)
_NAMES = msgspec.json.Decoder(list[str])

Purpose = Literal["subscribe", "unsubscribe", "resnapshot", "other"]


class _Asked(msgspec.Struct, frozen=True):
    purpose: Purpose
    channels: tuple[str, ...] = ()


class DeribitStream:
    """See `engine.venues.base.StreamAdapter`. Remembers what it asked, so that an answer can be read."""

    frames_per_s = 20.0
    life_s = None

    def __init__(self, url: str, *, book_interval: str, heartbeat_s: int) -> None:
        self.url = url
        self._book_interval = book_interval
        self._heartbeat_s = heartbeat_s
        self._requests = 0
        self._asked: dict[int, _Asked] = {}
        self._symbols: dict[bytes, str] = {}  # channel → symbol

    def greet(self) -> tuple[bytes, ...]:
        return (self._ask("public/set_heartbeat", {"interval": self._heartbeat_s}, _Asked("other")),)

    def subscribe(self, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[bytes, ...]:
        names = self._names(symbols, intervals)
        self._symbols.update((name.encode(), symbol_of(name)) for name in names)
        return self._batches("subscribe", names)

    def unsubscribe(self, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[bytes, ...]:
        return self._batches("unsubscribe", self._names(symbols, intervals))

    def resnapshot(self, symbol: str) -> tuple[bytes, ...]:
        """Unsubscribe; the subscription follows when the venue has answered, or it would promise no new snapshot."""
        name = book_channel(symbol, self._book_interval)
        return (self._ask("public/unsubscribe", {"channels": [name]}, _Asked("resnapshot", (name,))),)

    def route(self, frame: bytes) -> str | None:
        channel = channel_of(frame)
        return None if channel is None else self._symbols.get(channel)

    def control(self, frame: bytes) -> Route:
        envelope = decode(_ENVELOPE, frame)
        if envelope.method == "heartbeat":
            return self._heartbeat(envelope)
        if envelope.method:
            return Route()  # a channel nobody here asked for, or not any more
        asked = self._asked.pop(envelope.id, None) if isinstance(envelope.id, int) else None
        if envelope.error is not None:
            return self._refused(envelope, asked or _Asked("other"))
        if asked is None:
            return Route()
        return self._answered(asked, envelope)

    def symbol_of(self, channel: str) -> str | None:
        return self._symbols.get(channel.encode())

    def _heartbeat(self, envelope: Envelope) -> Route:
        wants_proof = decode(_HEARTBEAT, envelope.params).type == "test_request"
        return Route(replies=(self._ask("public/test", {}, _Asked("other")),) if wants_proof else ())

    def _answered(self, asked: _Asked, envelope: Envelope) -> Route:
        if asked.purpose == "resnapshot":
            return Route(replies=self._batches("subscribe", asked.channels))
        if asked.purpose != "subscribe":
            return Route()
        accepted: list[str] = decode(_NAMES, envelope.result)
        return Route(
            acknowledged=tuple(name for name in asked.channels if name in accepted),
            refused=tuple(name for name in asked.channels if name not in accepted),
        )

    def _refused(self, envelope: Envelope, asked: _Asked) -> Route:
        """An error about channels refuses those; one about us, or about what keeps the connection alive, ends the connection."""
        assert envelope.error is not None
        error = venue_error(envelope.error, asked.purpose)
        fatal = isinstance(error, RateLimited | NotAuthorised | Unavailable) or asked.purpose != "subscribe"
        return Route(
            refused=asked.channels if asked.purpose == "subscribe" else (), problem=str(error) if fatal else ""
        )

    def _names(self, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for symbol in symbols for name in channels(symbol, tuple(intervals), self._book_interval))

    def _batches(self, purpose: Literal["subscribe", "unsubscribe"], names: Sequence[str]) -> tuple[bytes, ...]:
        starts = range(0, len(names), _CHANNELS_PER_REQUEST)
        batches = [tuple(names[start : start + _CHANNELS_PER_REQUEST]) for start in starts]
        return tuple(self._ask(f"public/{purpose}", {"channels": batch}, _Asked(purpose, batch)) for batch in batches)

    def _ask(self, method: str, params: dict[str, Any], asked: _Asked) -> bytes:
        if len(self._asked) >= _MAX_UNANSWERED:
            raise WireError("id", f"answers to {_MAX_UNANSWERED} requests", "none to any of them")
        self._requests += 1
        self._asked[self._requests] = asked
        return encode_request(self._requests, method, params)
