"""The short form of `scripts/drill ladder`: real sockets, the simulator in a process of its own, one kill and one stall."""

from scripts.drills import ladder
from tests.support.drills import check_held

CYCLES, SEED = 2, 20_260_101


def test_live_feeds_survive_a_kill_and_a_stall_without_lying_about_their_age() -> None:
    result = ladder.run(CYCLES, SEED)
    check_held("ladder", result, count=CYCLES, seed=SEED)
    assert result["cycles"] == CYCLES
