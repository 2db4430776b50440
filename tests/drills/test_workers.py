"""What a drill spreads over processes is all done, or it is said what was not."""

import os
import time

import pytest

from scripts.drills._workers import spread

LIMIT_S = 60.0


def doubled(number: int) -> int:
    return 2 * number


def deadly(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_is_done_once(workers: int) -> None:
    assert sorted(spread(doubled, range(9), workers, LIMIT_S)) == [2 * number for number in range(9)]


def test_no_jobs_are_no_results() -> None:
    assert list(spread(doubled, (), 3, LIMIT_S)) == []


def test_the_job_a_worker_died_of_is_named() -> None:
    """Among those whose results it took with it."""
    with pytest.raises(RuntimeError, match=r"a worker died; without a result: \[.*\b3\b"):
        list(spread(deadly, range(5), 2, LIMIT_S))


def test_a_job_that_does_not_end_is_named() -> None:
    with pytest.raises(TimeoutError, match=r"within 0.2 s; without a result: \[600\]"):
        list(spread(time.sleep, [600], 2, 0.2))
