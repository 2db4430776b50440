"""What closes for a failed exit, until it is sent: no more than the others left open of what that exit was to protect."""

from collections.abc import Sequence
from decimal import Decimal

from actors.orders.changing import Changing
from engine.model import (
    ZERO,
    Order,
    OrderState,
    being_closed,
    cut,
    ends_here,
    floor_to,
    joined,
    stands_in,
    still_open,
)


class Closing(Changing):
    """Beside other orders of the same set, which may be filled before it leaves, or may have left nothing to do."""

    def _ends(self, order: Order, rival: Order) -> bool:
        """Whether `rival` is to be cancelled by us for what was filled of `order`."""
        if not stands_in(rival):
            return ends_here(order, rival)
        return order.filled_amount > ZERO and self._still_open(rival, self._beside(rival)) <= ZERO

    def _leave(self, order_id: str, now_s: float) -> None:
        order = self._orders.get(order_id)
        waits = order is not None and order.state is OrderState.WAITING and not self._unsaved.get(order_id)
        if order is None or not waits or not stands_in(order) or not self._cut(order):
            super()._leave(order_id, now_s)

    def _cut(self, order: Order) -> bool:
        """Make it no larger than what is open and nobody else closes. Whether it was too large: then it comes by again."""
        beside, instrument = self._beside(order), self._instrument(order.instrument)
        left = self._still_open(order, beside) - being_closed(beside)
        left = floor_to(left, instrument.lot_size) if instrument is not None else left
        if left >= order.remaining:
            return False
        if left <= ZERO:
            self._want_cancel(order, "nothing is left to close")
        else:
            self._save("order.cut", cut(order, order.filled_amount + left, now_ms=self._now_ms()))
        return True

    def _still_open(self, order: Order, beside: Sequence[Order]) -> Decimal:
        """How much it may close yet, if that can be told."""
        failed = self._known(order.link.closes) if order.link is not None else None
        entry = self._known(order.link.entry) if order.link is not None else None
        return order.remaining if failed is None or entry is None else still_open(order, failed, entry, beside)

    def _beside(self, order: Order) -> list[Order]:
        """All that guard, or close, what the failed exit was to protect, other than these two."""
        failed = self._known(order.link.closes) if order.link is not None else None
        if failed is None:
            return []
        near = {one.order_id: one for one in (*self._rivals(order), *self._rivals(failed))}
        near |= {one.order_id: one for rival in list(near.values()) for one in self._rivals(rival)}
        return [one for order_id, one in near.items() if order_id not in (order.order_id, failed.order_id)]

    def _join(self, substitute: Order) -> None:
        """An earlier version stored it without a word in its rivals."""
        strangers = [one for one in self._rivals(substitute) if one.link and substitute.order_id not in one.link.rivals]
        for rival in joined(strangers, substitute, now_ms=self._now_ms()):
            self._save("order.joined", rival)

    def _rivals(self, order: Order) -> list[Order]:
        return self._all(order.link.rivals if order.link else ())

    def _all(self, order_ids: Sequence[str]) -> list[Order]:
        return [order for order in map(self._known, order_ids) if order is not None]

    def _known(self, order_id: str) -> Order | None:
        return self._orders.get(order_id) or self._stored(order_id)
