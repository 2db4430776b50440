"""Moments that come: deadlines, due times, ends of a life.

Orders carry moments of the wall clock, since only these survive a restart. Each is turned into one of the monotonic clock when
it is first seen and kept: a jump of the wall clock afterwards neither ends an order that waits nor lets an old one go.
"""

from collections.abc import Iterator
from enum import StrEnum
from heapq import heapify, heappop, heappush

_SLACK = 64
NOT_OF_THE_WALL = -1


class Moment(StrEnum):
    """What comes for an order."""

    DUE = "due"  # it may leave: its delay is over
    AGAIN = "again"  # it may be tried again
    DEADLINE = "deadline"  # no attempt after this
    EXPIRES = "expires"  # its life is over, wherever it is
    RESTED = "rested"  # it rested at the venue for as long as it may


class Alarms:
    """Moments by order. Setting, forgetting and ringing are O(log n), amortised."""

    def __init__(self) -> None:
        self._of: dict[str, dict[Moment, tuple[int, float]]] = {}
        self._heap: list[
            tuple[float, str, Moment]
        ] = []  # with entries of what was moved or forgotten, until they come up
        self._count = 0

    def set(self, order_id: str, what: Moment, at_ms: int, *, now_ms: int, now_s: float) -> None:
        """`what` comes at `at_ms` of the wall clock. The same moment again stays where it is, whatever the clock says now; if it
        has come already it rings once more, since what could not be done about the order then may be due now.
        """
        known = self._of.get(order_id, {}).get(what)
        if known is None or known[0] != at_ms:
            self._put(order_id, what, at_ms, now_s + (at_ms - now_ms) / 1000)
        elif known[1] <= now_s:
            self.repeat(order_id, what, now_s)

    def set_s(self, order_id: str, what: Moment, at_s: float) -> None:
        """`what` comes at `at_s` of the monotonic clock; it does not outlive the process."""
        self._put(order_id, what, NOT_OF_THE_WALL, at_s)

    def at_s(self, order_id: str, what: Moment) -> float | None:
        """When `what` comes, or came, on the monotonic clock."""
        known = self._of.get(order_id, {}).get(what)
        return known[1] if known else None

    def any_after(self, now_s: float, order_id: str, kinds: tuple[Moment, ...]) -> bool:
        """Whether one of `kinds` is still to come for an order."""
        known = self._of.get(order_id)
        return known is not None and any(what in known and known[what][1] > now_s for what in kinds)

    def repeat(self, order_id: str, what: Moment, at_s: float) -> None:
        """Ring once more for something that came and could not be acted on."""
        heappush(self._heap, (at_s, order_id, what))

    def forget(self, order_id: str) -> None:
        """Nothing comes for this order any more."""
        self._count -= len(self._of.pop(order_id, ()))
        self._sweep()

    def ring(self, now_s: float) -> Iterator[tuple[str, Moment]]:
        """What has come. A moment that was moved may ring twice: whoever listens looks at the order."""
        while self._heap and self._heap[0][0] <= now_s:
            at_s, order_id, what = heappop(self._heap)
            known = self._of.get(order_id, {}).get(what)
            if known is not None and at_s >= known[1]:
                yield order_id, what

    def _put(self, order_id: str, what: Moment, at_ms: int, at_s: float) -> None:
        moments = self._of.setdefault(order_id, {})
        self._count += what not in moments
        moments[what] = (at_ms, at_s)
        heappush(self._heap, (at_s, order_id, what))

    def _sweep(self) -> None:
        if len(self._heap) > 2 * self._count + _SLACK:
            self._heap = [(at_s, order_id, what) for order_id, of in self._of.items() for what, (_, at_s) in of.items()]
            heapify(self._heap)
