"""Who hears which account's stream, by listen key. A key nobody has is silent, and nothing says so."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from engine.simulator.wire.binance_usdm.routes import NAME, PRIVATE
from engine.simulator.wire.faultboard import Site
from engine.simulator.wire.frames import TEXT, frame

__all__ = ["UserListener", "UserStreams"]

Kinds = frozenset[str] | None


class UserListener(Protocol):
    """A socket, as far as accounts are concerned; `combined` wraps each payload with the listen key."""

    combined: bool
    number: int

    def notify(self, ready: bytes, site: Site) -> None: ...


L = TypeVar("L", bound=UserListener)


class UserStreams(Generic[L]):
    def __init__(self) -> None:
        self._listeners: dict[str, dict[L, Kinds]] = {}
        self.sent = 0

    def __len__(self) -> int:
        """How many keys are listened to, known or not."""
        return len(self._listeners)

    def add(self, key: str, listener: L, kinds: Kinds) -> None:
        """Let `listener` hear a key's events, those of `kinds` only if there are any."""
        self._listeners.setdefault(key, {})[listener] = kinds

    def remove(self, key: str, listener: L) -> None:
        listeners = self._listeners[key]
        del listeners[listener]
        if not listeners:
            del self._listeners[key]

    def publish(self, key: str, kind: str, payload: bytes) -> None:
        """Send one event to all who listen; faults find it under "private/" and under its kind."""
        for listener in list(self._hearing(key, kind)):
            if listener.combined:
                ready = frame(TEXT, b"".join((b'{"stream":', msgspec.json.encode(key), b',"data":', payload, b"}")))
            else:
                ready = frame(TEXT, payload)
            listener.notify(ready, Site(NAME, listener.number, channel=f"{PRIVATE}/{kind}", aliases=(kind,)))
            self.sent += 1

    def _hearing(self, key: str, kind: str) -> Iterator[L]:
        for listener, kinds in self._listeners.get(key, {}).items():
            if kinds is None or kind in kinds:
                yield listener
