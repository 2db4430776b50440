"""The bars of one symbol at every length.

Trades are counted in one bar only, the open minute. A minute that ends is added to the open bar of each longer length,
so that what a bar of any length holds is exactly the trades of its time, and a trade costs the same however many
lengths there are.
"""

from collections import deque

import numpy as np

from engine.simulator.binance_usdm.candle import Candle
from engine.simulator.binance_usdm.intervals import INTERVALS, MINUTE_MS, Interval
from engine.simulator.binance_usdm.past import Past

__all__ = ["Candles"]

KEEP = 1_500
MAX_SILENT_MINUTES = 1_500  # after a longer silence the bars in between are left out

MINUTE = INTERVALS["1m"]
LONGER = [interval for interval in INTERVALS.values() if interval is not MINUTE]


class Candles:
    def __init__(self, past: Past, *, price: int) -> None:
        self.past = past
        self._minute = Candle.flat(past.end_ms, price)
        self.minute_end_ms = past.end_ms + MINUTE_MS
        # What has been lived of the open bar in whole minutes, by length; and ended bars since the venue began.
        self._lived = {interval.name: Candle.flat(interval.start(past.end_ms), price) for interval in LONGER}
        self._ends = {interval.name: interval.after(interval.start(past.end_ms)) for interval in LONGER}
        self._closed: dict[str, deque[Candle]] = {name: deque(maxlen=KEEP) for name in INTERVALS}

    @property
    def last(self) -> int:
        """The price of the last trade."""
        return self._minute.close

    def add(self, at_ms: int, price: int, amount: int, trade_id: int, *, buyer_takes: bool) -> None:
        """Count a trade."""
        if at_ms >= self.minute_end_ms:
            self.roll(at_ms)
        self._minute.add(price, amount, trade_id, buyer_takes=buyer_takes)

    def roll(self, now_ms: int) -> None:
        """End every bar whose time is over."""
        earliest = now_ms - now_ms % MINUTE_MS - MAX_SILENT_MINUTES * MINUTE_MS
        while now_ms >= self.minute_end_ms:
            ended, start_ms = self._minute, self.minute_end_ms
            self._closed[MINUTE.name].append(ended)
            for interval in LONGER:
                self._lengthen(interval, ended, start_ms)
            start_ms = max(start_ms, earliest)
            self._minute = Candle.flat(start_ms, ended.close)
            self.minute_end_ms = start_ms + MINUTE_MS

    def _lengthen(self, interval: Interval, minute: Candle, end_ms: int) -> None:
        name = interval.name
        bar = self._lived[name]
        bar.merge(minute)
        if end_ms >= self._ends[name]:
            self._closed[name].append(bar)
            start_ms = interval.start(end_ms)
            self._lived[name] = Candle.flat(start_ms, bar.close)
            self._ends[name] = interval.after(start_ms)

    def open_bar(self, interval: Interval) -> Candle:
        """The unfinished bar, as it is now. It may be the live one: not to be kept or changed."""
        if interval is MINUTE:
            return self._minute
        bar = self._lived[interval.name].copy()
        bar.merge(self._minute)
        return bar if self._closed[interval.name] else self._with_head(interval, bar)

    def last_closed(self, interval: Interval) -> Candle | None:
        """The bar that ended last since the venue began."""
        closed = self._closed[interval.name]
        if not closed:
            return None
        return closed[-1] if len(closed) > 1 else self._with_head(interval, closed[-1])

    def total(self, start_ms: int) -> Candle:
        """One bar over the minutes that have ended, from the one that begins at `start_ms` on."""
        total = None
        if start_ms < self.past.end_ms and len(self._closed[MINUTE.name]) < KEEP:
            total = self.past.since(start_ms)
        if total is None:
            total = Candle.flat(start_ms, self._first_price(start_ms))
        for bar in self._closed[MINUTE.name]:
            if bar.start_ms >= start_ms:
                total.merge(bar)
        return total

    def _first_price(self, start_ms: int) -> int:
        """The price before the first trade since a time, as far as is known."""
        lived = [*self._closed[MINUTE.name], self._minute]
        return next((bar.open for bar in lived if bar.start_ms >= start_ms), lived[-1].open)

    def closed(self, interval: Interval) -> list[Candle]:
        """Bars that ended since the venue began, oldest first."""
        return self._lived_bars(interval)[:-1]

    def select(self, interval: Interval, start_ms: int | None, end_ms: int | None, limit: int) -> list[Candle]:
        """At most `limit` bars that begin within [start_ms, end_ms], oldest first: the first ones from `start_ms` on
        if that is given, else the last ones. The unfinished bar is one of them."""
        lived = self._lived_bars(interval)
        first_ms = lived[0].start_ms
        rows = [bar for bar in lived if _within(bar.start_ms, start_ms, end_ms)]
        enough = start_ms >= first_ms if start_ms is not None else len(rows) >= limit
        if not enough and len(self._closed[interval.name]) < KEEP:
            rows = self._made_up(interval, start_ms, end_ms, limit) + rows
        return rows[:limit] if start_ms is not None else rows[-limit:]

    def _lived_bars(self, interval: Interval) -> list[Candle]:
        bars = [*self._closed[interval.name], self.open_bar(interval)]
        if len(bars) > 1:
            bars[0] = self._with_head(interval, bars[0])
        return bars

    def _made_up(self, interval: Interval, start_ms: int | None, end_ms: int | None, limit: int) -> list[Candle]:
        rows = self.past.bars(interval)
        low = 0 if start_ms is None else int(np.searchsorted(rows[:, 0], start_ms, "left"))
        high = len(rows) if end_ms is None else int(np.searchsorted(rows[:, 0], end_ms, "right"))
        rows = rows[low:high]
        rows = rows[:limit] if start_ms is not None else rows[-limit:]
        return [Candle(*row) for row in rows.tolist()]

    def _with_head(self, interval: Interval, bar: Candle) -> Candle:
        """The bar the venue began in holds made-up trades from before."""
        head = self.past.head(interval) if bar.start_ms == interval.start(self.past.end_ms) else None
        if head is None:
            return bar
        whole = head.copy()
        whole.merge(bar)
        return whole


def _within(at_ms: int, start_ms: int | None, end_ms: int | None) -> bool:
    return (start_ms is None or at_ms >= start_ms) and (end_ms is None or at_ms <= end_ms)
