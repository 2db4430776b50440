"""Who listens to what. A channel is active in the venue while at least one socket listens."""

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Subscriptions"]

L = TypeVar("L")


class Subscriptions(Generic[L]):
    """The table of channels and their listeners, in the order they came."""

    def __init__(self, activate: Callable[[str], None], deactivate: Callable[[str], None]) -> None:
        self._activate = activate
        self._deactivate = deactivate
        self._listeners: dict[str, dict[L, None]] = {}

    def __len__(self) -> int:
        """How many channels are active."""
        return len(self._listeners)

    def open(self, channel: str) -> None:
        """Make sure a channel is active; `add` has to follow."""
        if channel not in self._listeners:
            self._activate(channel)
            self._listeners[channel] = {}

    def add(self, channel: str, listener: L) -> None:
        self._listeners[channel][listener] = None

    def remove(self, channel: str, listener: L) -> None:
        listeners = self._listeners[channel]
        del listeners[listener]
        if not listeners:
            del self._listeners[channel]
            self._deactivate(channel)

    def listeners(self, channel: str) -> tuple[L, ...]:
        return tuple(self._listeners.get(channel, ()))
