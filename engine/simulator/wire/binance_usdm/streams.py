"""Who listens to which stream. Each message is encoded and framed once, whoever listens, and in at most two forms."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from engine.simulator.wire.faultboard import Site
from engine.simulator.wire.frames import TEXT, frame

__all__ = ["Listener", "Streams"]


class Listener(Protocol):
    """A socket, as far as streams are concerned; `combined` wraps each payload with the name of its stream."""

    combined: bool

    def notify(self, ready: bytes, site: Site) -> None: ...


L = TypeVar("L", bound=Listener)


class _Stream(Generic[L]):
    __slots__ = ("head", "listeners")

    def __init__(self, name: str) -> None:
        self.head = b'{"stream":' + msgspec.json.encode(name) + b',"data":'
        self.listeners: dict[L, Site] = {}


class Streams(Generic[L]):
    """The venue makes a stream from its first listener to its last."""

    def __init__(self, activate: Callable[[str], None], deactivate: Callable[[str], None]) -> None:
        self._activate = activate
        self._deactivate = deactivate
        self._streams: dict[str, _Stream[L]] = {}
        self._encode = msgspec.json.Encoder().encode
        self.sent = 0

    def __len__(self) -> int:
        """How many streams are active."""
        return len(self._streams)

    def add(self, name: str, listener: L, site: Site) -> None:
        """Let `listener` hear a stream; `site` is where faults may strike its messages."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = _Stream(name)
            stream.listeners[listener] = site
            self._activate(name)
        else:
            stream.listeners[listener] = site

    def remove(self, name: str, listener: L) -> None:
        stream = self._streams[name]
        del stream.listeners[listener]
        if not stream.listeners:
            del self._streams[name]
            self._deactivate(name)

    def publish(self, name: str, data: Any) -> None:
        """Send one message, a value or its JSON, to all who listen."""
        stream = self._streams.get(name)
        if stream is None:
            return
        payload = data if isinstance(data, bytes) else self._encode(data)
        raw = wrapped = b""
        for listener, site in stream.listeners.items():
            if listener.combined:
                wrapped = wrapped or frame(TEXT, b"".join((stream.head, payload, b"}")))
                listener.notify(wrapped, site)
            else:
                raw = raw or frame(TEXT, payload)
                listener.notify(raw, site)
        self.sent += len(stream.listeners)
