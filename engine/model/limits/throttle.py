"""So many a second, and as many as some seconds allow at once."""


class Throttle:
    """A bucket that fills at `per_s` up to `per_s * burst_s`, and holds at least one. None: there is no limit."""

    __slots__ = ("_full", "_left", "_per_s", "_seen_s")

    def __init__(self, per_s: float | None, burst_s: float) -> None:
        self._per_s = per_s
        self._full = self._left = max(1.0, (per_s or 0.0) * burst_s)
        self._seen_s = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether one more may go now."""
        if self._per_s is None:
            return True
        self._left = min(self._full, self._left + max(0.0, now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s
        return self._left >= 1.0

    def take(self) -> None:
        """One went, allowed or not: what is never held up is paid for by what comes after it, up to one full burst."""
        self._left = max(-self._full, self._left - 1.0)
