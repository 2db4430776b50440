"""Where an index price goes: a seeded random walk, or recorded bars played back."""

import math
from collections.abc import Sequence
from typing import Protocol

import msgspec

from engine.kernel import Entropy

__all__ = ["BarPath", "OhlcBar", "PricePath", "RandomWalk"]

YEAR_MS = 365 * 86_400_000


class PricePath(Protocol):
    """`price(now_ms)` is asked with times that never go back."""

    def price(self, now_ms: int) -> float: ...


class RandomWalk:
    """A geometric walk with a weak pull home, so that a long run stays in sight of where it began.

    A step's noise has twelve uniform parts less their mean: near enough to normal, and bounded at six deviations.
    """

    def __init__(self, start: float, *, start_ms: int, volatility: float, entropy: Entropy) -> None:
        self._home = self._price = start
        self._at_ms = start_ms
        self._volatility = volatility
        self._entropy = entropy

    def price(self, now_ms: int) -> float:
        elapsed = now_ms - self._at_ms
        if elapsed > 0:
            self._at_ms = now_ms
            years = elapsed / YEAR_MS
            noise = sum(self._entropy.random() for _ in range(12)) - 6.0
            pull = math.log(self._home / self._price) * min(1.0, 50.0 * years)
            self._price *= math.exp(pull + self._volatility * math.sqrt(years) * noise)
        return self._price


class OhlcBar(msgspec.Struct, frozen=True):
    open: float
    high: float
    low: float
    close: float

    def at(self, share: float) -> float:
        """The price after this share of the bar: open, the nearer extreme, the other one, close, in equal parts."""
        first, second = (self.low, self.high) if self.close >= self.open else (self.high, self.low)
        points = (self.open, first, second, self.close)
        leg = min(2, int(share * 3))
        part = share * 3 - leg
        return points[leg] + (points[leg + 1] - points[leg]) * part


class BarPath:
    """Recorded bars, one each `bar_ms`. At the end they are played backwards, then forwards again, and so on: the price
    never jumps and never leaves the recorded range."""

    def __init__(self, bars: Sequence[OhlcBar], *, start_ms: int, bar_ms: int) -> None:
        assert bars and bar_ms > 0, "a path needs at least one bar and a positive pace"
        self._bars = bars
        self._start_ms = start_ms
        self._bar_ms = bar_ms

    def price(self, now_ms: int) -> float:
        length = len(self._bars)
        place = max(0.0, (now_ms - self._start_ms) / self._bar_ms) % (2 * length)
        if place >= length:
            place = 2 * length - place
        number = min(int(place), length - 1)
        return self._bars[number].at(min(1.0, place - number))
