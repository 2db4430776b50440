"""Funding at fixed hours: the rate that is being formed, and the ones that were paid.

The rate of an interval is its average premium plus the interest less that premium, the latter within 0.05 %. The
message of the very millisecond in which funding falls due still shows that time; only the next one shows the following.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from engine.kernel import Entropy
from engine.simulator.binance_usdm.intervals import HOUR_MS
from engine.simulator.binance_usdm.noise import Noise
from engine.simulator.market import Market

__all__ = ["FundingRow", "FundingTimes"]

INTEREST_8H = 0.0001
DAMPER = 0.0005
KEEP = 1_500
PERIODS_BEFORE = 1_000
CAPS = {8: 0.003}  # by hours; shorter intervals go with wilder symbols
WIDE_CAP = 0.02


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    """One payment. `mark` is the mark price at its time."""

    at_ms: int
    rate: float
    mark: float


class FundingTimes:
    def __init__(
        self, market: Market, *, hours: int, premium: float, now_ms: int, first_ms: int, entropy: Entropy
    ) -> None:
        self._market = market
        self.hours = hours
        self.cap = CAPS.get(hours, WIDE_CAP)
        self._period_ms = hours * HOUR_MS
        self._premium = premium
        self._first_ms = first_ms
        self._noise = Noise(entropy)
        self._interest = INTEREST_8H * hours / 8
        self._sum = 0.0
        self._samples = 0
        self._price = float(market.index)
        self._paid: deque[FundingRow] = deque(maxlen=KEEP)
        self.listener: Callable[[FundingRow], None] = _nobody
        self._first_due_ms = self.next_ms = now_ms + -now_ms % self._period_ms

    def roll(self, now_ms: int) -> None:
        """Pay what fell due before now. To be called often: the mark of the payment is the present one."""
        while now_ms > self.next_ms:
            at_ms, rate = self.next_ms, self.rate
            self._sum, self._samples = 0.0, 0
            self.next_ms += self._period_ms
            self.pay(at_ms, rate)

    def pay(self, at_ms: int, rate: float | None = None) -> None:
        """A payment, at the present rate unless another is given."""
        row = FundingRow(at_ms, self.rate if rate is None else round(rate, 8), float(self._market.mark))
        self._paid.append(row)
        self.listener(row)

    def sample(self) -> None:
        """Count the present premium into the interval's average."""
        self._sum += self._now()
        self._samples += 1

    @property
    def rate(self) -> float:
        """The rate as it would be if the interval ended now."""
        return self._rate((self._sum + self._now()) / (self._samples + 1))

    def _now(self) -> float:
        return float(self._market.mark / self._market.index) - 1.0

    def _rate(self, premium: float) -> float:
        rate = premium + max(-DAMPER, min(DAMPER, self._interest - premium))
        return round(max(-self.cap, min(self.cap, rate)), 8)

    def select(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[FundingRow]:
        """At most `limit` payments within [start_ms, end_ms], oldest first: the first ones from `start_ms` on if that
        is given, else the last ones."""
        paid = [row for row in self._paid if _within(row.at_ms, start_ms, end_ms)]
        made_up = self._past(start_ms, end_ms)
        if start_ms is None:
            made_up = made_up[max(0, len(made_up) + len(paid) - limit) :]
            paid = paid[-limit:]
        return (self._made_up(made_up[:limit]) + paid)[:limit]

    def _past(self, start_ms: int | None, end_ms: int | None) -> range:
        """The payments before the venue's life, by number: the last one is 1, and older ones come first."""
        first_ms = max(self._first_ms, start_ms or 0)
        oldest = min(PERIODS_BEFORE - len(self._paid), (self._first_due_ms - first_ms) // self._period_ms)
        newest = 1 if end_ms is None else max(1, -((end_ms - self._first_due_ms) // self._period_ms))
        return range(max(0, oldest), newest - 1, -1)

    def _past_ms(self, number: int) -> int:
        return self._first_due_ms - number * self._period_ms

    def _made_up(self, numbers: Sequence[int]) -> list[FundingRow]:
        if not numbers:
            return []
        premiums = self._premium + 0.0003 * self._noise.normal("premiums", PERIODS_BEFORE + 1)
        drift = np.exp(np.tanh(np.cumsum(0.01 * self._noise.normal("prices", PERIODS_BEFORE + 1))))
        return [
            FundingRow(self._past_ms(n), self._rate(float(premiums[n])), self._price * float(drift[n])) for n in numbers
        ]


def _nobody(row: FundingRow) -> None:
    """Until somebody wants to know."""


def _within(at_ms: int, start_ms: int | None, end_ms: int | None) -> bool:
    return (start_ms is None or at_ms >= start_ms) and (end_ms is None or at_ms <= end_ms)
