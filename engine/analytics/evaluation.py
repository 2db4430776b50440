"""Whether learned parameters help: a replay of the history, and an honest verdict.

The history is walked in the order it happened. For each progressive plan whose pace was ours to choose, the model as it was
then, taught by earlier plans only, says what it would have chosen. Two figures come of it:

* *expected*: what that model expected its own choice and the fixed rule to cost. It says what the model believes.
* *real*: plans that in fact were worked at the learned pace against plans that were worked by the rule. A plan counts for every
  policy that would have chosen what it did, weighted by one over the chance it was chosen with, so plans drawn at random speak
  for choices nobody would have made. The interval of the difference comes from drawing plans again and again.

The verdict rests on the real figures alone.
"""

import math
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from engine.analytics.fill_model import FillModel, Observation, observations
from engine.analytics.pace import Choice, Rules, choose, expected_cost_bp
from engine.analytics.plan_cost import ground_of, plan_cost_bp
from engine.model import ChosenBy, ExecutionStyle, Plan

LEAST_PLANS = 30  # that speak for each side
DRAWS = 400
NEARLY = 0.9  # of its step time is as long as it was to stand
INTERVAL = 0.95
LEAST_GAIN_BP = 0.01  # less is nothing, however certain
MAX_PLANS = 20_000


class Finding(StrEnum):
    HELPS = "helps"
    DOES_NOT_HELP = "does not help"
    TOO_LITTLE_DATA = "too little data"


class Arm(msgspec.Struct, frozen=True):
    """One way of choosing: how many plans speak for it, what they cost, what the model expected."""

    plans: int
    real_cost_bp: float | None
    expected_cost_bp: float | None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """`difference_bp` is learned minus fixed, with its 95 % interval: below zero, learning is cheaper.

    `brier` scores what the model said of each rest before it was taught by it (0 is perfect), `brier_base` the average share
    filled until then: a model worse than that knows nothing.
    """

    finding: Finding
    reason: str
    plans: int
    rests: int
    judged: int  # plans whose pace was ours to choose, and whose cost is known
    learned: Arm
    fixed: Arm
    difference_bp: float | None = None
    low_bp: float | None = None
    high_bp: float | None = None
    brier: float | None = None
    brier_base: float | None = None
    by_choice: dict[str, int] = {}


class _Case(msgspec.Struct, frozen=True):
    """A plan as evidence. Weights are zero where it does not speak for a side."""

    cost_bp: float
    learned_weight: float
    fixed_weight: float
    expected_learned_bp: float | None
    expected_fixed_bp: float | None


class _Forecast:
    """Scores what is said of rests before they are learned: of those that were filled, or stood as long as they were to."""

    def __init__(self) -> None:
        self.rests = 0
        self.whole = 0
        self.scored = 0
        self.filled = 0.0
        self.error = 0.0
        self.base_error = 0.0

    def look(self, model: FillModel, seen: Observation, within_s: float, least: float) -> None:
        self.rests += 1
        if seen.filled < 1.0 and seen.stood_s < within_s * NEARLY:
            return
        scope = model.scope(seen.instrument, seen.at_ms, least)
        if scope is not None and self.whole:
            said = model.fill_chance(scope, seen.distance_bp, within_s)
            self.error += (said - seen.filled) ** 2
            self.base_error += (self.filled / self.whole - seen.filled) ** 2
            self.scored += 1
        self.whole += 1
        self.filled += seen.filled


def evaluate(
    plans: Iterable[Plan], rules: Rules, *, draw: Callable[[int], int], half_life_days: float = 14.0
) -> Evaluation:
    """`plans`: in any order, over or not; `draw(n)` gives an integer in [0, n). The newest `MAX_PLANS` are looked at."""
    history = sorted((plan for plan in plans if plan.state.terminal), key=lambda plan: plan.updated_at_ms)[-MAX_PLANS:]
    model, forecast, cases = FillModel(half_life_days), _Forecast(), []
    by_choice: dict[str, int] = {}
    waiting = sorted(history, key=lambda plan: plan.started_at_ms)
    done = 0
    for plan in waiting:  # it may learn from what was over when it began
        while done < len(history) and history[done].updated_at_ms <= plan.started_at_ms:
            _teach(model, forecast, history[done], rules.learn_from)
            done += 1
        case = _case(model, plan, rules)
        if case is not None:
            cases.append(case)
            by = str(plan.pace.by) if plan.pace else ""
            by_choice[by] = by_choice.get(by, 0) + 1
    for plan in history[done:]:
        _teach(model, forecast, plan, rules.learn_from)
    return _verdict(cases, forecast, len(history), by_choice, draw)


def _teach(model: FillModel, forecast: _Forecast, plan: Plan, least: float) -> None:
    for seen in observations(plan):
        forecast.look(model, seen, plan.pace.step_s if plan.pace else math.inf, least)
        model.learn(seen)


