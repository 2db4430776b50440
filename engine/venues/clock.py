"""The venue's clock as seen from here."""

from engine.kernel import Clock


class VenueClock:
    """The venue's time, learned from the stamp on every reply and carried by our monotonic clock: a jump of the wall clock moves nothing.

    Replies take time to travel, so the reading lags by up to one trip; margins that depend on it are seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchor_ms: float | None = None
        self._anchor_s = 0.0

    def observe(self, venue_ms: float) -> None:
        """The venue's clock shows `venue_ms` now."""
        self._anchor_ms = venue_ms
        self._anchor_s = self._clock.monotonic_s()

    @property
    def known(self) -> bool:
        """Whether it was ever read."""
        return self._anchor_ms is not None

    def now_ms(self) -> int:
        """The venue's time; our own wall clock's before the first reading."""
        if self._anchor_ms is None:
            return self._clock.wall_ms()
        return int(self._anchor_ms + (self._clock.monotonic_s() - self._anchor_s) * 1000)
