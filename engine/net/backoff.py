"""Failures in a row, and how long to wait before the next attempt."""

from engine.kernel import Backoff, Entropy


class Attempts:
    """Counts failures in a row of something that is tried again and again; a healthy stretch forgives them.

    Used where trouble is a state and not a crash (a reconnecting stream); the kernel has its own count for restarts.
    """

    def __init__(self, backoff: Backoff, entropy: Entropy) -> None:
        self._backoff = backoff
        self._entropy = entropy
        self._since_s: float | None = None
        self.failures = 0

    def succeeded(self, now_s: float) -> None:
        """It works since `now_s`; the count is forgiven once that has lasted `healthy_after_s`."""
        if self._since_s is None:
            self._since_s = now_s

    def failed(self, now_s: float) -> float:
        """It failed at `now_s`. Seconds to wait before the next attempt, jittered so that many do not come back at once."""
        if self._since_s is not None and now_s - self._since_s >= self._backoff.healthy_after_s:
            self.failures = 0
        self._since_s = None
        self.failures += 1
        return self._backoff.delay_s(self.failures, self._entropy)
