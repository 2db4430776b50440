"""Who may leave, and what holds the others: conditions, delays, deadlines, an order they depend on, a person.

Nothing here is remembered that the store does not say: whether an order is held, since when it is free, and what it waits for
follow from the order, so it is released again, or watched again, by every incarnation.
"""

from functools import partial

from actors.messages import Arm, ConditionsMet, Disarm, TrailMoved
from actors.orders.desk import OrdersDesk
from actors.orders.hearing import Hearing
from engine.kernel import on
from engine.model import CancelState, Moment, Order, OrderState, conditions_met, to_expired, trailed

SLEEPS_UNTIL = (Moment.DUE, Moment.AGAIN)


class Releasing(Hearing):
    """An order whose last change is on disk goes where it belongs: to the watcher of conditions, to sleep, or among the ready."""

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        self._armed: set[str] = set()  # order ids the watcher was told of

    def _release(self, order: Order) -> None:
        """Let an order go if nothing holds it. Doing it again changes nothing."""
        order_id = order.order_id
        current = self._orders.get(order_id)
        if current is None or current.state is not OrderState.WAITING or current.cancel is not CancelState.NONE:
            return
        if order_id in self._unsaved or order_id in self._busy:
            return  # it comes by here again when that is done
        if current.review or (current.link is not None and current.link.after):
            return
        if current.conditional:
            self._arm(current)
        elif not self._sleeps(order_id):
            self._ready.add(current)

    def _wait_again(self, order: Order) -> None:
        """After a restart. The watcher is restarted with the queue, and finds what it is to watch in the store."""
        if order.conditional and not (order.link is not None and order.link.after):
            self._armed.add(order.order_id)
        self._release(order)

    def _sleeps(self, order_id: str) -> bool:
        return self._alarms.any_after(self.ctx.clock.monotonic_s(), order_id, SLEEPS_UNTIL)

    def _expire(self, order: Order, why: str) -> None:
        self._save("order.expired", to_expired(order, why, now_ms=self._now_ms()))

    # ── conditions ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _arm(self, order: Order) -> None:
        if order.order_id not in self._armed:
            self._armed.add(order.order_id)
            self._desk.triggers.tell(Arm(order))

    def _disarm(self, order_id: str) -> None:
        if order_id in self._armed:
            self._armed.discard(order_id)
            self._desk.triggers.tell(Disarm(order_id))

    def _forget(self, order: Order) -> None:
        super()._forget(order)
        self._disarm(order.order_id)

    @on(ConditionsMet)
    def conditions_met(self, message: ConditionsMet) -> None:
        """The decision to let it go is on disk before it goes; a late or repeated word changes nothing."""
        order = self._orders.get(message.order_id)
        if order is None:
            self._desk.triggers.tell(Disarm(message.order_id))
            return
        met = conditions_met(order, at_ms=message.at_ms, evidence=message.evidence, now_ms=self._now_ms())
        if met is order:
            return
        self._armed.discard(order.order_id)
        self._save("order.triggered", met, partial(self._desk.point, "trigger.durable"))

    @on(TrailMoved)
    def trail_moved(self, message: TrailMoved) -> None:
        order = self._orders.get(message.order_id)
        if order is None:
            return
        moved = trailed(order, message.trailing, now_ms=self._now_ms())
        if moved is not order:
            self._save("order.trailed", moved)
