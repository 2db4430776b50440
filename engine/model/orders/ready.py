"""Whose turn it is: orders that may leave, of three priorities, so that none waits for ever.

Each order has a fixed key: when it became free to leave, plus the patience of its priority, then its number. The smallest key
leaves first. A high order therefore overtakes a low one that became free at most the low priority's patience before it, and no
older one: ageing without looking at anybody again. The key follows from the stored order alone, so a restart finds the same
order of leaving, and an attempt that was certainly not placed comes back to its old place.

Orders of one instrument that leave by the same gate share a lane. A lane whose gate is found closed is set aside until it is
reopened, so orders that cannot leave cost nothing to those that can. Adding, dropping and taking are O(log n), amortised.
"""

from collections.abc import Callable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from engine.model.orders.order import Order, order_number
from engine.model.terms import Priority

_SLACK = 64  # entries nobody needs any more, beyond as many as are needed, before they are swept out


class Lane(NamedTuple):
    """Orders that leave by one gate: while an account only reduces, others of the instrument stay."""

    instrument: str
    reduce_only: bool


class Turn(NamedTuple):
    """Where an order stands. Smaller is earlier."""

    at_ms: int
    number: int
    order_id: str


def free_since_ms(order: Order) -> int:
    """When the order became free to leave; in the future for one that has a delay."""
    return order.deadline_ms - int(order.good_for_s * 1000)


class ReadyQueue:
    """Orders ready to leave. `patience_ms`: how much later than a high order's an order's turn comes, by priority."""

    def __init__(self, patience_ms: Mapping[Priority, int]) -> None:
        self._patience_ms = patience_ms
        self._where: dict[str, tuple[Turn, Lane]] = {}
        self._lanes: dict[Lane, list[Turn]] = {}  # heaps; entries of orders that were dropped stay until they come up
        self._heads: list[
            tuple[Turn, Lane]
        ] = []  # heap of the first of every lane that is not set aside, and of some past
        self._shut: set[Lane] = set()
        self._entries = 0

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def add(self, order: Order) -> None:
        """Put an order in its place; one that is there already stays."""
        if order.order_id in self._where:
            return
        at_ms = free_since_ms(order) + self._patience_ms[order.priority]
        turn = Turn(at_ms, order_number(order.order_id), order.order_id)
        lane = Lane(order.instrument, order.reduce_only)
        self._where[order.order_id] = (turn, lane)
        entries = self._lanes.setdefault(lane, [])
        heappush(entries, turn)
        self._entries += 1
        if entries[0] is turn:
            self._offer(lane)

    def drop(self, order_id: str) -> None:
        """Take an order out, if it is there."""
        known = self._where.pop(order_id, None)
        if known is not None:
            self._offer(known[1])
            self._sweep()

    def take(self, may_leave: Callable[[Lane], bool]) -> str | None:
        """The order whose turn it is among lanes that `may_leave`, and it is gone from here. Others are set aside."""
        while self._heads:
            turn, lane = heappop(self._heads)
            if lane in self._shut or self._first(lane) != turn:
                continue
            if not may_leave(lane):
                self._shut.add(lane)
                continue
            del self._where[turn.order_id]
            self._offer(lane)
            self._sweep()
            return turn.order_id
        return None

    def reopen(self, instrument: str) -> None:
        """The gate of an instrument may be open now."""
        for reduce_only in (False, True):
            lane = Lane(instrument, reduce_only)
            if lane in self._shut:
                self._shut.discard(lane)
                self._offer(lane)

    def reopen_all(self) -> None:
        """Any gate may be open now."""
        shut, self._shut = self._shut, set()
        for lane in shut:
            self._offer(lane)

    def _first(self, lane: Lane) -> Turn | None:
        """The lane's first order, past what is not here any more."""
        entries = self._lanes.get(lane)
        while entries:
            known = self._where.get(entries[0].order_id)
            if known is not None and known[0] == entries[0]:
                return entries[0]
            heappop(entries)
            self._entries -= 1
        self._lanes.pop(lane, None)
        self._shut.discard(lane)
        return None

    def _offer(self, lane: Lane) -> None:
        first = self._first(lane)
        if first is not None and lane not in self._shut:
            heappush(self._heads, (first, lane))

    def _sweep(self) -> None:
        if self._entries <= 2 * len(self._where) + _SLACK and len(self._heads) <= 2 * len(self._where) + _SLACK:
            return
        self._lanes.clear()
        for turn, lane in self._where.values():
            self._lanes.setdefault(lane, []).append(turn)
        for entries in self._lanes.values():
            heapify(entries)
        self._entries = len(self._where)
        self._shut.intersection_update(self._lanes)
        self._heads = [(entries[0], lane) for lane, entries in self._lanes.items() if lane not in self._shut]
        heapify(self._heads)
