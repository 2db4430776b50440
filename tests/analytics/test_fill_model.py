"""What the fill model says of rests, against what is known to be true."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analytics import FillModel, Ground, Observation, Rules, choose, expected_cost_bp, grid, observations
from engine.kernel import Entropy
from engine.model import ChosenBy, Pace, Progressive
from tests.support.executions import GROUND, Market

DAY_MS = 86_400_000
RULES = Rules(learn_from=50.0)


def rest(
    *, distance_bp: float = 1.0, stood_s: float = 5.0, filled: float = 0.0, at_ms: int = 0, drift_bp: float | None = 0.0
) -> Observation:
    return Observation("sim:PERP", at_ms, distance_bp, stood_s, filled, drift_bp)


def taught(rate_per_s: float, *, until_s: float, rests: int = 3000, distance_bp: float = 1.0) -> FillModel:
    """By rests that are filled at a constant rate and given up after `until_s`."""
    model, chance = FillModel(), Entropy(7)
    for number in range(rests):
        stood_s, filled = 0.0, False
        while stood_s < until_s and not filled:
            stood_s += 0.1
            filled = chance.random() < rate_per_s * 0.1
        model.learn(rest(distance_bp=distance_bp, stood_s=stood_s, filled=float(filled), at_ms=number))
    return model


@pytest.mark.parametrize("rate_per_s", [0.02, 0.1, 0.4])
def test_it_finds_the_rate_rests_are_filled_at(rate_per_s: float) -> None:
    model = taught(rate_per_s, until_s=20.0)
    for within_s in (1.0, 5.0, 15.0):
        truth = 1 - (1 - rate_per_s * 0.1) ** (within_s / 0.1)
        assert model.fill_chance("sim:PERP", 1.0, within_s) == pytest.approx(truth, abs=0.05)


def test_rests_given_up_early_do_not_make_it_gloomy() -> None:
    patient, hasty = taught(0.1, until_s=20.0), taught(0.1, until_s=2.0, rests=20_000)
    said = [model.fill_chance("sim:PERP", 1.0, 2.0) for model in (patient, hasty)]
    assert said[0] == pytest.approx(said[1], abs=0.03)


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 600), st.floats(0, 1)), max_size=30))
@settings(max_examples=50, deadline=None)
def test_chances_are_chances_and_grow_with_time(rests: list[tuple[float, float, float]]) -> None:
    model = FillModel()
    for distance_bp, stood_s, filled in rests:
        model.learn(rest(distance_bp=distance_bp, stood_s=stood_s, filled=filled))
    for distance_bp in (0.0, 1.0, 7.0, 99.0):
        said = [model.fill_chance("sim:PERP", distance_bp, within_s) for within_s in (0.1, 1.0, 10.0, 100.0, 1e6)]
        assert said == sorted(said)
        assert all(0.0 <= one <= 1.0 for one in said)


def test_what_was_long_ago_is_forgotten() -> None:
    model = FillModel(half_life_days=1.0)
    for _ in range(200):
        model.learn(rest(filled=1.0, stood_s=0.4, at_ms=0))
    for _ in range(20):
        model.learn(rest(filled=0.0, stood_s=0.5, at_ms=20 * DAY_MS))
    assert model.known("sim:PERP", 20 * DAY_MS) == pytest.approx(20, abs=0.1)
    assert model.fill_chance("sim:PERP", 1.0, 0.5) < 0.1


def test_an_instrument_too_little_is_known_of_is_judged_by_all_and_then_by_rules() -> None:
    model = taught(0.1, until_s=5.0, rests=60)
    assert model.scope("sim:PERP", 60, 50.0) == "sim:PERP"
    assert model.scope("sim:OTHER", 60, 50.0) == ""
    assert model.scope("sim:OTHER", 60, 100.0) is None


def test_drift_is_of_the_rests_that_were_not_filled() -> None:
    model = FillModel()
    for _ in range(500):
        model.learn(rest(stood_s=10.0, drift_bp=2.0))
        model.learn(rest(stood_s=1.0, filled=1.0, drift_bp=-50.0))
    assert model.drift_bp_per_s("sim:PERP", 1.0) == pytest.approx(0.2, rel=0.02)


def test_rests_are_read_from_plans_by_their_distance_and_what_was_filled() -> None:
    pace = Pace(distance_ticks=2, step_s=1.0, by=ChosenBy.RULES)
    seen = list(observations(Market(lambda _ticks: 0.0).execute(pace, 0, 1)))
    assert [round(one.distance_bp / GROUND.tick_bp, 3) for one in seen] == [4.0, 1.0, -0.5]
    assert [(one.stood_s, one.filled, one.drift_bp) for one in seen] == [(1.0, 0.0, 0.0)] * 3


# ── choosing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def chosen(model: FillModel, **parameters: Any) -> Pace:
    asked = Progressive(**parameters)
    return choose(model, "sim:PERP", GROUND, asked, RULES, at_ms=1000, roll=1.0, pick=0.0).pace


def test_too_little_data_means_the_rules_and_says_so() -> None:
    pace = chosen(FillModel())
    assert (pace.distance_ticks, pace.step_s, pace.by) == (RULES.distance_ticks, RULES.step_s, ChosenBy.RULES)
    assert "0 of 50" in pace.why


def test_what_the_order_says_is_not_chosen() -> None:
    model = taught(0.4, until_s=5.0, rests=200)
    pace = chosen(model, distance_ticks=3, step_s=2.0)
    assert (pace.distance_ticks, pace.step_s, pace.by) == (3, 2.0, ChosenBy.REQUEST)
    assert chosen(model, distance_ticks=3).distance_ticks == 3
    assert chosen(model, step_s=2.0).step_s == 2.0


def test_a_learned_pace_is_never_expected_to_cost_more_than_the_rule() -> None:
    for rate in (0.0, 0.05, 0.5):
        model = taught(rate, until_s=10.0, rests=200, distance_bp=0.2)
        choice = choose(model, "sim:PERP", GROUND, Progressive(), RULES, at_ms=1000, roll=1.0, pick=0.0)
        assert choice.pace.by is ChosenBy.LEARNED
        assert choice.cost_bp is not None
        assert choice.rule_cost_bp is not None
        assert choice.cost_bp <= choice.rule_cost_bp


def test_certain_fills_far_away_are_worth_their_distance_and_hopeless_rests_cost_the_crossing() -> None:
    sure = taught(9.9, until_s=1.0, rests=500, distance_bp=1.0)
    at_ten_ticks = expected_cost_bp(sure, "sim:PERP", GROUND, 8, 5.0, Progressive(max_steps=0))
    assert at_ten_ticks == pytest.approx(-10 * GROUND.tick_bp, rel=0.05)
    hopeless = FillModel()
    for _ in range(500):
        hopeless.learn(rest(stood_s=10_000.0))
    ground = Ground(half_spread_bp=0.2, tick_bp=0.1, taker_bp=5.0)
    assert expected_cost_bp(hopeless, "sim:PERP", ground, 8, 5.0, Progressive(max_steps=0)) == pytest.approx(
        5.2, rel=0.05
    )


def test_exploring_draws_the_rule_half_of_the_time_and_the_chances_add_up() -> None:
    model, parameters = taught(9.9, until_s=1.0, rests=500), Progressive()
    rules = Rules(learn_from=50.0, explore=0.2)
    options = grid(rules, parameters)
    paces = {}
    for roll in (0.1, 0.9):
        for part in range(2 * len(options)):
            pick = (part + 0.5) / (2 * len(options))
            pace = choose(model, "sim:PERP", GROUND, parameters, rules, at_ms=1000, roll=roll, pick=pick).pace
            paces[(pace.distance_ticks, pace.step_s)] = pace
    assert set(paces) == set(options)
    assert sum(pace.chance for pace in paces.values()) == pytest.approx(1.0)
    assert paces[(0, 5.0)].by is ChosenBy.EXPLORED
    assert paces[(0, 5.0)].chance > 0.1
