"""Trade bars of one length, with made-up history before the market opened.

The history is drawn when it is first asked for, backwards from the opening price, from a random source of its own:
asking for it or not changes nothing else.
"""

import math
from collections import deque

import msgspec

from engine.kernel import Entropy

__all__ = ["Bar", "Bars"]


class Bar(msgspec.Struct):
    """`volume` is in base coins, `cost` in quote currency. Floats: this is market data."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    cost: float

    @classmethod
    def flat(cls, start_ms: int, price: float) -> "Bar":
        return cls(start_ms, price, price, price, price, 0.0, 0.0)

    def add(self, price: float, volume: float, cost: float) -> None:
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += volume
        self.cost += cost

    def merge(self, later: "Bar") -> None:
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.cost += later.cost


class Bars:
    """Bars of `length_ms`, aligned to the epoch, the newest still open; bars without a trade repeat the last close."""

    def __init__(
        self,
        length_ms: int,
        *,
        start_ms: int,
        price: float,
        tick: float,
        history: int,
        volatility: float,
        hourly_volume: float,
        entropy: Entropy,
        keep: int = 20_000,
    ) -> None:
        self.length_ms = length_ms
        self._tick = tick
        self._history = history
        self._sigma = volatility * math.sqrt(length_ms / (365 * 86_400_000))
        self._volume = hourly_volume * length_ms / 3_600_000
        self._entropy = entropy
        self._opening = price = self._snap(price)
        self._drawn = False
        self._bars: deque[Bar] = deque([Bar.flat(start_ms - start_ms % length_ms, price)], maxlen=keep)

    @property
    def last(self) -> Bar:
        return self._bars[-1]

    def add(self, at_ms: int, price: float, volume: float, cost: float) -> Bar:
        """Count a trade; return the bar it fell into."""
        self.roll(at_ms)
        bar = self._bars[-1]
        if not bar.volume and bar.open == bar.close == bar.high == bar.low:
            bar.open = bar.high = bar.low = price
        bar.add(price, volume, cost)
        return bar

    def roll(self, at_ms: int) -> None:
        """Open bars up to the one holding `at_ms`; after a long silence only as many as are kept."""
        bar = self._bars[-1]
        keep = self._bars.maxlen or 0
        start = max(bar.start_ms + self.length_ms, at_ms - at_ms % self.length_ms - keep * self.length_ms)
        while start <= at_ms:
            self._bars.append(Bar.flat(start, bar.close))
            start += self.length_ms

    def between(self, start_ms: int, end_ms: int) -> list[Bar]:
        """Bars that start within [start_ms, end_ms], oldest first."""
        if not self._drawn and start_ms < self._bars[0].start_ms:
            self._draw()
        first = self._bars[0].start_ms
        lo = max(0, -((first - start_ms) // self.length_ms)) if start_ms > first else 0
        hi = min(len(self._bars), (end_ms - first) // self.length_ms + 1)
        if hi - lo > len(self._bars) // 2:
            return list(self._bars)[lo:hi]
        return [self._bars[i] for i in range(lo, hi)]

    def _draw(self) -> None:
        self._drawn = True
        price = self._opening
        start = self._bars[0].start_ms
        room = min(self._history, (self._bars.maxlen or 0) - len(self._bars))
        for _ in range(room):
            start -= self.length_ms
            bar = self._past(start, price)
            self._bars.appendleft(bar)
            price = bar.open

    def _past(self, start_ms: int, close: float) -> Bar:
        """A bar that ends at `close`; a step has two uniform parts, which is enough noise for a chart."""
        draw = self._entropy.random
        sigma = self._sigma
        opening = self._snap(close * math.exp(-sigma * 2.45 * (draw() + draw() - 1.0)))
        top = self._snap(max(opening, close) * (1.0 + sigma * draw()))
        bottom = self._snap(min(opening, close) * (1.0 - sigma * draw()))
        volume = round(self._volume * (0.3 + 1.4 * draw()), 4)
        return Bar(start_ms, opening, top, bottom, close, volume, round(volume * close, 2))

    def _snap(self, price: float) -> float:
        return round(round(price / self._tick) * self._tick, 8)
