"""Request credits: one budget per host or account, spent by priority.

A budget is a set of named pools, each counted as its venue counts it (`Bucket`, `Window`). Who finds too few credits waits in
line; the line is ordered by priority, then by urgency and arrival, and only its head may take. So a waiting poll never delays an
order, and an order never a cancel. Lower priorities also leave a share of the pool untouched, so that a burst of
polls does not make the next order wait for the refill.

What takes several requests (`one_errand`) stands in line with the place it got when it began. Otherwise, when more is asked
than the pool refills, every errand would be served a part, none would be done by its deadline, and all would begin
anew, for ever. What is urgent goes before the errands that are not, however old, within each priority: the questions that an order
or a cancel needs are not errands of their own.

The venue's own word overrules our arithmetic: `drain` empties a pool and closes it for a while, `observe` counts what others
have spent, `resize` sets the limit.
"""

from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from itertools import count

import msgspec
import trio

from engine.net._pools import Bucket, Pool, TokenPool, Window, WindowPool
from engine.net.errors import NetError

__all__ = ["MAX_WAITERS", "Bucket", "BudgetExceeded", "PoolUse", "Priority", "RateBudget", "Window", "one_errand"]

MAX_WAITERS = 10_000  # several questions about each of a thousand symbols

_TICK_S = 1e-6  # what a wait is too long by, so that no rounding of a clock makes it too short
_ARRIVALS = count(1)
_Turn = tuple[bool, int]  # within a priority: not urgent, arrival
_ERRAND: ContextVar[_Turn | None] = ContextVar("errand", default=None)  # the turn of the errand that this task is on


@contextmanager
def one_errand(*, urgent: bool = False) -> Iterator[None]:
    """All credits taken within, by this task and those it starts, are for one purpose: none of them waits behind what began
    later, and of an `urgent` one none behind what is not urgent. Priorities come first all the same.
    """
    before = _ERRAND.set((not urgent, next(_ARRIVALS)))
    try:
        yield
    finally:
        _ERRAND.reset(before)


class Priority(IntEnum):
    """Smaller goes first."""

    CANCEL = 0
    ORDER = 1
    QUERY = 2
    POLL = 3
    HISTORY = 4


UNTOUCHED = {
    Priority.CANCEL: 0.0,
    Priority.ORDER: 0.1,
    Priority.QUERY: 0.1,
    Priority.POLL: 0.3,
    Priority.HISTORY: 0.5,
}


class BudgetExceeded(NetError):
    """No credits within the deadline, or too many waiting already. Nothing was sent. `wait_s` is when to come back."""

    def __init__(self, bucket: str, wait_s: float) -> None:
        super().__init__(f"rate budget {bucket}: no credits in time; come back in {wait_s:.2f} s")
        self.wait_s = wait_s


class PoolUse(msgspec.Struct, frozen=True):
    """One pool at a moment: what of it is left for us of what may be ours, who waits, and for how long it is shut."""

    left: float
    capacity: float
    waiting: int
    shut_s: float


