"""The short form of `scripts/drill stress`: real sockets, the simulator in a process of its own, twenty symbols, five faults."""

from scripts.drills import stress

KINDS = ("drop", "silent_stream", "lost_frames", "too_many", "day_cut")


def test_a_node_in_bad_weather_ends_up_with_what_is_so_and_never_asks_because_it_is_read() -> None:
    result = stress.run(count=len(KINDS), seed=20_260_101, size=stress.SHORT, kinds=KINDS)
    wrong = {name: value for name, value in result.items() if name in stress.JUDGED and value}
    assert not wrong, (wrong, result["differences"])
    assert result["ok"]
    assert sorted(result["faults"]) == sorted(KINDS)
