"""The short form of `scripts/drill ladder`: real sockets, the simulator in a process of its own, one kill and one stall."""

from scripts.drills import ladder


def test_live_feeds_survive_a_kill_and_a_stall_without_lying_about_their_age() -> None:
    result = ladder.run(count=2, seed=20_260_101)
    assert result["ok"], result
    assert result["cycles"] == 2
