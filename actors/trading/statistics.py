"""Figures over stored orders: how many, how they fared, how fast they were, by account, instrument, direction and period."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import trio

from actors.messages import QueueStatistics
from actors.orders.figures import QueueFigures
from actors.trading.history import Filters, Walk, keeper
from actors.trading.metrics import sum_of
from actors.trading.records import moment, status_of
from engine.model import Order, OrderState, free_since_ms
from engine.store import Store

MAX_PERIODS = 1000

Figures = dict[str, Any]


class Tally(msgspec.Struct):
    """Orders of one kind. One is processed when the venue took it, failed when it ended and the venue never had it."""

    orders: int = 0
    processed: int = 0
    failed: int = 0
    retries: int = 0
    busy_ms: int = 0

    def add(self, order: Order) -> None:
        self.orders += 1
        self.retries += max(0, order.attempt - 1)
        if order.opened_at_ms is not None:
            self.processed += 1
            self.busy_ms += max(0, order.opened_at_ms - free_since_ms(order))
        elif order.state in (OrderState.REJECTED, OrderState.EXPIRED):
            self.failed += 1

    def figures(self) -> Figures:
        """`success_rate` of those decided, 0.0 with none; `avg_processing_time` in seconds, from free to leave until the venue's word."""
        decided = self.processed + self.failed
        return {
            "orders": self.orders,
            "orders_processed": self.processed,
            "orders_failed": self.failed,
            "success_rate": self.processed / decided if decided else 0.0,
            "avg_processing_time": self.busy_ms / self.processed / 1000 if self.processed else 0.0,
            "retry_count": self.retries,
            "retry_rate": self.retries / self.orders if self.orders else 0.0,
        }


#: What figures are told apart by.
DIMENSIONS: dict[str, Callable[[Order], str]] = {
    "account": lambda order: order.account,
    "instrument": lambda order: order.instrument,
    "direction": lambda order: str(order.side),
    "strategy": lambda order: order.strategy,
}


class _Counting:
    """All tallies of one walk."""

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._all = Tally()
        self._status: Counter[str] = Counter()
        self._by: dict[str, dict[str, Tally]] = {name: {} for name in DIMENSIONS}
        self._periods: dict[int, Tally] = {}

    def add(self, order: Order) -> None:
        self._all.add(order)
        self._status[status_of(order)] += 1
        for name, key in DIMENSIONS.items():
            self._by[name].setdefault(key(order), Tally()).add(order)
        period = order.created_at_ms // self._period_ms
        if period in self._periods or len(self._periods) < MAX_PERIODS:
            self._periods.setdefault(period, Tally()).add(order)

    def figures(self) -> Figures:
        told: Figures = self._all.figures() | {"by_status": dict(sorted(self._status.items()))}
        for name, tallies in self._by.items():
            told[f"by_{name}"] = {key: tally.figures() for key, tally in sorted(tallies.items())}
        told["by_period"] = [
            {"start": moment(period * self._period_ms)} | tally.figures()
            for period, tally in sorted(self._periods.items())
        ]
        return told


async def statistics_of(store: Store, filters: Filters, period_s: float) -> Figures:
    """Figures of the newest orders that pass the filters, letting others run meanwhile; `complete` False when there were too many."""
    keep, walk = keeper(filters), Walk(filters)
    counting = _Counting(max(1, int(period_s * 1000)))
    while walk.left > 0 and not walk.ended:
        with store.snapshot() as view:
            for order in walk.turn(view):
                if keep(order):
                    counting.add(order)
        await trio.lowlevel.checkpoint()
    return counting.figures() | {"complete": walk.ended}


def together(queues: Sequence[QueueStatistics]) -> Figures:
    """Of all queues: counts added up, the oldest of all, the mean over all their orders."""
    figures = sum_of(
        QueueFigures(one.orders_processed, one.orders_failed, one.retry_count, one.avg_processing_time)
        for one in queues
    )
    counted = {name: sum(getattr(one, name) for one in queues) for name in _COUNTS}
    priorities: Counter[str] = Counter()
    for one in queues:
        priorities.update(one.queue_by_priority)
    return {
        **counted,
        "queue_by_priority": dict(priorities),
        "oldest_ready": max((one.oldest_ready for one in queues), default=0.0),
        "oldest_waiting": max((one.oldest_waiting for one in queues), default=0.0),
        "orders_processed": figures.orders_processed,
        "orders_failed": figures.orders_failed,
        "retry_count": figures.retry_count,
        "avg_processing_time": figures.avg_processing_time,
        "success_rate": figures.get_success_rate(),
    }


_COUNTS = ("queue_length", "ready", "delayed", "conditional", "linked", "in_review", "in_flight", "open", "unknown")
