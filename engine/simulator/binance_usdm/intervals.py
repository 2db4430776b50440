"""The lengths of bars: where each begins and ends. All times are UTC; weeks begin on Mondays."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAY_MS", "HOUR_MS", "INTERVALS", "MINUTE_MS", "Interval", "Times"]

Times = NDArray[np.int64]

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
FIRST_MONDAY_MS = 4 * DAY_MS  # after the epoch, a Thursday


class Interval:
    """Bars that are `length_ms` long and count from `origin_ms`."""

    def __init__(self, name: str, length_ms: int, origin_ms: int = 0) -> None:
        self.name = name
        self.length_ms = length_ms
        self._origin_ms = origin_ms

    def start(self, at_ms: int) -> int:
        """When the bar holding a time began."""
        return at_ms - (at_ms - self._origin_ms) % self.length_ms

    def after(self, start_ms: int) -> int:
        """When the bar after the one that begins at `start_ms` begins."""
        return start_ms + self.length_ms

    def before(self, start_ms: int, count: int) -> Times:
        """When the `count` bars before the one that begins at `start_ms` begin, oldest first."""
        return start_ms - self.length_ms * np.arange(count, 0, -1, dtype=np.int64)


class Months(Interval):
    """Calendar months; `length_ms` is a mean one's."""

    def __init__(self) -> None:
        super().__init__("1M", 30 * DAY_MS)

    def start(self, at_ms: int) -> int:
        return _month_ms(_month_of(at_ms))

    def after(self, start_ms: int) -> int:
        return _month_ms(_month_of(start_ms) + 1)

    def before(self, start_ms: int, count: int) -> Times:
        month = _month_of(start_ms)
        return np.array([_month_ms(earlier) for earlier in range(max(0, month - count), month)], np.int64)


def _month_of(at_ms: int) -> int:
    """Months since January 1970."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return (moment.year - 1970) * 12 + moment.month - 1


def _month_ms(month: int) -> int:
    years, months = divmod(month, 12)
    return int(datetime(1970 + years, months + 1, 1, tzinfo=UTC).timestamp()) * 1000


_LENGTHS = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
}

INTERVALS: dict[str, Interval] = {
    **{name: Interval(name, length_ms) for name, length_ms in _LENGTHS.items()},
    "1w": Interval("1w", 7 * DAY_MS, FIRST_MONDAY_MS),
    "1M": Months(),
}
