"""Active streams: which there are, what wakes them, and when they speak.

A stream exists only while somebody is subscribed, so nothing is rendered for nobody, and what a moment costs depends on
the streams that have something to say in it. A stream that must not speak too often waits in a heap until it may; the
streams of many symbols thereby keep to the rhythm of their markets instead of all speaking at once.
"""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any

from engine.simulator.binance_usdm.desk import Desk

__all__ = ["Board", "Stream"]

Publish = Callable[[str, bytes], None]


class Stream:
    """Base of all streams. `topics` are what it takes: `book`, `trade`, `force`, `second` or `bar-<interval>`."""

    topics: tuple[str, ...] = ()

    def __init__(self, board: "Board", name: str, desks: Iterable[Desk], every_ms: int = 0) -> None:
        self.board = board
        self.name = name
        self.desks = list(desks)
        self.every_ms = every_ms
        self.due_ms: int | None = None
        self.active = True
        self._spoke_ms = 0

    @property
    def desk(self) -> Desk:
        """The only symbol of a stream about one."""
        return self.desks[0]

    def take(self, desk: Desk, event: Any, now_ms: int) -> None:
        """Something happened to a symbol on one of the topics."""

    def speak(self, now_ms: int) -> None:
        """Publish what is due."""

    def wake(self, now_ms: int) -> None:
        """Speak as soon as the pace allows."""
        if self.due_ms is None:
            self.board.schedule(self, max(now_ms, self._spoke_ms + self.every_ms))

    def emit(self, payload: bytes, now_ms: int) -> None:
        self._spoke_ms = now_ms
        self.board.publish(self.name, payload)


class Board:
    def __init__(self, publish: Publish) -> None:
        self.publish = publish
        self._streams: dict[str, Stream] = {}
        self._listeners: dict[tuple[str, str], list[Stream]] = {}
        self._of_topic: dict[str, dict[str, Stream]] = {}
        self._heap: list[tuple[int, int, Stream]] = []
        self._count = 0

    def __contains__(self, name: str) -> bool:
        return name in self._streams

    def add(self, stream: Stream) -> None:
        self._streams[stream.name] = stream
        for topic in stream.topics:
            self._of_topic.setdefault(topic, {})[stream.name] = stream
            for desk in stream.desks:
                self._listeners.setdefault((topic, desk.symbol), []).append(stream)

    def remove(self, name: str) -> None:
        stream = self._streams.pop(name, None)
        if stream is None:
            return
        stream.active = False
        for topic in stream.topics:
            del self._of_topic[topic][name]
            for desk in stream.desks:
                self._leave(topic, desk, stream)

    def _leave(self, topic: str, desk: Desk, stream: Stream) -> None:
        listeners = self._listeners[topic, desk.symbol]
        listeners.remove(stream)
        if not listeners:
            del self._listeners[topic, desk.symbol]

    def listeners(self, topic: str, symbol: str) -> Iterable[Stream]:
        return self._listeners.get((topic, symbol), ())

    def of_topic(self, topic: str) -> list[Stream]:
        """Every stream of a topic, whatever its symbol."""
        return list(self._of_topic.get(topic, {}).values())

    def offer(self, topic: str, desk: Desk, event: Any, now_ms: int) -> None:
        for stream in self._listeners.get((topic, desk.symbol), ()):
            stream.take(desk, event, now_ms)

    def schedule(self, stream: Stream, due_ms: int) -> None:
        stream.due_ms = due_ms
        self._count += 1
        heappush(self._heap, (due_ms, self._count, stream))

    @property
    def next_due_ms(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def flush(self, now_ms: int) -> None:
        """Let every stream speak that is due."""
        while self._heap and self._heap[0][0] <= now_ms:
            _, _, stream = heappop(self._heap)
            stream.due_ms = None
            if stream.active:
                stream.speak(now_ms)
