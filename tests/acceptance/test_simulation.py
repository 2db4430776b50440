"""A node, its venue and its store live through bad weather from one seed, and the same seed is the same history."""

import os
import subprocess
import sys

import pytest

from scripts.drills.simulation import simulate
from tests.support.drills import fail
from tests.support.programs import ROOT

MINUTES = 2.5
RUN = "from scripts.drills.simulation import simulate; print(simulate({seed}, {minutes}).%s)"
HISTORY, WRONG = RUN % "journal", RUN % "wrong"


@pytest.mark.parametrize("seed", [3, 4])
def test_what_a_node_holds_after_faults_kills_and_crashes_is_what_the_venue_holds(seed: int) -> None:
    result = simulate(seed, MINUTES)
    if result.wrong:
        fail(result.wrong, f"python -c '{WRONG.format(seed=seed, minutes=MINUTES)}'")
    assert result.counts["told"] > 10
    assert result.counts["faults"] > 5


def history(seed: int, hash_seed: int) -> str:
    """The digest of the journal a process of its own wrote; its sets and maps are in an order of their own."""
    done = subprocess.run(
        [sys.executable, "-c", HISTORY.format(seed=seed, minutes=1.0)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_the_same_seed_writes_the_same_journal_in_every_process() -> None:
    first = history(1, hash_seed=1)
    assert len(first) == 32
    assert first == history(1, hash_seed=2)
    assert first != history(2, hash_seed=1)
