"""The public tape of one instrument: recent trades, bars at two resolutions, and the figures of the last day."""

from collections import deque
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from engine.kernel import Entropy
from engine.simulator.bars import Bar, Bars
from engine.simulator.instruments import Instrument
from engine.simulator.orders import Trade

__all__ = ["MAX_TRADES", "DayStats", "Tape"]

MAX_TRADES = 10_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MINUTES_BEFORE = 4 * 24 * 60
HOURS_BEFORE = 60 * 24


class DayStats(msgspec.Struct):
    """Over the last 24 hours; `volume` in base coins, `cost` in quote currency."""

    open: float
    high: float
    low: float
    volume: float
    cost: float


class Tape:
    def __init__(
        self,
        instrument: Instrument,
        *,
        start_ms: int,
        price: Decimal,
        volatility: float,
        volume: float,
        entropy: Entropy,
        keep_trades: int = MAX_TRADES,
    ) -> None:
        self._instrument = instrument
        self.trades: deque[Trade] = deque(maxlen=keep_trades)
        self.last: Decimal | None = None
        self.direction = 0
        self._seq = 1 + entropy.randrange(100_000_000)

        def bars(length_ms: int, history: int) -> Bars:
            return Bars(
                length_ms,
                start_ms=start_ms,
                price=float(price),
                tick=float(instrument.tick),
                history=history,
                volatility=volatility,
                hourly_volume=volume,
                entropy=entropy.fork(f"bars-{length_ms}"),
            )

        self.minutes = bars(MINUTE_MS, MINUTES_BEFORE)
        self.hours = bars(HOUR_MS, HOURS_BEFORE)
        self._stats: DayStats | None = None
        self._stats_minute = -1

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def turn(self, price: Decimal) -> int:
        """The tick direction of a trade at `price`: 0 plus, 1 zero-plus, 2 minus, 3 zero-minus."""
        if self.last is None or price == self.last:
            return self.direction | 1
        return 0 if price > self.last else 2

    def print(self, trade: Trade) -> None:
        self.trades.append(trade)
        self.last = trade.price
        self.direction = trade.tick_direction
        price = float(trade.price)
        volume = float(self._instrument.coins(trade.amount, trade.price))
        cost = float(self._instrument.quote_value(trade.amount, trade.price))
        bar = self.minutes.add(trade.at_ms, price, volume, cost)
        self.hours.add(trade.at_ms, price, volume, cost)
        if self._stats is not None and self._stats_minute == bar.start_ms:
            stats = self._stats
            stats.high, stats.low = max(stats.high, price), min(stats.low, price)
            stats.volume += volume
            stats.cost += cost

    def day(self, now_ms: int) -> DayStats:
        """The last 24 hours, counted anew once a minute and kept up with each trade in between."""
        self.minutes.roll(now_ms)
        minute = self.minutes.last.start_ms
        if self._stats is None or self._stats_minute != minute:
            bars = self.minutes.between(minute - DAY_MS + MINUTE_MS, minute)
            self._stats_minute = minute
            self._stats = DayStats(
                open=bars[0].open,
                high=max(bar.high for bar in bars),
                low=min(bar.low for bar in bars),
                volume=sum(bar.volume for bar in bars),
                cost=sum(bar.cost for bar in bars),
            )
        return self._stats

    def chart(self, resolution_ms: int, start_ms: int, end_ms: int, now_ms: int) -> list[Bar]:
        """Bars of any whole multiple of a minute within [start_ms, end_ms], the open one included."""
        base = self.minutes if resolution_ms < HOUR_MS else self.hours
        base.roll(now_ms)
        begin = start_ms - start_ms % resolution_ms
        rows = base.between(begin, end_ms - end_ms % resolution_ms + resolution_ms - 1)
        if resolution_ms == base.length_ms:
            return rows
        return list(_merged(rows, resolution_ms))


def _merged(bars: list[Bar], length_ms: int) -> Iterator[Bar]:
    group: Bar | None = None
    for bar in bars:
        start = bar.start_ms - bar.start_ms % length_ms
        if group is not None and group.start_ms == start:
            group.merge(bar)
            continue
        if group is not None:
            yield group
        group = Bar(start, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.cost)
    if group is not None:
        yield group
