"""Conditional orders of one instrument, waiting for a reference price.

Fixed conditions are kept sorted by price, so that a tick costs only what it fires; trailing ones move with every tick
and are scanned.
"""

from bisect import bisect_left, bisect_right, insort
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar

from engine.simulator.orders import Reference, Side, Trigger

__all__ = ["Triggers", "Waiting"]


class Waiting(Protocol):
    """An order that waits, the exchange's own kind or that of a venue which keeps them apart."""

    side: Side
    trigger: Trigger | None

    @property
    def order_id(self) -> str: ...


W = TypeVar("W", bound=Waiting)
Row = tuple[Decimal, int, W]


class Triggers(Generic[W]):
    def __init__(self) -> None:
        self._above: dict[Reference, list[Row[W]]] = {reference: [] for reference in Reference}
        self._below: dict[Reference, list[Row[W]]] = {reference: [] for reference in Reference}
        self._trailing: dict[str, W] = {}
        self._rows: dict[str, tuple[list[Row[W]], Row[W]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._rows) + len(self._trailing)

    def add(self, order: W, trigger: Trigger) -> None:
        if trigger.offset is not None:
            self._trailing[order.order_id] = order
            return
        self._count += 1
        rows = (self._above if trigger.fires_above(order.side) else self._below)[trigger.reference]
        row = (trigger.price, self._count, order)
        insort(rows, row, key=_place)
        self._rows[order.order_id] = (rows, row)

    def remove(self, order: W) -> None:
        """Take an order out that waits here, or was taken out in the same moment as another."""
        if self._trailing.pop(order.order_id, None) is not None or order.order_id not in self._rows:
            return
        rows, row = self._rows.pop(order.order_id)
        del rows[bisect_left(rows, _place(row), key=_place)]

    def fired(self, prices: dict[Reference, Decimal]) -> list[W]:
        """Take out and return the orders whose condition holds, the first placed first within a price."""
        if not self._rows and not self._trailing:
            return []
        orders: list[W] = []
        for reference, price in prices.items():
            orders += self._take_above(self._above[reference], price)
            orders += self._take_below(self._below[reference], price)
        orders += self._take_trailing(prices)
        return orders

    def _take_above(self, rows: list[Row[W]], price: Decimal) -> list[W]:
        cut = bisect_right(rows, price, key=_price)
        return self._take(rows, 0, cut)

    def _take_below(self, rows: list[Row[W]], price: Decimal) -> list[W]:
        cut = bisect_left(rows, price, key=_price)
        return self._take(rows, cut, len(rows))

    def _take(self, rows: list[Row[W]], start: int, stop: int) -> list[W]:
        taken = [row[2] for row in rows[start:stop]]
        del rows[start:stop]
        for order in taken:
            del self._rows[order.order_id]
        return taken

    def _take_trailing(self, prices: dict[Reference, Decimal]) -> list[W]:
        fired: list[W] = []
        for order in list(self._trailing.values()):
            trigger = order.trigger
            assert trigger is not None, "only conditional orders are added"
            price = prices.get(trigger.reference)
            if price is None:
                continue
            trigger.trail(order.side, price)
            if trigger.met(order.side, price):
                del self._trailing[order.order_id]
                fired.append(order)
        return fired


def _place(row: Row[Any]) -> tuple[Decimal, int]:
    return row[0], row[1]


def _price(row: Row[Any]) -> Decimal:
    return row[0]