class RateBudget:
    """Pools by name. Waits are by trio's clock, windows by `venue_s`, the venue's clock in seconds."""

    def __init__(
        self, pools: Mapping[str, Bucket | Window], *, venue_s: Callable[[], float] = trio.current_time
    ) -> None:
        self._windows = {
            name: WindowPool(window, venue_s) for name, window in pools.items() if isinstance(window, Window)
        }
        tokens = {name: TokenPool(bucket) for name, bucket in pools.items() if isinstance(bucket, Bucket)}
        self._lines = {name: _Line(name, pool) for name, pool in (tokens | self._windows).items()}

    async def take(self, bucket: str, cost: float, priority: Priority, timeout_s: float) -> None:
        """Spend `cost` credits, waiting for them at most `timeout_s`. Raises `BudgetExceeded`; a cancelled wait spends nothing."""
        await self._lines[bucket].take(cost, priority, timeout_s)

    def drain(self, bucket: str, pause_s: float) -> None:
        """The venue said we asked too much: the pool stays shut for `pause_s`, and a bucket is empty."""
        self._lines[bucket].drain(pause_s)

    def drain_all(self, pause_s: float) -> None:
        """The venue takes nothing at all from us for `pause_s`."""
        for line in self._lines.values():
            line.drain(pause_s)

    def observe(self, bucket: str, used: float, since_s: float) -> None:
        """The venue counted `used` credits of a window at some moment since `since_s` of its clock, ours and others' together."""
        self._windows[bucket].observe(used, since_s)

    def resize(self, bucket: str, limit: float) -> None:
        """The venue says what the limit of a window is."""
        self._windows[bucket].resize(limit)
        self._lines[bucket].look_again()

    def shut_s(self, bucket: str) -> float:
        """Seconds for which the venue takes nothing of this pool, 0 when it does: for who has paid and not sent yet."""
        return self._lines[bucket].shut_s()

    def credits(self, bucket: str) -> float:
        """What is left now."""
        return self._lines[bucket].pool.credits()

    def use(self) -> dict[str, PoolUse]:
        """Every pool as it is now."""
        return {
            name: PoolUse(max(0.0, line.pool.credits()), line.pool.capacity, len(line.waiters), line.shut_s())
            for name, line in self._lines.items()
        }

    def waiting(self, bucket: str) -> int:
        return len(self._lines[bucket].waiters)


class _Waiter:
    """One who waits, in the order of the line."""

    __slots__ = ("moved", "place")

    def __init__(self, place: tuple[Priority, _Turn]) -> None:
        self.place = place
        self.moved = trio.Event()

    def __lt__(self, other: "_Waiter") -> bool:
        return self.place < other.place


class _Line:
    """One pool and who waits for it. Only the head of the line watches the clock; the others wait to become it."""

    def __init__(self, name: str, pool: Pool) -> None:
        self.pool = pool
        self.waiters: list[_Waiter] = []  # sorted
        self._name = name
        self._shut_until_s = float("-inf")

    async def take(self, cost: float, priority: Priority, timeout_s: float) -> None:
        if cost > self.pool.capacity:
            raise ValueError(f"rate budget {self._name}: cost {cost} is above the capacity {self.pool.capacity}")
        share = UNTOUCHED[priority]
        waiter = _Waiter((priority, _ERRAND.get() or (True, next(_ARRIVALS))))
        if (not self.waiters or waiter < self.waiters[0]) and self._wait_s(cost, share) <= 0.0:
            self.pool.spend(cost)
            return
        if len(self.waiters) >= MAX_WAITERS:
            raise BudgetExceeded(self._name, self._wait_s(self.pool.capacity, 0.0))
        insort(self.waiters, waiter)
        try:
            with trio.fail_after(timeout_s):
                await self._until_affordable(waiter, cost, share)
            self.pool.spend(cost)
        except trio.TooSlowError:
            raise BudgetExceeded(self._name, self._wait_s(cost, share)) from None
        finally:
            self.waiters.remove(waiter)
            self.look_again()

    def drain(self, pause_s: float) -> None:
        self.pool.refused()
        self._shut_until_s = max(self._shut_until_s, trio.current_time() + pause_s)

    def look_again(self) -> None:
        """The head is another one, or may have less to wait."""
        if self.waiters:
            self.waiters[0].moved.set()

    async def _until_affordable(self, waiter: _Waiter, cost: float, share: float) -> None:
        while True:
            wait_s = self._wait_s(cost, share) if self.waiters[0] is waiter else float("inf")
            if wait_s <= 0.0:
                return
            waiter.moved = trio.Event()
            with trio.move_on_after(wait_s + _TICK_S):
                await waiter.moved.wait()

    def _wait_s(self, cost: float, share: float) -> float:
        """Seconds until `cost` credits are there and the pool is not shut; 0 when now."""
        return max(self.pool.wait_s(cost, share), self.shut_s())

    def shut_s(self) -> float:
        return max(0.0, self._shut_until_s - trio.current_time())