def _case(model: FillModel, plan: Plan, rules: Rules) -> _Case | None:
    pace, cost_bp, ground = plan.pace, plan_cost_bp(plan), ground_of(plan)
    if plan.request.style is not ExecutionStyle.PROGRESSIVE or pace is None or pace.by is ChosenBy.REQUEST:
        return None
    if cost_bp is None or ground is None:
        return None
    parameters = plan.request.pacing
    instrument, at_ms = plan.request.order.instrument, plan.started_at_ms
    exact = msgspec.structs.replace(rules, explore=0.0)
    meant: Choice = choose(model, instrument, ground, parameters, exact, at_ms=at_ms, roll=1.0, pick=0.0)
    was = (pace.distance_ticks, pace.step_s)
    rule = (
        rules.distance_ticks if parameters.distance_ticks is None else parameters.distance_ticks,
        rules.step_s if parameters.step_s is None else parameters.step_s,
    )
    learned = (meant.pace.distance_ticks, meant.pace.step_s)
    weight = 1.0 / max(pace.chance, 1e-3)
    known = meant.pace.by is ChosenBy.LEARNED
    scope = model.scope(instrument, at_ms, rules.learn_from)
    fixed_bp = None if scope is None else expected_cost_bp(model, scope, ground, *rule, parameters)
    return _Case(
        cost_bp,
        weight if known and (pace.by is ChosenBy.LEARNED or was == learned) else 0.0,
        weight if known and was == rule else 0.0,
        meant.cost_bp,
        fixed_bp,
    )


def _verdict(
    cases: list[_Case], forecast: _Forecast, plans: int, by_choice: dict[str, int], draw: Callable[[int], int]
) -> Evaluation:
    learned = _arm(cases, [case.learned_weight for case in cases], [case.expected_learned_bp for case in cases])
    fixed = _arm(cases, [case.fixed_weight for case in cases], [case.expected_fixed_bp for case in cases])
    difference, low, high = None, None, None
    least = min(learned.plans, fixed.plans)
    if least >= LEAST_PLANS and learned.real_cost_bp is not None and fixed.real_cost_bp is not None:
        difference = learned.real_cost_bp - fixed.real_cost_bp
        low, high = _interval(cases, draw)
    finding, reason = _found(least, difference, low, high)
    return Evaluation(
        finding=finding,
        reason=reason,
        plans=plans,
        rests=forecast.rests,
        judged=len(cases),
        learned=learned,
        fixed=fixed,
        difference_bp=difference,
        low_bp=low,
        high_bp=high,
        brier=forecast.error / forecast.scored if forecast.scored else None,
        brier_base=forecast.base_error / forecast.scored if forecast.scored else None,
        by_choice=by_choice,
    )


def _found(least: int, difference: float | None, low: float | None, high: float | None) -> tuple[Finding, str]:
    if difference is None or low is None or high is None:
        wanted = f"{LEAST_PLANS} plans at the learned pace and as many by the rules"
        return Finding.TOO_LITTLE_DATA, f"expected {wanted}, got {least} of the rarer"
    interval = f"learned minus fixed is {difference:+.2f} bp, {low:+.2f} to {high:+.2f} with 95 % confidence"
    if high < -LEAST_GAIN_BP:
        return Finding.HELPS, interval
    return Finding.DOES_NOT_HELP, interval


def _arm(cases: list[_Case], weights: list[float], expected: list[float | None]) -> Arm:
    beliefs = [value for value in expected if value is not None]
    return Arm(
        sum(weight > 0 for weight in weights),
        _mean([case.cost_bp for case in cases], weights),
        sum(beliefs) / len(beliefs) if beliefs else None,
    )


def _mean(values: list[float], weights: list[float]) -> float | None:
    total = sum(weights)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total if total else None


def _interval(cases: list[_Case], draw: Callable[[int], int]) -> tuple[float | None, float | None]:
    """The middle 95 % of the difference over histories drawn from this one, with replacement."""
    speaking = [case for case in cases if case.learned_weight or case.fixed_weight]
    differences = []
    for _ in range(DRAWS):
        drawn = [speaking[draw(len(speaking))] for _ in speaking]
        costs = [case.cost_bp for case in drawn]
        learned = _mean(costs, [case.learned_weight for case in drawn])
        fixed = _mean(costs, [case.fixed_weight for case in drawn])
        if learned is not None and fixed is not None:
            differences.append(learned - fixed)
    if len(differences) < DRAWS // 2:
        return None, None
    differences.sort()
    tail = (1.0 - INTERVAL) / 2
    return differences[int(tail * len(differences))], differences[int((1.0 - tail) * len(differences)) - 1]
