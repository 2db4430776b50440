"""Small actors and helpers for tests of anything that runs on the kernel."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio._core._run as trio_run
from trio.testing import MockClock

from engine.kernel import Clock, Entropy, KernelEvent, SupervisorSpec, System, TrioClock, open_system

EPOCH_MS = 1_700_000_000_000


class Deaths:
    """In place of the process's exit: the codes it would have ended with."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def __call__(self, code: int) -> None:
        self.codes.append(code)


@asynccontextmanager
async def running(
    *children: Any,
    root: SupervisorSpec | None = None,
    clock: Clock | None = None,
    seed: int = 1,
    die: Callable[[int], None] | None = None,
    events: list[KernelEvent] | None = None,
) -> AsyncIterator[System]:
    """A started system with these children under the root; it must not die unless `die` is given."""
    deaths = Deaths()
    async with open_system(clock or TrioClock(EPOCH_MS), Entropy(seed), die=die or deaths) as system:
        if events is not None:
            system.on_event(events.append)
        await system.start(root or SupervisorSpec("root", children=children))
        yield system
    assert deaths.codes == []


async def eventually(condition: Callable[[], object], within_s: float = 5.0, what: str = "the condition") -> None:
    """Wait until `condition()` is true, looking every 10 ms."""
    with trio.move_on_after(within_s):
        while not condition():
            await trio.sleep(0.01)
        return
    raise AssertionError(f"{what} did not become true within {within_s} s")


def run_mocked(main: Callable[..., Any], *args: Any, schedule_seed: int | None = None) -> Any:
    """`trio.run` under a clock that jumps to the next deadline whenever nothing can run.

    With `schedule_seed` the order in which trio runs tasks that are ready at the same time is drawn from it, so that a
    failing run can be replayed; inside Hypothesis that is so without it.
    """
    if schedule_seed is not None:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
        trio_run._r.seed(schedule_seed)
    return trio.run(main, *args, clock=MockClock(autojump_threshold=0))
