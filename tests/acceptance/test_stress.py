"""The short form of `scripts/drill stress`: real sockets, the simulator in a process of its own, twenty symbols, five faults."""

from scripts.drills import stress
from tests.support.drills import fail

KINDS = ("drop", "silent_stream", "lost_frames", "too_many", "day_cut")
SEED = 20_260_101


def test_a_node_in_bad_weather_ends_up_with_what_is_so_and_never_asks_because_it_is_read() -> None:
    result = stress.run(len(KINDS), SEED, size=stress.SHORT, kinds=KINDS)
    if not result["ok"]:
        fail(result, "scripts/test tests/acceptance/test_stress.py")  # the drill itself knows only its long form
    wrong = {name: value for name, value in result.items() if name in stress.JUDGED and value}
    assert not wrong
    assert sorted(result["faults"]) == sorted(KINDS)
