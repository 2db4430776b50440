"""One symbol's book as the wire shows it: every level rendered once, when it changes, and kept in order.

A depth message of twenty levels is then a slice and a join, however often it is sent.
"""

from bisect import bisect_left
from decimal import Decimal

import msgspec

from engine.simulator.binance_usdm.digits import units
from engine.simulator.events import BookChange
from engine.simulator.orders import Side

__all__ = ["Depth", "DepthSide", "as_array"]


class DepthSide:
    """`keys` are prices in units, negative for bids, so that the best comes first on both sides."""

    def __init__(self, side: Side, decimals: int) -> None:
        self._sign = -1 if side is Side.BUY else 1
        self._decimals = decimals
        self._keys: list[int] = []
        self._rows: list[bytes] = []

    def __len__(self) -> int:
        return len(self._rows)

    def key(self, price: Decimal) -> int:
        return self._sign * units(price, self._decimals)

    def put(self, price: Decimal, amount: Decimal) -> None:
        """A level has this much now."""
        key = self.key(price)
        place = bisect_left(self._keys, key)
        there = place < len(self._keys) and self._keys[place] == key
        if not amount:
            if there:
                del self._keys[place], self._rows[place]
        elif there:
            self._rows[place] = row_text(price, amount)
        else:
            self._keys.insert(place, key)
            self._rows.insert(place, row_text(price, amount))

    def top(self, limit: int) -> msgspec.Raw:
        """The best levels as a JSON array."""
        return as_array(self._rows[:limit])

    def best(self) -> bytes | None:
        return self._rows[0] if self._rows else None


class Depth:
    """`update_id` is that of the last change; `changed_ms` its time."""

    def __init__(self, decimals: int) -> None:
        self.bids = DepthSide(Side.BUY, decimals)
        self.asks = DepthSide(Side.SELL, decimals)
        self.update_id = 0
        self.changed_ms = 0

    def apply(self, change: BookChange) -> None:
        self.update_id, self.changed_ms = change.change_id, change.at_ms
        for _, price, amount in change.bids:
            self.bids.put(price, amount)
        for _, price, amount in change.asks:
            self.asks.put(price, amount)

    def best(self) -> tuple[bytes | None, bytes | None]:
        return self.bids.best(), self.asks.best()


def row_text(price: Decimal, amount: Decimal) -> bytes:
    return f'["{price}","{amount}"]'.encode()


def as_array(rows: list[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(rows) + b"]")
