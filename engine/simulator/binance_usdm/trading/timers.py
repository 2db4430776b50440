"""Things to be done at a later time, each under a key by which it can be put off or called off."""

from collections.abc import Callable, Hashable

__all__ = ["Timers"]

Action = Callable[[], None]


class Timers:
    """Few things wait at a time (listen keys, countdowns, orders with an end), so looking through them is cheap."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, tuple[int, Action]] = {}
        self._next_ms: int | None = None
        self._count = 0

    def set(self, key: Hashable, due_ms: int, action: Action) -> None:
        """Do `action` at `due_ms`, and no longer what waited under this key."""
        self._waiting[key] = (due_ms, action)
        self._look()

    def later(self, due_ms: int, action: Action) -> None:
        """Do `action` at `due_ms` whatever else is set."""
        self._count += 1
        self.set(("later", self._count), due_ms, action)

    def clear(self, key: Hashable) -> None:
        if self._waiting.pop(key, None) is not None:
            self._look()

    def due_ms(self, key: Hashable) -> int | None:
        """When what waits under a key is to be done."""
        waiting = self._waiting.get(key)
        return None if waiting is None else waiting[0]

    @property
    def next_due_ms(self) -> int | None:
        return self._next_ms

    def run(self, now_ms: int) -> None:
        """Do what is due, in order of time and then of when it was set."""
        while self._next_ms is not None and self._next_ms <= now_ms:
            key = min(self._waiting, key=lambda key: self._waiting[key][0])
            _, action = self._waiting.pop(key)
            self._look()
            action()

    def _look(self) -> None:
        self._next_ms = min((due_ms for due_ms, _ in self._waiting.values()), default=None)
