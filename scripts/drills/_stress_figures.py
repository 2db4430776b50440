"""Figures of a long run in bounded memory: ages by class, resident memory over time, stalls of the loop."""

import math
import os
import time
from pathlib import Path

import trio

__all__ = ["Ages", "Memory", "Stalls", "cpu_s"]

_FLOOR_S = 1e-4
_PER_DECADE = 50
_BUCKETS = 8 * _PER_DECADE  # 0.1 ms to 10,000 s, each 4.7 % wide


class Ages:
    """A histogram of ages; a quantile is its bucket's upper edge, never too kind. The greatest age is exact."""

    __slots__ = ("_counts", "count", "max_s")

    def __init__(self) -> None:
        self._counts = [0] * (_BUCKETS + 1)
        self.count = 0
        self.max_s = 0.0

    def add(self, age_s: float) -> None:
        self._counts[_bucket(age_s)] += 1
        self.count += 1
        self.max_s = max(self.max_s, age_s)

    def quantile(self, share: float) -> float | None:
        """The age that `share` of all ages do not exceed, in seconds; None before the first."""
        wanted = math.ceil(share * self.count)
        if not wanted:
            return None
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(self.max_s, _FLOOR_S * 10 ** (bucket / _PER_DECADE))
        return self.max_s


def _bucket(age_s: float) -> int:
    if age_s <= _FLOOR_S:
        return 0
    if age_s == math.inf:
        return _BUCKETS
    return min(_BUCKETS, math.ceil(math.log10(age_s / _FLOOR_S) * _PER_DECADE))


class Memory:
    """Resident memory now and then, in MB; `slope` is of a straight line through the last `share` of the readings."""

    def __init__(self) -> None:
        self._at_s: list[float] = []
        self._mb: list[float] = []

    def read(self, now_s: float) -> None:
        self.note(now_s, resident_mb())

    def note(self, now_s: float, mb: float) -> None:
        """Add a reading; of too many every second one is forgotten."""
        self._at_s.append(now_s)
        self._mb.append(mb)
        if len(self._mb) > 4096:
            del self._at_s[::2], self._mb[::2]

    def slope_mb_per_min(self, share: float = 2 / 3) -> float:
        """Least squares; 0 for fewer than three readings."""
        first = int(len(self._mb) * (1 - share))
        at_s, mb = self._at_s[first:], self._mb[first:]
        if len(mb) < 3:
            return 0.0
        mean_s, mean_mb = sum(at_s) / len(at_s), sum(mb) / len(mb)
        spread = sum((s - mean_s) ** 2 for s in at_s)
        return 60 * sum((s - mean_s) * (m - mean_mb) for s, m in zip(at_s, mb, strict=True)) / spread if spread else 0.0

    def summary(self) -> dict[str, float]:
        """The first, the last and the greatest reading."""
        if not self._mb:
            return {}
        return {"first": round(self._mb[0], 1), "last": round(self._mb[-1], 1), "max": round(max(self._mb), 1)}


class Stalls:
    """How long the loop kept a task waiting that wanted to run, while `counting`."""

    EVERY_S = 0.01

    def __init__(self) -> None:
        self.waits = Ages()
        self.counting = False

    async def watch(self) -> None:
        """For ever."""
        while True:
            due_s = time.monotonic() + self.EVERY_S
            await trio.sleep(self.EVERY_S)
            if self.counting:
                self.waits.add(max(0.0, time.monotonic() - due_s))


def resident_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_s() -> float:
    """Processor time this process has used."""
    return time.process_time()
