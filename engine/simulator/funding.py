"""Continuous funding of perpetuals.

The 8 h rate is the premium of the mark over the index outside a damper of 0.025 %, accrued every time the mark moves;
longs pay shorts when it is positive. The market keeps one cumulative figure (settlement coin per unit of size) and each
position pays the difference since it last paid, so accruing costs nothing per account and sums to zero over all of
them.
"""

from collections import deque
from decimal import Decimal

import msgspec

from engine.kernel import Entropy
from engine.simulator.instruments import Instrument
from engine.simulator.orders import ZERO

__all__ = ["Funding", "FundingHour"]

DAMPER = Decimal("0.00025")
CAP = Decimal("0.005")
RATE_STEP = Decimal("1e-10")
HOUR_MS = 3_600_000
PERIOD_MS = 8 * HOUR_MS
HISTORY_HOURS = 30 * 24


def rate_of(mark: Decimal, index: Decimal) -> Decimal:
    """The momentary 8 h rate."""
    premium = (mark - index) / index
    if abs(premium) <= DAMPER:
        return ZERO
    rate = premium - DAMPER if premium > 0 else premium + DAMPER
    return max(-CAP, min(CAP, rate)).quantize(RATE_STEP)


class FundingHour(msgspec.Struct, frozen=True):
    """One hour that ended at `end_ms`; `interest` is the rate accrued in it, as a fraction."""

    end_ms: int
    index: float
    previous_index: float
    interest: float


class Funding:
    def __init__(self, instrument: Instrument, *, start_ms: int, index: Decimal, entropy: Entropy) -> None:
        self.rate = ZERO
        self.cumulative = ZERO
        self._instrument = instrument
        self._entropy = entropy
        self._at_ms = start_ms
        self._hour_index = float(index)
        self._hour_interest = 0.0
        self._hours: deque[FundingHour] = deque(maxlen=2 * HISTORY_HOURS)
        self._draw_history(start_ms - start_ms % HOUR_MS, float(index))

    def _draw_history(self, end_ms: int, index: float) -> None:
        for _ in range(HISTORY_HOURS):
            previous = round(index * (1 + self._entropy.uniform(-0.004, 0.004)), 2)
            interest = max(0.0, self._entropy.uniform(-2e-5, 2e-5))
            self._hours.appendleft(FundingHour(end_ms, index, previous, interest))
            end_ms, index = end_ms - HOUR_MS, previous

    def accrue(self, at_ms: int, mark: Decimal, index: Decimal) -> None:
        """Charge the time since the last call at the rate that held in it, then set the rate of now."""
        elapsed = at_ms - self._at_ms
        if elapsed > 0:
            due = self.rate * elapsed / PERIOD_MS
            self.cumulative += due * self._instrument.value(Decimal(1), mark)
            self._count(at_ms, float(index), float(due))
            self._at_ms = at_ms
        self.rate = rate_of(mark, index)

    def _count(self, at_ms: int, index: float, interest: float) -> None:
        self._hour_interest += interest
        hour = at_ms - at_ms % HOUR_MS
        if hour > self._at_ms:
            self._hours.append(FundingHour(hour, index, self._hour_index, self._hour_interest))
            self._hour_index, self._hour_interest = index, 0.0

    def hours(self, start_ms: int, end_ms: int) -> list[FundingHour]:
        return [hour for hour in self._hours if start_ms <= hour.end_ms <= end_ms]

    def interest(self, start_ms: int, end_ms: int) -> float:
        """The rate accrued within a window, each hour's counted by the part of it that lies inside."""
        total = 0.0
        for hour in reversed(self._hours):
            if hour.end_ms <= start_ms:
                break
            total += hour.interest * _overlap(hour.end_ms - HOUR_MS, hour.end_ms, start_ms, end_ms)
        opened = self._at_ms - self._at_ms % HOUR_MS
        return total + self._hour_interest * _overlap(opened, max(self._at_ms, opened + 1), start_ms, end_ms)


def _overlap(begin: int, end: int, start_ms: int, end_ms: int) -> float:
    return max(0, min(end, end_ms) - max(begin, start_ms)) / (end - begin)
