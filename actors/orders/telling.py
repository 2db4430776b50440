"""What an order queue answers about its orders and about itself."""

from collections import Counter

from actors.messages import (
    GetOrder,
    GetOrderByKey,
    GetOrdersStatus,
    GetQueueStatistics,
    OrdersStatus,
    QueueStatistics,
)
from actors.orders.reviewing import Reviewing
from engine.kernel import on
from engine.model import Order, OrderState, Priority, free_since_ms


class Telling(Reviewing):
    """Questions change nothing."""

    @on(GetOrder)
    def get_order(self, message: GetOrder) -> Order | None:
        return self._orders.get(message.order_id) or self._stored(message.order_id)

    @on(GetOrderByKey)
    def get_order_by_key(self, message: GetOrderByKey) -> None:
        reply = self.defer_reply()
        order_id = self._known_key(message.request_key)
        self._ledger.after(lambda: reply.send(self._stored(order_id) if order_id else None))

    @on(GetOrdersStatus)
    def get_status(self, _message: GetOrdersStatus) -> OrdersStatus:
        return OrdersStatus(
            account=self._desk.account,
            gate=self._gate,
            synced=self._synced,
            waiting=self._counts[OrderState.WAITING],
            submitting=self._counts[OrderState.SUBMITTING],
            open=self._counts[OrderState.OPEN],
            unknown=self._counts[OrderState.UNKNOWN],
            closed_instruments=tuple(sorted(self._unknown)),
        )

    @on(GetQueueStatistics)
    def get_statistics(self, _message: GetQueueStatistics) -> QueueStatistics:
        now_ms = self._now_ms()
        waiting = [order for order in self._orders.values() if order.state is OrderState.WAITING]
        kinds = Counter(map(self._why_it_waits, waiting))
        priorities = Counter(order.priority for order in waiting)
        free_ms = [free_since_ms(self._orders[order_id]) for order_id in self._ready if order_id in self._orders]
        figures = self._desk.figures
        return QueueStatistics(
            account=self._desk.account,
            queue_length=len(waiting),
            queue_by_priority={priority.value: priorities[priority] for priority in Priority},
            ready=kinds["ready"],
            delayed=kinds["delayed"],
            conditional=kinds["conditional"],
            linked=kinds["linked"],
            in_review=sum(bool(order.review) for order in self._orders.values()),
            in_flight=len(self._busy),
            open=self._counts[OrderState.OPEN],
            unknown=self._counts[OrderState.UNKNOWN],
            oldest_ready=max(0, now_ms - min(free_ms, default=now_ms)) / 1000,
            oldest_waiting=max(0, now_ms - min((order.created_at_ms for order in waiting), default=now_ms)) / 1000,
            orders_processed=figures.orders_processed,
            orders_failed=figures.orders_failed,
            retry_count=figures.retry_count,
            avg_processing_time=figures.avg_processing_time,
            success_rate=figures.get_success_rate(),
        )

    def _why_it_waits(self, order: Order) -> str:
        if order.review:
            return "review"
        if order.link is not None and (order.link.after or (order.link.native and order.link.group != order.order_id)):
            return "linked"
        if order.conditional:
            return "conditional"
        return "delayed" if self._sleeps(order.order_id) else "ready"
