"""The venue's clock as seen from here."""

from engine.kernel import Clock


class VenueClock:
    """The venue's time, learned from its stamps on replies and carried by our monotonic clock: a jump of the wall clock moves nothing.

    Replies take time to travel, so the reading lags by up to one trip; margins that depend on it are seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known = False
        self._anchor_ms: float | None = None
        self._anchor_s = 0.0

    def observe(self, venue_ms: float) -> None:
        """The venue's clock shows `venue_ms` now."""
        self._known = True
        self._anchor(venue_ms)

    @property
    def known(self) -> bool:
        """Whether it was ever read: until then it is a guess, and nothing to sign by."""
        return self._known

    def now_ms(self) -> int:
        """The venue's time; before the first reading that of our wall clock, as it stood when somebody first asked."""
        if self._anchor_ms is None:
            self._anchor(self._clock.wall_ms())
        assert self._anchor_ms is not None, "anchored"
        return int(self._anchor_ms + (self._clock.monotonic_s() - self._anchor_s) * 1000)

    def _anchor(self, now_ms: float) -> None:
        self._anchor_ms = now_ms
        self._anchor_s = self._clock.monotonic_s()
