"""Figures of all order queues together, and of telling people, under the names their readers know.

Read from what is at hand: nobody is asked, so they can be shown whoever is down. Counts and times are since the process began; the
queue's length is of now, the share of delivered notices of the newest `NOTICES` that people had to hear of.
"""

from collections.abc import Iterable

import msgspec

from actors.orders.figures import QueueFigures
from engine.model import OrderState, Severity
from engine.store import Store

NOTICES = 200
URGENT = (Severity.ERROR, Severity.EMERGENCY)


class OrderMetrics(msgspec.Struct, frozen=True):
    """`avg_processing_time` in seconds, from when an order was free to leave until the venue's first word of it. `success_rate`: of the
    orders that are decided, those the venue took; 0.0 with none. `notification_success_rate` is null with nothing to tell.
    """

    orders_processed: int
    orders_failed: int
    avg_processing_time: float
    queue_length: int
    retry_count: int
    success_rate: float
    notification_success_rate: float | None


def metrics_of(queues: Iterable[QueueFigures], store: Store) -> OrderMetrics:
    """The metrics now."""
    together = sum_of(queues)
    return OrderMetrics(
        orders_processed=together.orders_processed,
        orders_failed=together.orders_failed,
        avg_processing_time=together.avg_processing_time,
        queue_length=store.counters()[OrderState.WAITING],
        retry_count=together.retry_count,
        success_rate=together.get_success_rate(),
        notification_success_rate=_told(store),
    )


def sum_of(queues: Iterable[QueueFigures]) -> QueueFigures:
    """Counts added up, and the mean of all their orders."""
    found = list(queues)
    processed = sum(queue.orders_processed for queue in found)
    busy_s = sum(queue.avg_processing_time * queue.orders_processed for queue in found)
    return QueueFigures(
        orders_processed=processed,
        orders_failed=sum(queue.orders_failed for queue in found),
        retry_count=sum(queue.retry_count for queue in found),
        avg_processing_time=busy_s / processed if processed else 0.0,
    )


def _told(store: Store) -> float | None:
    """The share of notices some channel took, of those people had to hear of."""
    table = store.table("notices")
    keys = store.index("notices_by_time").iterate(reverse=True, limit=NOTICES)
    notices = [notice for *_, key in keys if (notice := table.get(key)) is not None and notice.severity in URGENT]
    return sum(bool(notice.delivered_to) for notice in notices) / len(notices) if notices else None
