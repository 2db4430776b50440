"""The short form of `scripts/drill crash`: SIGKILL at every labelled point, and three designs that must fail beside it."""

import re
from pathlib import Path

import pytest

from engine.kernel import Entropy
from engine.store import points
from scripts.drills import crash
from tests.support.drills import check_held

ROOT = Path(__file__).parents[2]
RUNS = 100
SEED = 20_260_101
LABEL = re.compile(r"""\bpoint[(,]\s*["']([^"']+)["']""")
NAME = re.compile(r"\bon_point\(\s*([A-Z_]+)\s*\)")


@pytest.mark.timeout(400)
def test_kills_at_every_point_lose_and_double_nothing() -> None:
    result = crash.run(RUNS, SEED)
    check_held("crash", result, count=RUNS, seed=SEED)
    assert result["runs"] >= RUNS - crash.LIVES
    assert [result[kind] for kind in crash.KINDS] == [0] * len(crash.KINDS)
    assert result["uncovered"] == []
    assert set(result["kills"]) == set(crash.POINTS)
    assert all(any(at.values()) for at in result["kills"].values())
    assert result["controls"].keys() == {"persist_after_reply", "ask_once", "send_again"}
    assert all(doubled > 0 for doubled in result["controls"].values()), result["controls"]


def passed_in(pattern: re.Pattern[str], *rooms: str) -> set[str]:
    return {
        found for room in rooms for file in (ROOT / room).rglob("*.py") for found in pattern.findall(file.read_text())
    }


def test_every_point_is_killed_at_by_turns_at_both_venues() -> None:
    """Whatever the number of points: each meets each venue within two rounds of them."""
    rounds = range(1, 2 * len(crash.POINTS) + 1)
    met = {
        (crash.plan(Entropy(seed), seed, 0, "protocol")[0], crash.ground_of(seed, "protocol").name)
        for seed in rounds
        if seed % 7
    } | {
        (crash.plan(Entropy(seed), seed, 1, "protocol")[0], crash.ground_of(seed, "protocol").name)
        for seed in rounds
        if seed % 7
    }
    assert met == {(point, venue) for point in crash.POINTS for venue in ("deribit", "binance")}


def test_every_point_of_the_order_path_is_listed_and_killed_at() -> None:
    """A point that nobody listed would be a place where no crash was ever tried."""
    assert passed_in(LABEL, "actors", "engine/venues", "engine/model") == {*crash.ORDER_POINTS, *crash.PLAN_POINTS}
    assert set(crash.ORDER_POINTS) < set(crash.POINTS)


def test_every_point_of_the_store_is_listed_and_those_of_a_commit_are_killed_at() -> None:
    """The store's own test kills at all of them; the drill at those an order comes by."""
    names = passed_in(NAME, "engine/store")
    assert names
    assert {getattr(points, name) for name in names} == set(points.POINTS)
    assert set(crash.POINTS) - {*crash.ORDER_POINTS, *crash.PLAN_POINTS} == {points.BEFORE_COMMIT, points.AFTER_COMMIT}
