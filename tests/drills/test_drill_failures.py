"""Whoever reads the output of a drill that failed knows what failed and how to bring it back."""

import pytest

from scripts.drills._finding import LONGEST, MOST, Finding, shown
from tests.support.drills import check_held

RESULT = {"runs": 99, "lost": 1, "doubled": 0, "kills": {"a": 0, "b": {"c": 0}, "d": 2}, "findings": ["x" * 5000]}


def failure(**more: object) -> str:
    with pytest.raises(pytest.fail.Exception) as caught:
        check_held("crash", {**RESULT, "ok": False, **more}, count=99, seed=7)
    return str(caught.value)


def test_a_drill_that_held_passes() -> None:
    check_held("crash", {"ok": True}, count=99, seed=7)


def test_a_failure_is_one_line_to_replay_for_each_seed_that_failed() -> None:
    said = failure(replay=["--count 3 --seed 17", "--count 3 --seed 19"]).splitlines()
    assert said[1:3] == [
        "again: scripts/drill crash --count 3 --seed 17",
        "again: scripts/drill crash --count 3 --seed 19",
    ]
    assert failure(replay=[]).splitlines()[1] == "again: scripts/drill crash --count 99 --seed 7"


def test_a_failure_shows_everything_that_is_not_zero_in_full() -> None:
    assert failure(replay=[]).splitlines()[-1] == (
        '{"runs":99,"lost":1,"kills":{"d":2},"findings":["' + "x" * 5000 + '"],"ok":false}'
    )


def test_findings_are_bounded_for_each_seed_in_all_and_in_length() -> None:
    many = [Finding("lost", f"{number}" * LONGEST) for number in range(9)]
    lines = shown([(seed, many) for seed in range(100)], each=3)
    assert len(lines) == MOST
    assert [line[:14] for line in lines[2:4]] == ["seed 0: lost: ", "seed 1: lost: "]
    assert max(map(len, lines)) == LONGEST + 1
