"""What a drill spreads over processes is all done, or it is said what was not."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from scripts.drills._both_venues import BothVenues
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


def killed_beside_its_venues(note: Path) -> None:
    """Leaves where they are, and no time to end them."""
    note.write_text(BothVenues(1, ["BTCUSDT"]).place.control)
    os.kill(os.getpid(), signal.SIGKILL)


def answers(control: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{control}/truth", timeout=5.0, trust_env=False).is_success
    return False


def test_the_venues_of_a_killed_worker_do_not_outlive_it(tmp_path: Path) -> None:
    note = tmp_path / "control"
    with pytest.raises(RuntimeError, match="a worker died"):
        list(spread(killed_beside_its_venues, [note], 1, LIMIT_S))
    give_up_s = time.monotonic() + 20.0
    while answers(note.read_text()):
        assert time.monotonic() < give_up_s, "they live on"
        time.sleep(0.1)
