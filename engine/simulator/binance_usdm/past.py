"""Made-up history: bars before the venue began to live, drawn each time they are asked for, always the same.

The day in which it begins is drawn minute by minute, and longer bars of that day are sums of those minutes. Earlier
bars of each length are drawn at that length, backwards from the price at which the day opened; lengths need not agree
there. What is drawn depends on the seed, the symbol and the length only: asking for it changes nothing else. Drawing a
thousand bars takes a fraction of a millisecond, so that nothing is kept but sums.
"""

import numpy as np
from numpy.typing import NDArray

from engine.kernel import Entropy
from engine.simulator.binance_usdm.candle import Candle
from engine.simulator.binance_usdm.intervals import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS, Interval
from engine.simulator.binance_usdm.noise import Floats, Noise

__all__ = ["HISTORY_BARS", "Columns", "Past"]

HISTORY_BARS = 1_500  # of each length, before the day in which the venue begins
YEAR_MS = 365 * DAY_MS

Columns = NDArray[np.int64]  # one row a bar: the fields of Candle up to its taker's quote volume
START, OPEN, HIGH, LOW, CLOSE, VOLUME, QUOTE, TRADES, TAKER, TAKER_QUOTE = range(10)


class Past:
    """History ends at `end_ms`, a full minute, with `price`. Prices and `tick` are in units, volume in steps."""

    def __init__(
        self,
        *,
        end_ms: int,
        price: int,
        tick: int,
        volatility: float,
        hourly_steps: float,
        hourly_trades: float,
        first_ms: int,
        first_id: int,
        entropy: Entropy,
    ) -> None:
        self.end_ms = end_ms
        self._day_ms = end_ms - end_ms % DAY_MS
        self._price = price
        self._tick = tick
        self._volatility = volatility
        self._hourly_steps = hourly_steps
        self._hourly_trades = hourly_trades
        self._first_ms = first_ms
        self._first_id = first_id
        self._noise = Noise(entropy)
        self._heads: dict[str, Candle | None] = {}
        self._since: Columns | None = None

    def bars(self, interval: Interval) -> Columns:
        """All bars that ended before the venue began, oldest first."""
        day = self._day()
        first = interval.start(self._day_ms)
        starts = interval.before(first, HISTORY_BARS)
        starts = starts[starts >= self._first_ms]
        head = self.head(interval) if first < self._day_ms else None
        price = head.open if head is not None else self._open(day)
        earlier = self._walk(f"bars-{interval.name}", starts, interval.length_ms, price)
        if first < self._day_ms:
            return earlier
        whole = day[day[:, START] < interval.start(self.end_ms)]
        return np.concatenate([earlier, _summed(whole, interval.length_ms)])

    def head(self, interval: Interval) -> Candle | None:
        """What belongs to the bar the venue began in but came before it."""
        if interval.name not in self._heads:
            self._heads[interval.name] = self._head(interval)
        return self._heads[interval.name]

    def since(self, start_ms: int) -> Candle | None:
        """One bar over the minutes of the last day before the end that begin at `start_ms` or later; trade ids are left
        out."""
        if self._since is None:
            self._since = _summed_to_the_end(self.bars(INTERVALS["1m"])[-DAY_MS // MINUTE_MS :])
        place = int(np.searchsorted(self._since[:, START], start_ms))
        return Candle(*self._since[place].tolist()) if place < len(self._since) else None

    def _head(self, interval: Interval) -> Candle | None:
        start_ms = interval.start(self.end_ms)
        day = self._day()
        parts = day[day[:, START] >= start_ms]
        if start_ms < self._day_ms and start_ms >= self._first_ms:
            starts = np.array([start_ms], np.int64)
            before = self._walk(f"head-{interval.name}", starts, self._day_ms - start_ms, self._open(day))
            parts = np.concatenate([before, parts])
        if not len(parts):
            return None
        head = Candle(*_merged(parts, np.array([0]))[0].tolist())
        head.start_ms = start_ms
        head.first_id, head.last_id = self._first_id - head.trades, self._first_id - 1
        return head

    def _day(self) -> Columns:
        """The minutes of the day before the venue began."""
        return self._walk(
            "day", np.arange(self._day_ms, self.end_ms, MINUTE_MS, dtype=np.int64), MINUTE_MS, self._price
        )

    def _open(self, day: Columns) -> int:
        return int(day[0, OPEN]) if len(day) else self._price

    def _walk(self, name: str, starts: Columns, length_ms: int, price: int) -> Columns:
        """Bars of one length that end at `price`."""
        count = len(starts)
        columns: Columns = np.zeros((count, 10), np.int64)
        if not count:
            return columns
        sigma = min(self._volatility * (length_ms / YEAR_MS) ** 0.5, 0.5)
        steps = np.clip(self._noise.normal(name, count), -3.0, 3.0) * sigma
        opens = self._snap(price * np.exp(-_homing(steps)))
        closes = np.append(opens[1:], price)
        above, below = (1.0 + 0.7 * sigma * self._noise.uniform(f"{name}/{side}", count) for side in ("above", "below"))
        columns[:, START], columns[:, OPEN], columns[:, CLOSE] = starts, opens, closes
        columns[:, HIGH] = np.maximum(np.maximum(opens, closes), self._snap(np.maximum(opens, closes) * above))
        columns[:, LOW] = np.minimum(np.minimum(opens, closes), self._snap(np.minimum(opens, closes) / below))
        self._trade(columns, length_ms / HOUR_MS, name)
        return columns

    def _trade(self, columns: Columns, hours: float, name: str) -> None:
        """Fill in how much was traded."""
        busy, size, share = (self._noise.uniform(f"{name}/{what}", len(columns)) for what in ("busy", "size", "share"))
        busy = 0.3 + 1.4 * busy
        columns[:, TRADES] = np.rint(self._hourly_trades * hours * busy)
        steps = np.maximum(columns[:, TRADES], np.rint(self._hourly_steps * hours * busy * (0.7 + 0.6 * size)))
        columns[:, VOLUME] = np.where(columns[:, TRADES] > 0, steps, 0)
        columns[:, TAKER] = columns[:, VOLUME] * (0.35 + 0.3 * share)
        average = columns[:, OPEN : CLOSE + 1].sum(axis=1) // 4
        columns[:, QUOTE] = columns[:, VOLUME] * average
        columns[:, TAKER_QUOTE] = columns[:, TAKER] * average

    def _snap(self, prices: Floats) -> Columns:
        return np.maximum(1, np.rint(prices / self._tick)).astype(np.int64) * self._tick


def _homing(steps: Floats) -> Floats:
    """From each bar's open to the end of history, as logarithms; far away it flattens, so that prices stay in sight."""
    total = np.cumsum(steps[::-1])[::-1]
    flat: Floats = np.arcsinh(total)
    return flat


def _summed(rows: Columns, length_ms: int) -> Columns:
    """Rows put together into bars of a longer length, counted from the epoch."""
    if not len(rows):
        return rows
    starts = rows[:, START] - rows[:, START] % length_ms
    first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    bars = _merged(rows, first)
    bars[:, START] = starts[first]
    return bars


def _merged(rows: Columns, first: Columns) -> Columns:
    """One row for each group of rows; `first` holds where the groups begin."""
    bars: Columns = np.add.reduceat(rows, first, axis=0)
    last = np.append(first[1:], len(rows)) - 1
    bars[:, OPEN], bars[:, CLOSE] = rows[first, OPEN], rows[last, CLOSE]
    bars[:, HIGH] = np.maximum.reduceat(rows[:, HIGH], first)
    bars[:, LOW] = np.minimum.reduceat(rows[:, LOW], first)
    return bars


def _summed_to_the_end(rows: Columns) -> Columns:
    """For each row, that row and all later ones put together."""
    sums: Columns = np.cumsum(rows[::-1], axis=0)[::-1]
    sums[:, START], sums[:, OPEN], sums[:, CLOSE] = rows[:, START], rows[:, OPEN], rows[-1, CLOSE]
    sums[:, HIGH] = np.maximum.accumulate(rows[::-1, HIGH])[::-1]
    sums[:, LOW] = np.minimum.accumulate(rows[::-1, LOW])[::-1]
    return sums
