"""How many contracts are open in a symbol: made up around a usual size, moved by every trade."""

from collections import deque

import msgspec
import numpy as np

from engine.kernel import Entropy
from engine.simulator.binance_usdm.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from engine.simulator.binance_usdm.noise import Noise

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
        self._noise = Noise(entropy.fork("past"))
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

    def select(
        self, period: str, now_ms: int, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[InterestRow]:
        """At most `limit` rows of the last 30 days within [start_ms, end_ms], oldest first: the first ones from
        `start_ms` on if that is given, else the last ones."""
        every_ms = PERIODS[period]
        first_ms = max(now_ms - HISTORY_MS, start_ms or 0)
        last_ms = self._samples[-1].at_ms if self._samples else self._began_ms
        last_ms = last_ms if end_ms is None else min(last_ms, end_ms)
        times = range(first_ms + -first_ms % every_ms, last_ms + 1, every_ms)
        times = times[:limit] if start_ms is not None else times[max(0, len(times) - limit) :]
        lived = {at_ms for at_ms in times if at_ms > self._began_ms}
        made_up = self._made_up([at_ms for at_ms in times if at_ms <= self._began_ms])
        return made_up + [row for row in self._samples if row.at_ms in lived]

    def _made_up(self, times: list[int]) -> list[InterestRow]:
        if not times:
            return []
        sigma = self._volatility * (SAMPLE_MS / (365 * DAY_MS)) ** 0.5
        ages = (self._began_ms - np.array(times)) // SAMPLE_MS % KEEP
        levels = np.exp(0.2 * np.tanh(np.cumsum(0.02 * self._noise.normal("sizes", KEEP))))[ages]
        prices = self._price * np.exp(np.tanh(np.cumsum(sigma * self._noise.normal("prices", KEEP))))[ages]
        steps = np.rint(self._usual * levels).astype(np.int64)
        values = steps / self._coin_steps * prices
        rows = zip(times, steps.tolist(), values.tolist(), strict=True)
        return [InterestRow(at_ms, size, value) for at_ms, size, value in rows]
