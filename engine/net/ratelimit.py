"""Request credits: one budget per host or account, spent by priority.

A budget is a set of named buckets that refill continuously, as venues describe them. Who finds too few credits waits in
line; the line is ordered by priority, then by arrival, and only its head may take. So a waiting poll never delays an
order, and an order never a cancel. Lower priorities also leave a share of the bucket untouched, so that a burst of
polls does not make the next order wait for the refill.

The venue's own word overrules our arithmetic: `drain` empties a bucket and closes it for a while.
"""

from bisect import insort
from collections.abc import Mapping
from enum import IntEnum

import msgspec
import trio

from engine.net.errors import NetError

MAX_WAITERS = 1_000


class Priority(IntEnum):
    """Smaller goes first."""

    CANCEL = 0
    ORDER = 1
    QUERY = 2
    POLL = 3


UNTOUCHED = {Priority.CANCEL: 0.0, Priority.ORDER: 0.1, Priority.QUERY: 0.1, Priority.POLL: 0.3}


class BudgetExceeded(NetError):
    """No credits within the deadline, or too many waiting already. Nothing was sent. `wait_s` is when to come back."""

    def __init__(self, bucket: str, wait_s: float) -> None:
        super().__init__(f"rate budget {bucket}: no credits in time; come back in {wait_s:.2f} s")
        self.wait_s = wait_s


class Bucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`capacity` credits at most, `refill` credits a second."""

    capacity: float
    refill: float

    def __post_init__(self) -> None:
        if not (self.capacity > 0 and self.refill > 0):
            raise ValueError(f"bucket: expected capacity and refill above 0, got {self.capacity} and {self.refill}")


class RateBudget:
    """Buckets by name. Times are trio's clock."""

    def __init__(self, buckets: Mapping[str, Bucket]) -> None:
        self._lines = {name: _Line(name, bucket) for name, bucket in buckets.items()}

    async def take(self, bucket: str, cost: float, priority: Priority, timeout_s: float) -> None:
        """Spend `cost` credits, waiting for them at most `timeout_s`. Raises `BudgetExceeded`; a cancelled wait spends nothing."""
        await self._lines[bucket].take(cost, priority, timeout_s)

    def drain(self, bucket: str, pause_s: float) -> None:
        """The venue said we asked too much: the bucket is empty and stays shut for `pause_s`."""
        self._lines[bucket].drain(pause_s)

    def credits(self, bucket: str) -> float:
        """What is left now."""
        return self._lines[bucket].credits()

    def waiting(self, bucket: str) -> int:
        return len(self._lines[bucket].waiters)


class _Line:
    """One bucket and who waits for it."""

    def __init__(self, name: str, bucket: Bucket) -> None:
        self._name = name
        self._bucket = bucket
        self._credits = bucket.capacity
        self._at_s: float | None = None
        self._shut_until_s = float("-inf")
        self._arrivals = 0
        self._moved = trio.Event()
        self.waiters: list[tuple[Priority, int]] = []  # sorted: the head may take

    async def take(self, cost: float, priority: Priority, timeout_s: float) -> None:
        if cost > self._bucket.capacity:
            raise ValueError(f"rate budget {self._name}: cost {cost} is above the capacity {self._bucket.capacity}")
        need = min(cost + UNTOUCHED[priority] * self._bucket.capacity, self._bucket.capacity)
        ticket = (priority, self._arrivals)
        self._arrivals += 1
        if (not self.waiters or ticket < self.waiters[0]) and self._wait_s(need) <= 0.0:
            self._credits -= cost
            return
        if len(self.waiters) >= MAX_WAITERS:
            raise BudgetExceeded(self._name, self._wait_s(self._bucket.capacity))
        insort(self.waiters, ticket)
        self._wake()
        try:
            with trio.fail_after(timeout_s):
                await self._until_affordable(ticket, need)
            self._credits -= cost
        except trio.TooSlowError:
            raise BudgetExceeded(self._name, self._wait_s(need)) from None
        finally:
            self.waiters.remove(ticket)
            self._wake()

    def drain(self, pause_s: float) -> None:
        self.credits()
        self._credits = 0.0
        self._shut_until_s = max(self._shut_until_s, trio.current_time() + pause_s)
        self._wake()

    def credits(self) -> float:
        now_s = trio.current_time()
        if self._at_s is not None:
            self._credits = min(self._bucket.capacity, self._credits + (now_s - self._at_s) * self._bucket.refill)
        self._at_s = now_s
        return self._credits

    async def _until_affordable(self, ticket: tuple[Priority, int], need: float) -> None:
        while True:
            moved = self._moved
            wait_s = self._wait_s(need) if self.waiters[0] == ticket else float("inf")
            if wait_s <= 0.0:
                return
            with trio.move_on_after(wait_s):
                await moved.wait()

    def _wait_s(self, need: float) -> float:
        """Seconds until `need` credits are there and the bucket is not shut; 0 when now."""
        missing = need - self.credits()
        refill_s = missing / self._bucket.refill if missing > 1e-9 else 0.0
        return max(refill_s, self._shut_until_s - trio.current_time(), 0.0)

    def _wake(self) -> None:
        self._moved.set()
        self._moved = trio.Event()
