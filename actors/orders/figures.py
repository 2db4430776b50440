"""What an order queue did, under the names its users know."""

import msgspec

from engine.model import Order, OrderState, free_since_ms


class QueueFigures(msgspec.Struct):
    """Counts since the process began. An order is processed when the venue took it, failed when it ended and the venue never
    had it; `retry_count` counts attempts after the first. Times are in seconds, from when an order was free to leave until the
    venue's first word of it.
    """

    orders_processed: int = 0
    orders_failed: int = 0
    retry_count: int = 0
    avg_processing_time: float = 0.0

    def record_order_processed(self, processing_time: float) -> None:
        """A running mean: no sum that grows for ever."""
        self.orders_processed += 1
        self.avg_processing_time += (processing_time - self.avg_processing_time) / self.orders_processed

    def record_order_failed(self) -> None:
        self.orders_failed += 1

    def get_success_rate(self) -> float:
        """The share of orders that are decided which the venue took; 0.0 with no orders."""
        decided = self.orders_processed + self.orders_failed
        return self.orders_processed / decided if decided else 0.0

    def follow(self, before: Order | None, after: Order) -> None:
        """Count what an order's change means. `before` None: it is new here, and nothing happened to it yet."""
        if before is None or before.state.terminal:
            return
        if after.opened_at_ms is not None and before.opened_at_ms is None:
            self.record_order_processed(max(0, after.opened_at_ms - free_since_ms(before)) / 1000)
        elif after.opened_at_ms is None and after.state in (OrderState.REJECTED, OrderState.EXPIRED):
            self.record_order_failed()
        self.retry_count += after.attempt > before.attempt > 0
