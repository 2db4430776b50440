"""The last 24 hours of one symbol, from its minutes; counted anew once a minute, and kept up with the open one."""

from engine.simulator.binance_usdm.candle import Candle
from engine.simulator.binance_usdm.candles import Candles
from engine.simulator.binance_usdm.intervals import DAY_MS, INTERVALS, MINUTE_MS

__all__ = ["Day"]

MINUTE = INTERVALS["1m"]


class Day:
    def __init__(self, candles: Candles) -> None:
        self._candles = candles
        self._ended = Candle.flat(0, 0)
        self._minute_ms = -1

    def bar(self) -> Candle:
        """One bar over the last day; it begins with a minute."""
        minute = self._candles.open_bar(MINUTE)
        if self._minute_ms != minute.start_ms:
            self._minute_ms = minute.start_ms
            self._ended = self._candles.total(minute.start_ms - DAY_MS + MINUTE_MS)
        day = self._ended.copy()
        day.merge(minute)
        return day
