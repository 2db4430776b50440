"""Stops that follow the price of one figure: the best price each has seen, and when the price has turned far enough.

Stops that have seen the same best price follow it together from then on: a new best merges all groups it passes into one.
So a new best costs one step, however many stops follow it, and merging the smaller group into the larger one moves each
stop O(log n) times over its life. Within a group the stop with the least distance is hit first, and of each group only that
one stands in a heap: a price that is not a new best is compared with the heap's top.

Prices are compared as the written numbers they stand for: a float's shortest text, as `Decimal`.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from decimal import Decimal
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import NamedTuple

from engine.model.conditions.terms import Trail
from engine.model.terms import Side

_HUNDRED = Decimal(100)
_SLACK = 64  # heap entries that no longer count, before it is built anew


class Hit(NamedTuple):
    """A stop whose price was reached."""

    key: str
    best: Decimal
    trigger: Decimal


class _Group:
    """Stops with one best price. `_distances` and `_percents` are (amount, key), the least first."""

    __slots__ = ("best", "distances", "percents")

    def __init__(self, best: Decimal) -> None:
        self.best = best
        self.distances: list[tuple[Decimal, str]] = []
        self.percents: list[tuple[Decimal, str]] = []

    def __len__(self) -> int:
        return len(self.distances) + len(self.percents)

    def __iter__(self) -> Iterator[str]:
        yield from (key for _, key in self.distances)
        yield from (key for _, key in self.percents)

    def add(self, key: str, trail: Trail) -> None:
        insort(self._row(trail), (_amount(trail), key))

    def remove(self, key: str, trail: Trail) -> None:
        row = self._row(trail)
        del row[bisect_left(row, (_amount(trail), key))]

    def first(self, sign: int) -> tuple[Decimal, str]:
        """The price at which its first stop is hit, and which one that is."""
        found = []
        if self.distances:
            distance, key = self.distances[0]
            found.append((self.best - sign * distance, key))
        if self.percents:
            percent, key = self.percents[0]
            found.append((self.best * (_HUNDRED - sign * percent) / _HUNDRED, key))
        return max(found) if sign > 0 else min(found)

    def _row(self, trail: Trail) -> list[tuple[Decimal, str]]:
        return self.percents if trail.distance is None else self.distances


class Trails:
    """All trailing stops of one side that follow one figure: selling ones the highest price, buying ones the lowest.

    What somebody has stored of each is remembered, so that only what moved since is told.
    """

    def __init__(self, side: Side) -> None:
        self._sign = -side.sign  # +1: higher is better
        self._trails: dict[str, Trail] = {}
        self._group_of: dict[str, _Group] = {}  # those that follow already
        self._asleep: list[tuple[Decimal, str]] = []  # sign × activation price, least first
        self._fresh: dict[str, None] = {}  # follow from the next price on
        self._groups: list[_Group] = []  # sign × best, falling: the last one is passed first
        self._heap: list[tuple[Decimal, int, _Group]] = []  # (−sign × trigger, entry number, group)
        self._entry: dict[_Group, int] = {}  # the entry of each group that counts
        self._entries = 0
        self._told: dict[str, Decimal | None] = {}  # of those that follow; the one looked at longest ago first

    def __len__(self) -> int:
        return len(self._trails)

    def __contains__(self, key: str) -> bool:
        return key in self._trails

    def add(self, key: str, trail: Trail, best: Decimal | None) -> None:
        """Follow from the next price on, from its activation on, or on from the `best` it has seen before."""
        if key in self._trails:
            raise ValueError(f"{key}: expected a new stop")
        self._trails[key] = trail
        if best is not None:
            self._join(key, best)
            self._told[key] = best
        elif trail.activation_price is not None:
            insort(self._asleep, (self._sign * trail.activation_price, key))
        else:
            self._fresh[key] = None

    def remove(self, key: str) -> None:
        """Follow no more; nothing if it does not."""
        trail = self._trails.pop(key, None)
        if trail is None:
            return
        self._told.pop(key, None)
        group = self._group_of.pop(key, None)
        if group is not None:
            group.remove(key, trail)
            self._enter(group)
        elif key in self._fresh:
            del self._fresh[key]
        elif trail.activation_price is not None:
            del self._asleep[bisect_left(self._asleep, (self._sign * trail.activation_price, key))]

    def best(self, key: str) -> Decimal | None:
        """The best price it has seen, None before it follows."""
        group = self._group_of.get(key)
        return None if group is None else group.best

    def trigger(self, key: str) -> Decimal | None:
        """The price at which it is hit as things stand."""
        best, trail = self.best(key), self._trails.get(key)
        return None if best is None or trail is None else trigger_of(trail, best, self._sign)

    def move(self, value: float) -> tuple[Hit, ...]:
        """The price is `value` now: those it hits, which follow no more."""
        price = Decimal(repr(value))
        if self._fresh or self._asleep:
            self._wake(price)
        if self._groups and self._sign * price > self._sign * self._groups[-1].best:
            self._merge(price)
        if not self._heap or -self._heap[0][0] < self._sign * price:
            return ()
        return tuple(self._hit(price))

    def take_moved(self, most: int) -> dict[str, Decimal]:
        """The best prices that moved since they were last taken. It looks at `most` stops and goes on from there the next time."""
        moved: dict[str, Decimal] = {}
        for key in list(islice(self._told, most)):
            best = self._group_of[key].best
            if self._told.pop(key) != best:
                moved[key] = best
            self._told[key] = best
        return moved

    def _wake(self, price: Decimal) -> None:
        awake = list(self._fresh)
        self._fresh.clear()
        while self._asleep and self._asleep[0][0] <= self._sign * price:
            awake.append(self._asleep.pop(0)[1])
        for key in awake:
            self._join(key, price)
            self._told[key] = None

    def _join(self, key: str, best: Decimal) -> None:
        at = bisect_left(self._groups, -self._sign * best, key=lambda group: -self._sign * group.best)
        if at == len(self._groups) or self._groups[at].best != best:
            self._groups.insert(at, _Group(best))
        group = self._groups[at]
        group.add(key, self._trails[key])
        self._group_of[key] = group
        self._enter(group)

    def _merge(self, price: Decimal) -> None:
        """All groups whose best the price has passed become one, with the price as its best."""
        passed: list[_Group] = []
        while self._groups and self._sign * self._groups[-1].best < self._sign * price:
            passed.append(self._groups.pop())
        largest = max(passed, key=len)
        for group in passed:
            if group is not largest:
                self._pour(group, largest)
        largest.best = price
        if self._groups and self._groups[-1].best == price:
            standing = self._groups.pop()
            if len(standing) > len(largest):
                standing, largest = largest, standing
            self._pour(standing, largest)
        self._groups.append(largest)
        self._enter(largest)

    def _pour(self, small: _Group, large: _Group) -> None:
        for key in list(small):
            large.add(key, self._trails[key])
            self._group_of[key] = large
        self._entry.pop(small, None)

    def _enter(self, group: _Group) -> None:
        """Let the heap know where the group's first stop is now. A group without stops goes."""
        if not len(group):
            self._entry.pop(group, None)
            self._groups.remove(group)
            return
        self._entries += 1
        self._entry[group] = self._entries
        heappush(self._heap, (-self._sign * group.first(self._sign)[0], self._entries, group))
        if len(self._heap) > 2 * len(self._groups) + _SLACK:
            self._heap = [entry for entry in self._heap if self._entry.get(entry[2]) == entry[1]]
            heapify(self._heap)

    def _hit(self, price: Decimal) -> Iterator[Hit]:
        while self._heap and -self._heap[0][0] >= self._sign * price:
            _, number, group = heappop(self._heap)
            if self._entry.get(group) == number:
                trigger, key = group.first(self._sign)
                best = group.best
                self.remove(key)
                yield Hit(key, best, trigger)


def trigger_of(trail: Trail, best: Decimal, sign: int) -> Decimal:
    """Where a stop is hit: `distance` or `percent` from its best, below it for `sign` +1."""
    if trail.distance is not None:
        return best - sign * trail.distance
    assert trail.percent is not None, "a trail has a distance or a percent"
    return best * (_HUNDRED - sign * trail.percent) / _HUNDRED


def _amount(trail: Trail) -> Decimal:
    amount = trail.percent if trail.distance is None else trail.distance
    assert amount is not None, "a trail has a distance or a percent"
    return amount
