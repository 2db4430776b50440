"""One instrument's order book: price levels, each a queue in order of arrival.

Prices are kept in an ascending list (books here are tens to hundreds of levels deep, where a sorted list with `bisect`
beats a tree); within a level a dict gives first-in-first-out order with removal from the middle.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from decimal import Decimal

from engine.simulator.orders import ZERO, Order, Side

__all__ = ["Book", "BookRow", "BookSide", "Level"]

BookRow = tuple[str, Decimal, Decimal]  # (new | change | delete, price, amount)


class Level:
    """All orders at one price, oldest first. `visible` is the amount the public sees."""

    __slots__ = ("orders", "price", "visible")

    def __init__(self, price: Decimal) -> None:
        self.price = price
        self.orders: dict[str, Order] = {}
        self.visible = ZERO

    def first(self) -> Order:
        return next(iter(self.orders.values()))


class BookSide:
    """`changed` is called each time something may have changed for the public since the last drain."""

    def __init__(self, side: Side, changed: Callable[[], None]) -> None:
        self.side = side
        self._changed = changed
        self._levels: dict[Decimal, Level] = {}
        self._prices: list[Decimal] = []
        self._touched: dict[Decimal, Decimal] = {}

    def __len__(self) -> int:
        return len(self._prices)

    def best(self) -> Level | None:
        if not self._prices:
            return None
        return self._levels[self._prices[-1 if self.side is Side.BUY else 0]]

    def walk(self) -> Iterator[Level]:
        """Levels, best first. The side must not change meanwhile."""
        prices = reversed(self._prices) if self.side is Side.BUY else iter(self._prices)
        return (self._levels[price] for price in prices)

    def visible_at(self, price: Decimal) -> Decimal:
        level = self._levels.get(price)
        return level.visible if level is not None else ZERO

    def add(self, order: Order, price: Decimal) -> None:
        """Queue an order last at its price, showing what it may show."""
        level = self._levels.get(price)
        if level is None:
            level = self._levels[price] = Level(price)
            insort(self._prices, price)
        self._touch(price, level.visible)
        order.shown = order.remaining if order.display_amount is None else min(order.display_amount, order.remaining)
        level.orders[order.order_id] = order
        level.visible += order.shown

    def remove(self, order: Order, price: Decimal) -> None:
        level = self._levels[price]
        self._touch(price, level.visible)
        del level.orders[order.order_id]
        level.visible -= order.shown
        order.shown = ZERO
        if not level.orders:
            del self._levels[price]
            del self._prices[bisect_left(self._prices, price)]

    def reduce(self, order: Order, price: Decimal, amount: Decimal) -> None:
        """Take `amount` from what the order shows, keeping its place."""
        level = self._levels[price]
        self._touch(price, level.visible)
        order.shown -= amount
        level.visible -= amount

    def _touch(self, price: Decimal, before: Decimal) -> None:
        if not self._touched:
            self._changed()
        self._touched.setdefault(price, before)

    def drain(self) -> list[BookRow]:
        """What changed for the public since the last drain."""
        if not self._touched:
            return []
        rows: list[BookRow] = []
        for price, before in self._touched.items():
            after = self.visible_at(price)
            if after == before:
                continue
            action = "delete" if not after else "change" if before else "new"
            rows.append((action, price, after))
        self._touched.clear()
        return rows


class Book:
    """Both sides and the number of the last public change. `changed`: see BookSide."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.bids = BookSide(Side.BUY, changed)
        self.asks = BookSide(Side.SELL, changed)
        self.change_id = 0
        self.changed_ms = 0

    def side(self, side: Side) -> BookSide:
        return self.bids if side is Side.BUY else self.asks

    def best_price(self, side: Side) -> Decimal | None:
        level = self.side(side).best()
        return None if level is None else level.price

    def depth(self, side: Side, limit: int) -> list[tuple[Decimal, Decimal]]:
        """(price, visible amount), best first, at most `limit` rows."""
        rows: list[tuple[Decimal, Decimal]] = []
        for level in self.side(side).walk():
            if len(rows) >= limit:
                break
            rows.append((level.price, level.visible))
        return rows
