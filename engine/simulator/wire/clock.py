"""The venue's own clock: the machine's, plus an offset that a drill can change while the venue runs.

A venue's clock never runs backwards, for the exchange behind it lives by it. When it is ahead of where it should be, it
runs at half speed until it is right again, as a disciplined clock does; a step forward happens at once.
"""

from engine.kernel import Clock

__all__ = ["VenueClock"]

_NS_PER_US = 1_000
_NS_PER_MS = 1_000_000
_SLEW = 2  # while ahead, one second in so many


class VenueClock:
    """Wall time as the venue reads it."""

    def __init__(self, clock: Clock, offset_ms: int = 0) -> None:
        self._clock = clock
        self.offset_ms = offset_ms  # as it was set up
        self.fault_ms = 0  # what a fault adds
        self._wall_ns = clock.wall_ns()
        self._now_ns = self._wall_ns + offset_ms * _NS_PER_MS

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, by the venue's clock."""
        wall_ns = self._clock.wall_ns()
        elapsed_ns = max(0, wall_ns - self._wall_ns)
        self._wall_ns = wall_ns
        right_ns = wall_ns + (self.offset_ms + self.fault_ms) * _NS_PER_MS
        self._now_ns = max(right_ns, self._now_ns + elapsed_ns // _SLEW)
        return self._now_ns

    def now_ms(self) -> int:
        """Milliseconds since the epoch, by the venue's clock."""
        return self.now_ns() // _NS_PER_MS

    def now_us(self) -> int:
        """Microseconds since the epoch, by the venue's clock."""
        return self.now_ns() // _NS_PER_US
