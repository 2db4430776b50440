"""The jobs of a drill spread over processes of their own."""

import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from queue import Empty
from typing import Any, TypeVar

__all__ = ["spread"]

FORK = get_context("fork")
LOOK_S = 1.0
END_S = 30.0

Job = TypeVar("Job")
Result = TypeVar("Result")


def spread(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, timeout_s: float) -> Iterator[Result]:
    """What `work` makes of each job, as it is done. A worker takes the next job that nobody has.

    Raises `RuntimeError` when a worker dies, and `TimeoutError` when no job ends within `timeout_s`; both name the jobs that
    have no result.
    """
    taken, results = FORK.Value("l", 0), FORK.Queue()
    processes = [FORK.Process(target=_work, args=(work, jobs, taken, results)) for _ in range(min(workers, len(jobs)))]
    for process in processes:
        process.start()
    left = dict(enumerate(jobs))
    try:
        while left:
            number, result = _next(results, processes, timeout_s, left)
            del left[number]
            yield result
    finally:
        for process in processes:
            process.join(END_S if not left else 0.0)
            process.kill()


def _work(work: Callable[[Job], Result], jobs: Sequence[Job], taken: Any, results: Any) -> None:
    while True:
        with taken.get_lock():
            number, taken.value = taken.value, taken.value + 1
        if number >= len(jobs):
            return
        results.put((number, work(jobs[number])))


def _next(results: Any, processes: Sequence[Any], timeout_s: float, left: dict[int, Job]) -> tuple[int, Any]:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        dead = any(process.exitcode for process in processes)
        try:
            got: tuple[int, Any] = results.get(timeout=min(LOOK_S, timeout_s))
        except Empty:
            if dead:
                raise RuntimeError(f"a worker died; without a result: {list(left.values())}") from None
        else:
            return got
    raise TimeoutError(f"no job ended within {timeout_s} s; without a result: {list(left.values())}")
