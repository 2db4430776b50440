"""A trio loop that turns only while it is asked for something: for state machines, whose rules are plain functions.

It is a guest of whoever calls `run`, under a clock that jumps to the next deadline whenever nothing can run. Between two
calls it stands still and no time passes, so a rule finds the world as the last one left it. A task that waits for the
next call without ever sleeping keeps the clock from jumping meanwhile. One thread can have one such loop at a time.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import outcome
import trio
from trio.testing import MockClock

T = TypeVar("T")
Job = Callable[[trio.Nursery], Awaitable[Any]]


class GuestLoop:
    """Close it whatever happened: the thread cannot have another one before."""

    def __init__(self) -> None:
        self._turns: deque[Callable[[], object]] = deque()
        self._job: Job | None = None
        self._answer: outcome.Outcome[Any] | None = None
        self._over = False
        self._failure: BaseException | None = None
        trio.lowlevel.start_guest_run(
            self._serve,
            run_sync_soon_threadsafe=self._turns.append,
            done_callback=self._done,
            clock=MockClock(autojump_threshold=0),
        )

    def run(self, job: Callable[[trio.Nursery], Awaitable[T]]) -> T:
        """The value of `job`, which gets a nursery that lives as long as the loop. Raises what the job raises, and
        `RuntimeError` when something else has ended the loop.
        """
        self._job, self._answer = job, None
        while self._answer is None:
            if self._over:
                raise RuntimeError("the loop has ended") from self._failure
            self._turns.popleft()()
        answer: T = self._answer.unwrap()
        return answer

    def close(self) -> None:
        """Cancel what is left and let the loop come to its end."""
        self._job = _cancel
        while not self._over:
            self._turns.popleft()()

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                while self._job is None:
                    await trio.lowlevel.checkpoint()
                job, self._job = self._job, None
                self._answer = await outcome.acapture(job, nursery)

    def _done(self, ended: outcome.Outcome[Any]) -> None:
        self._over = True
        self._failure = ended.error if isinstance(ended, outcome.Error) else None


async def _cancel(nursery: trio.Nursery) -> None:
    nursery.cancel_scope.cancel()
    await trio.lowlevel.checkpoint()
