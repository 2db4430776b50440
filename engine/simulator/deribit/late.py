"""Things to be done at a later time, in order of time and then of arrival."""

from collections.abc import Callable
from heapq import heappop, heappush

__all__ = ["Later"]

MAX_WAITING = 100_000


class Later:
    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def add(self, due_ms: int, action: Callable[[], None]) -> None:
        assert len(self._heap) < MAX_WAITING, f"more than {MAX_WAITING} things wait for their time"
        self._count += 1
        heappush(self._heap, (due_ms, self._count, action))

    @property
    def next_due_ms(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def run(self, now_ms: int) -> None:
        while self._heap and self._heap[0][0] <= now_ms:
            heappop(self._heap)[2]()
