"""The only door to time. Wall time is what people and venues read, monotonic time is for waiting."""

from __future__ import annotations

import abc
import time

import trio

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000


class Clock(abc.ABC):
    """Wall and monotonic time. `jump` moves the wall clock only, as an NTP step or an operator would."""

    def __init__(self) -> None:
        self.offset_ns = 0

    @abc.abstractmethod
    def _true_wall_ns(self) -> int: ...

    @abc.abstractmethod
    def monotonic_s(self) -> float:
        """Seconds that never run backwards; the origin means nothing."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z."""
        return self._true_wall_ns() + self.offset_ns

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""
        return self.wall_ns() // _NS_PER_MS

    def jump(self, delta_s: float) -> None:
        """Shift the wall clock by `delta_s` from now on; waits are not affected."""
        self.offset_ns += round(delta_s * _NS_PER_S)

    async def sleep(self, seconds: float) -> None:
        """Wait on the loop, at least one checkpoint; a negative wait is none."""
        await trio.sleep(max(0.0, seconds))


class SystemClock(Clock):
    """The machine's clocks; usable from any thread."""

    def _true_wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


class TrioClock(Clock):
    """Wall time derived from trio's own clock, so a `MockClock` moves both. Loop thread only.

    The wall reads `epoch_ms` at the first use: trio's real clock starts at an arbitrary number.
    """

    def __init__(self, epoch_ms: int = 0) -> None:
        super().__init__()
        self._epoch_ns = epoch_ms * _NS_PER_MS
        self._origin_s: float | None = None

    def _true_wall_ns(self) -> int:
        now_s = trio.current_time()
        if self._origin_s is None:
            self._origin_s = now_s
        return self._epoch_ns + round((now_s - self._origin_s) * _NS_PER_S)

    def monotonic_s(self) -> float:
        return trio.current_time()
