"""One bar, in exact integers."""

import msgspec

__all__ = ["Candle"]


class Candle(msgspec.Struct, gc=False):
    """Prices in units of the last price decimal, volumes in units of the last quantity decimal, quote volumes in the
    product of both. Trade ids are -1 in a bar without trades."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    quote: int = 0
    trades: int = 0
    taker: int = 0
    taker_quote: int = 0
    first_id: int = -1
    last_id: int = -1

    @classmethod
    def flat(cls, start_ms: int, price: int) -> "Candle":
        return cls(start_ms, price, price, price, price)

    def add(self, price: int, amount: int, trade_id: int, *, buyer_takes: bool) -> None:
        """Count one trade."""
        quote = price * amount
        if not self.trades:
            self.open = self.high = self.low = price
            self.first_id = trade_id
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.last_id = trade_id
        self.volume += amount
        self.quote += quote
        self.trades += 1
        if buyer_takes:
            self.taker += amount
            self.taker_quote += quote

    def merge(self, later: "Candle") -> None:
        """Take in the bar that follows. One without trades changes nothing but, without trades here, the price."""
        if not later.trades:
            return
        if not self.trades:
            self.open, self.high, self.low, self.first_id = later.open, later.high, later.low, later.first_id
        else:
            self.high = max(self.high, later.high)
            self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.quote += later.quote
        self.trades += later.trades
        self.taker += later.taker
        self.taker_quote += later.taker_quote
        self.last_id = later.last_id

    def copy(self) -> "Candle":
        return Candle(
            self.start_ms,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.quote,
            self.trades,
            self.taker,
            self.taker_quote,
            self.first_id,
            self.last_id,
        )
