"""Public market data over one socket: which frames to send, and whose a received frame is."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from engine.model import DataClass
from engine.venues.base import Route
from engine.venues.binance_usdm.names import stream_of, streams
from engine.venues.binance_usdm.settings import BinanceUsdmSettings
from engine.venues.binance_usdm.wire import ControlFrame, decoder
from engine.venues.decoding import WireError, decode

MAX_STREAMS = 1024  # the venue's limit for one connection

_STREAMS_PER_FRAME = 100  # and a frame stays below 4 kB
_MAX_UNANSWERED = 1000
_CONTROL = decoder(ControlFrame)

Method = Literal["SUBSCRIBE", "UNSUBSCRIBE"]


class _Asked(msgspec.Struct, frozen=True):
    method: Method
    streams: tuple[str, ...]


class BinanceUsdmStream:
    """See `engine.venues.base.StreamAdapter`. Remembers what it asked, so that an answer can be read.

    The venue acknowledges a stream it does not know, or has on another route, and never sends it: only the age of the data
    tells.
    """

    frames_per_s = 5.0  # the venue takes 10 messages a second from us, pongs among them

    def __init__(self, route: str, classes: frozenset[DataClass], settings: BinanceUsdmSettings) -> None:
        self.url = f"{settings.ws_url.rstrip('/')}/{route}/stream"
        self.life_s = settings.rotate_after_s
        self._classes = classes
        self._settings = settings
        self._requests = 0
        self._asked: dict[int, _Asked] = {}
        self._symbols: dict[bytes, str] = {}  # stream → symbol
        self._subscribed: set[str] = set()

    def greet(self) -> tuple[bytes, ...]:
        return ()

    def subscribe(self, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[bytes, ...]:
        """Raises `ValueError` when that would be more streams than one connection may have."""
        names = {name: symbol for symbol in symbols for name in self._names(symbol, intervals)}
        wanted = self._subscribed | names.keys()
        if len(wanted) > MAX_STREAMS:
            raise ValueError(f"streams: expected at most {MAX_STREAMS} on one connection, got {len(wanted)}")
        self._subscribed = wanted
        self._symbols.update((name.encode(), symbol) for name, symbol in names.items())
        return self._batches("SUBSCRIBE", tuple(names))

    def unsubscribe(self, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[bytes, ...]:
        """What is still on its way then belongs to nobody."""
        names = tuple(name for symbol in symbols for name in self._names(symbol, intervals))
        for name in names:
            self._symbols.pop(name.encode(), None)
            self._subscribed.discard(name)
        return self._batches("UNSUBSCRIBE", names)

    def resnapshot(self, symbol: str) -> tuple[bytes, ...]:
        """Nothing to ask for: the next message of `depth20` is whole, and `depth` starts again from a REST snapshot."""
        return ()

    def route(self, frame: bytes) -> str | None:
        stream = stream_of(frame)
        return None if stream is None else self._symbols.get(stream)

    def symbol_of(self, channel: str) -> str | None:
        return self._symbols.get(channel.encode())

    def control(self, frame: bytes) -> Route:
        """An error about streams refuses those; one that names no request of ours ends the connection."""
        answer = decode(_CONTROL, frame)
        if answer.stream:
            return Route()  # nobody here asked for it, or not any more
        asked = self._asked.pop(answer.id, None) if isinstance(answer.id, int) else None
        error = answer.error or answer
        if error.code or error.msg:
            text = f"code {error.code}: {error.msg[:200]}"
            return Route(problem=text) if asked is None else Route(refused=_wanted(asked))
        return Route() if asked is None else Route(acknowledged=_wanted(asked))

    def _names(self, symbol: str, intervals: Sequence[str]) -> tuple[str, ...]:
        return streams(symbol, self._classes, tuple(intervals), self._settings)

    def _batches(self, method: Method, names: tuple[str, ...]) -> tuple[bytes, ...]:
        starts = range(0, len(names), _STREAMS_PER_FRAME)
        return tuple(self._ask(_Asked(method, names[start : start + _STREAMS_PER_FRAME])) for start in starts)

    def _ask(self, asked: _Asked) -> bytes:
        if len(self._asked) >= _MAX_UNANSWERED:
            raise WireError("id", f"answers to {_MAX_UNANSWERED} requests", "none to any of them")
        self._requests += 1
        self._asked[self._requests] = asked
        return msgspec.json.encode({"method": asked.method, "params": asked.streams, "id": self._requests})


def most_symbols(classes: frozenset[DataClass], intervals: Sequence[str], settings: BinanceUsdmSettings) -> int:
    """How many symbols one connection can carry, all `classes` of them."""
    return MAX_STREAMS // max(1, len(streams("", classes, tuple(intervals), settings)))


def _wanted(asked: _Asked) -> tuple[str, ...]:
    return asked.streams if asked.method == "SUBSCRIBE" else ()
