"""How many contracts are open in a symbol: made up around a usual size, moved by every trade."""

from collections import deque

import msgspec
import numpy as np

from engine.kernel import Entropy
from engine.simulator.binance_usdm.intervals import DAY_MS, HOUR_MS, MINUTE_MS

__all__ = ["PERIODS", "SAMPLE_MS", "InterestRow", "OpenInterest"]

SAMPLE_MS = 5 * MINUTE_MS
HISTORY_MS = 30 * DAY_MS
KEEP = HISTORY_MS // SAMPLE_MS

PERIODS = {
    "5m": SAMPLE_MS,
    "15m": 3 * SAMPLE_MS,
    "30m": 6 * SAMPLE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
}


class InterestRow(msgspec.Struct, frozen=True, gc=False):
    """`steps` contracts in units of the last quantity decimal, worth `value` dollars."""

    at_ms: int
    steps: int
    value: float


class OpenInterest:
    """`usual` is where it is drawn back to, in steps; `coin_steps` steps make one coin."""

    def __init__(
        self, *, usual: int, coin_steps: int, price: float, volatility: float, now_ms: int, entropy: Entropy
    ) -> None:
        self.steps = usual
        self._usual = usual
        self._coin_steps = coin_steps
        self._price = price
        self._volatility = volatility
        self._began_ms = now_ms - now_ms % SAMPLE_MS
        self._entropy = entropy
        self._draw = entropy.fork("trades")
        self._samples: deque[InterestRow] = deque(maxlen=KEEP)

    def trade(self, amount: int) -> None:
        """A trade opens contracts, closes some, or hands them on; which one depends on how many there are."""
        draw = self._draw.random() * 3.0
        excess = self.steps / self._usual - 1.0
        if draw < 1.0 - excess:
            self.steps += amount
        elif draw > 2.0 - excess:
            self.steps = max(self._usual // 10, self.steps - amount)

    def sample(self, at_ms: int, price: float) -> None:
        """Note the present figure under a full five minutes."""
        self._samples.append(InterestRow(at_ms, self.steps, self.steps / self._coin_steps * price))

    def rows(self, period: str, now_ms: int) -> list[InterestRow]:
        """The last 30 days at a period, oldest first; what lies before the venue's life is made up."""
        every_ms = PERIODS[period]
        rows = [*self._past(now_ms - HISTORY_MS), *self._samples]
        return [row for row in rows if row.at_ms % every_ms == 0]

    def _past(self, first_ms: int) -> list[InterestRow]:
        count = max(0, (self._began_ms - first_ms) // SAMPLE_MS)
        if not count:
            return []
        source = np.random.default_rng(self._entropy.fork("past").randrange(1 << 53))
        noise = source.standard_normal((2, KEEP))[:, :count]
        sigma = self._volatility * (SAMPLE_MS / (365 * DAY_MS)) ** 0.5
        levels = np.exp(0.2 * np.tanh(np.cumsum(0.02 * noise[0])))
        prices = self._price * np.exp(np.tanh(np.cumsum(sigma * noise[1])))
        steps = np.rint(self._usual * levels).astype(np.int64)
        values = steps / self._coin_steps * prices
        rows = zip(range(count), steps.tolist(), values.tolist(), strict=True)
        return [InterestRow(self._began_ms - n * SAMPLE_MS, size, value) for n, size, value in rows][::-1]
