"""The two ways in which venues count requests: credits that refill continuously, and windows that begin anew.

A pool knows what is left and how long to wait for more. It has no waiters and no priorities; `share` is the part of it
that whoever asks must leave untouched.
"""

from collections.abc import Callable
from math import floor
from typing import Protocol

import msgspec
import trio

_TICK_S = 0.001  # venues' clocks are read in whole milliseconds: the wait for a moment is up to one longer


class Bucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`capacity` credits at most, `refill` credits a second."""

    capacity: float
    refill: float

    def __post_init__(self) -> None:
        if not (self.capacity > 0 and self.refill > 0):
            raise ValueError(f"bucket: expected capacity and refill above 0, got {self.capacity} and {self.refill}")


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `limit` credits in each `period_s` of the venue's clock, of which `share` is ours to use.

    `margin_s` is how wrong our reading of that clock and the time a request is on its way may be together: what is spent so
    near a boundary counts on both sides of it.
    """

    limit: float
    period_s: float
    share: float = 1.0
    margin_s: float = 0.5

    def __post_init__(self) -> None:
        if not (self.limit > 0 and 0 < self.share <= 1 and 0 <= self.margin_s < self.period_s / 4):
            raise ValueError(
                "window: expected limit > 0, 0 < share <= 1 and a margin below a quarter of the period, got "
                f"{self.limit}, {self.share}, {self.margin_s} and {self.period_s}"
            )


class Pool(Protocol):
    """What is left of one limit. Nobody else spends from it between `wait_s` and `spend`."""

    @property
    def capacity(self) -> float: ...
    def credits(self) -> float: ...
    def wait_s(self, cost: float, share: float) -> float:
        """Seconds until `cost` may be spent and `share` of the pool is left; 0 when now."""

    def spend(self, cost: float) -> None: ...
    def refused(self) -> None:
        """The venue did not do something for want of credits."""


class TokenPool:
    """Credits by trio's clock."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._credits = bucket.capacity
        self._at_s: float | None = None

    @property
    def capacity(self) -> float:
        return self._bucket.capacity

    def credits(self) -> float:
        now_s = trio.current_time()
        if self._at_s is not None:
            self._credits = min(self.capacity, self._credits + (now_s - self._at_s) * self._bucket.refill)
        self._at_s = now_s
        return self._credits

    def wait_s(self, cost: float, share: float) -> float:
        missing = min(cost + share * self.capacity, self.capacity) - self.credits()
        return missing / self._bucket.refill if missing > 1e-9 else 0.0

    def spend(self, cost: float) -> None:
        self._credits = self.credits() - cost

    def refused(self) -> None:
        self.credits()
        self._credits = 0.0


class WindowPool:
    """Credits by windows of the venue's clock, `now_s`.

    Unspent credits are lost at the boundary, so what must be left untouched shrinks evenly to nothing as a window passes.
    Others may spend from the same limit: `observe` brings the venue's own count.
    """

    def __init__(self, window: Window, now_s: Callable[[], float]) -> None:
        self._window = window
        self._limit = window.limit
        self._now_s = now_s
        self._ours: dict[int, float] = {}  # by number of the window
        self._others: dict[int, float] = {}

    @property
    def capacity(self) -> float:
        return self._limit * self._window.share

    def resize(self, limit: float) -> None:
        """The venue says what its limit is."""
        self._limit = limit

    def credits(self) -> float:
        return min(self._left(number) for number in self._numbers(self._now_s()))

    def wait_s(self, cost: float, share: float) -> float:
        now_s = self._now_s()
        wait_s = max(self._wait_in(number, now_s, cost, share) for number in self._numbers(now_s))
        return wait_s + _TICK_S if wait_s > 0.0 else 0.0

    def spend(self, cost: float) -> None:
        numbers = self._numbers(self._now_s())
        for number in numbers:
            self._ours[number] = self._ours.get(number, 0.0) + cost
        self._forget_before(numbers[0])

    def refused(self) -> None:
        """Changes nothing: what the venue counted comes by `observe`, and when to ask again it says itself."""

    def observe(self, used: float, since_s: float) -> None:
        """The venue counted `used` in its window, at some moment since `since_s` of its clock.

        It tells nothing when that may have been another window.
        """
        now_s, margin_s = self._now_s(), self._window.margin_s
        number = self._number(now_s + margin_s)
        if number == self._number(since_s - margin_s):
            others = used - self._ours.get(number, 0.0)
            self._others[number] = max(others, self._others.get(number, 0.0))

    def _left(self, number: int) -> float:
        """Our share, and what others have left of the whole."""
        ours = self._ours.get(number, 0.0)
        return min(self.capacity, self._limit - self._others.get(number, 0.0)) - ours

    def _wait_in(self, number: int, now_s: float, cost: float, share: float) -> float:
        period_s = self._window.period_s
        left_s = (number + 1) * period_s - now_s
        spare = self._left(number) - cost
        if spare < 0.0:
            return left_s + self._window.margin_s
        kept = min(share * self.capacity, self.capacity - cost)
        if spare >= kept * min(1.0, left_s / period_s):
            return 0.0
        return left_s - spare / kept * period_s

    def _numbers(self, now_s: float) -> tuple[int, ...]:
        """The windows in which a request sent now may be counted."""
        first = self._number(now_s - self._window.margin_s)
        last = self._number(now_s + self._window.margin_s)
        return (first,) if first == last else (first, last)

    def _number(self, at_s: float) -> int:
        return floor(at_s / self._window.period_s)

    def _forget_before(self, number: int) -> None:
        for counts in (self._ours, self._others):
            for old in [known for known in counts if known < number]:
                del counts[old]
