"""A circuit breaker: stop asking a peer that keeps failing, then let one request find out whether it is back."""

from enum import StrEnum


class BreakerState(StrEnum):
    CLOSED = "closed"  # requests pass
    OPEN = "open"  # requests are refused here
    HALF_OPEN = "half_open"  # one request is out to find out


class Breaker:
    """Opens after `failures` in a row, for `open_s`; then one probe at a time. Pure: monotonic time is passed in."""

    def __init__(self, *, failures: int = 5, open_s: float = 10.0) -> None:
        if failures < 1 or not open_s > 0:
            raise ValueError(f"breaker: expected failures >= 1 and open_s > 0, got {failures} and {open_s}")
        self._limit = failures
        self._open_s = open_s
        self._failures = 0
        self._until_s = 0.0
        self.state = BreakerState.CLOSED

    def allow(self, now_s: float) -> bool:
        """Whether a request may go out now. After True, `succeeded` or `failed` follows."""
        if self.state is BreakerState.CLOSED:
            return True
        if now_s < self._until_s:
            return False
        self.state = BreakerState.HALF_OPEN
        self._until_s = now_s + self._open_s  # a probe that never reports frees the way for the next one
        return True

    def wait_s(self, now_s: float) -> float:
        """Seconds until `allow` may say yes again."""
        return 0.0 if self.state is BreakerState.CLOSED else max(0.0, self._until_s - now_s)

    def succeeded(self) -> None:
        self.state = BreakerState.CLOSED
        self._failures = 0

    def failed(self, now_s: float) -> None:
        self._failures += 1
        if self.state is BreakerState.HALF_OPEN or self._failures >= self._limit:
            self.state = BreakerState.OPEN
            self._until_s = now_s + self._open_s
