"""The verdict on learning, on histories in which the right answer is known."""

import msgspec
import pytest

from engine.analytics import Finding, Rules, evaluate, plan_cost_bp
from engine.kernel import Entropy
from engine.model import ChosenBy, Pace, PlanState
from tests.support.executions import GROUND, D, Market, history

RULES = Rules(distance_ticks=0, step_s=4.0, learn_from=60.0, explore=0.3)


def generous(ticks: float) -> float:
    """Far rests are filled as well as near ones: whoever starts at the own side gives money away."""
    return 0.9 if ticks < 12 else 0.05


def stingy(ticks: float) -> float:
    """Only the own side and nearer is ever filled, at once: the rule is the best there is."""
    return 0.97 if ticks <= 2 else 0.0


def test_it_helps_where_patience_pays() -> None:
    found = evaluate(history(Market(generous), 600, RULES), RULES, draw=Entropy(3).randrange)
    assert found.finding is Finding.HELPS, found.reason
    assert found.high_bp is not None
    assert found.high_bp < 0
    assert found.brier is not None
    assert found.brier_base is not None
    assert found.brier < found.brier_base


def test_it_does_not_help_where_the_rule_is_right() -> None:
    found = evaluate(history(Market(stingy), 600, RULES), RULES, draw=Entropy(3).randrange)
    assert found.finding is Finding.DOES_NOT_HELP, found.reason
    assert found.difference_bp == pytest.approx(0.0, abs=GROUND.tick_bp * 1.5)


def test_a_short_history_is_too_little() -> None:
    found = evaluate(history(Market(generous), 100, RULES), RULES, draw=Entropy(3).randrange)
    assert found.finding is Finding.TOO_LITTLE_DATA
    assert found.difference_bp is None
    nothing = evaluate([], RULES, draw=Entropy(3).randrange)
    assert (nothing.finding, nothing.plans, nothing.learned.real_cost_bp) == (Finding.TOO_LITTLE_DATA, 0, None)


def test_it_learns_from_the_past_alone() -> None:
    """What comes after a plan changes nothing in what is said of it: a history cut short has the same beginning."""
    plans = history(Market(generous), 300, RULES)
    whole = evaluate(plans, RULES, draw=Entropy(3).randrange)
    cut = evaluate(plans[:200], RULES, draw=Entropy(3).randrange)
    again = evaluate([*reversed(plans)], RULES, draw=Entropy(3).randrange)
    assert whole == again
    assert cut.judged == 200
    spoilt = [*plans[:200], *(msgspec.structs.replace(p, rests=()) for p in plans[200:])]
    arm, other = evaluate(spoilt[:200], RULES, draw=Entropy(3).randrange).learned, cut.learned
    assert arm == other


def test_paces_that_were_asked_for_are_no_evidence() -> None:
    asked = Pace(distance_ticks=0, step_s=4.0, by=ChosenBy.REQUEST)
    plans = [Market(generous).execute(asked, 1000 * n, n) for n in range(80)]
    assert evaluate(plans, RULES, draw=Entropy(3).randrange).judged == 0


def test_the_cost_of_a_plan_counts_its_price_its_fees_and_what_was_left() -> None:
    pace = Pace(distance_ticks=0, step_s=1.0, by=ChosenBy.RULES)
    bought = Market(lambda _ticks: 1.0).execute(pace, 0, 1)
    assert plan_cost_bp(bought) == pytest.approx(-GROUND.half_spread_bp)
    crossed = Market(lambda _ticks: 0.0).execute(pace, 0, 1)
    assert plan_cost_bp(crossed) == pytest.approx(GROUND.half_spread_bp)
    dear = msgspec.structs.replace(crossed, taker_fee=D("0.0005"))
    assert plan_cost_bp(dear) == pytest.approx(GROUND.half_spread_bp + 5)
    nothing = msgspec.structs.replace(crossed, state=PlanState.EXPIRED, worked=type(crossed.worked)())
    assert plan_cost_bp(nothing) == pytest.approx(GROUND.half_spread_bp)
    assert plan_cost_bp(msgspec.structs.replace(crossed, departure=None)) is None
