"""Where a progressive order should start and how long it should wait, by what a fill model expects it to cost.

The cost of an execution is told in basis points of the mid price when it began: what was paid beyond it, with fees. A rest that
is filled saves its distance; one that is not lets the market run, and what is left at the end crosses the spread. So the
expected cost of a pace is a walk through its steps: at each one a chance to be filled there, and at the end the price of
crossing for what is still open.
"""

import msgspec

from engine.analytics.fill_model import FillModel
from engine.model import ChosenBy, Pace, Progressive

DISTANCES = (0, 1, 2, 4, 8, 16)
TIMES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the rule's step time
LEAST_STEP_S = 0.05
RULE_SHARE = 0.5  # of what is drawn goes to the fixed rule: what learning must be compared with


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The fixed parameters, and when to leave them: at `learn_from` known rests."""

    distance_ticks: int = 0
    step_s: float = 5.0
    learn_from: float = 100.0
    explore: float = 0.0


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """The market an execution begins in, all in basis points of its mid."""

    half_spread_bp: float
    tick_bp: float
    maker_bp: float = 0.0
    taker_bp: float = 0.0


class Choice(msgspec.Struct, frozen=True):
    """A pace, and what the model expects it and the rule's to cost; None while the model knows too little."""

    pace: Pace
    cost_bp: float | None = None
    rule_cost_bp: float | None = None


def expected_cost_bp(
    model: FillModel, scope: str, ground: Ground, distance_ticks: int, step_s: float, parameters: Progressive
) -> float:
    """Of one unit, from the first rest to the crossing of what is left."""
    standing, cost_bp, drift_bp = 1.0, 0.0, 0.0
    nearest_bp = ground.tick_bp - ground.half_spread_bp  # a tick short of the other side
    distance_bp = ground.half_spread_bp + distance_ticks * ground.tick_bp
    for _ in range(parameters.max_steps + 1):
        here = standing * model.fill_chance(scope, distance_bp, step_s)
        cost_bp += here * (drift_bp - distance_bp + ground.maker_bp)
        standing -= here
        drift_bp += model.drift_bp_per_s(scope, distance_bp) * step_s
        distance_bp = max(nearest_bp, distance_bp - _step_bp(parameters, ground, distance_bp))
    return cost_bp + standing * (drift_bp + ground.half_spread_bp + ground.taker_bp)


def _step_bp(parameters: Progressive, ground: Ground, distance_bp: float) -> float:
    if parameters.step_ticks is not None:
        return parameters.step_ticks * ground.tick_bp
    return max(ground.tick_bp, float(parameters.step_fraction) * (distance_bp + ground.half_spread_bp))


def grid(rules: Rules, parameters: Progressive) -> list[tuple[int, float]]:
    """The distances (in ticks) and step times to choose among: what the order says itself is not ours to choose."""
    distances = (
        sorted({*DISTANCES, rules.distance_ticks}) if parameters.distance_ticks is None else [parameters.distance_ticks]
    )
    times = (
        [max(LEAST_STEP_S, rules.step_s * part) for part in TIMES] if parameters.step_s is None else [parameters.step_s]
    )
    return [(distance, time_s) for distance in distances for time_s in times]


def choose(
    model: FillModel,
    instrument: str,
    ground: Ground | None,
    parameters: Progressive,
    rules: Rules,
    *,
    at_ms: int,
    roll: float,
    pick: float,
) -> Choice:
    """The pace for an order that leaves something open.

    `roll` and `pick` are drawn from [0, 1): the first decides whether to explore, the second what: the rule, or anything. The chance of what was
    chosen is kept with it, so that an evaluation can tell what was drawn from what was meant.
    """
    distance = rules.distance_ticks if parameters.distance_ticks is None else parameters.distance_ticks
    step_s = rules.step_s if parameters.step_s is None else parameters.step_s
    if parameters.distance_ticks is not None and parameters.step_s is not None:
        return Choice(Pace(distance_ticks=distance, step_s=step_s, by=ChosenBy.REQUEST))
    options, rule = grid(rules, parameters), (distance, step_s)
    best = _learned(model, instrument, ground, parameters, rules, options, rule, at_ms)
    meant = (best.pace.distance_ticks, best.pace.step_s)
    drawn = meant
    if roll < rules.explore:
        drawn = rule if pick < RULE_SHARE else options[int((pick - RULE_SHARE) / (1.0 - RULE_SHARE) * len(options))]
    chance = _chance(drawn, meant, rule, rules.explore, len(options))
    if drawn == meant:
        return msgspec.structs.replace(best, pace=msgspec.structs.replace(best.pace, chance=chance))
    why = f"drawn to learn from, instead of {meant[0]} ticks and {meant[1]:g} s"
    explored = Pace(distance_ticks=drawn[0], step_s=drawn[1], by=ChosenBy.EXPLORED, why=why, chance=chance)
    return msgspec.structs.replace(best, pace=explored)


def _chance(
    drawn: tuple[int, float], meant: tuple[int, float], rule: tuple[int, float], explore: float, options: int
) -> float:
    """How likely `drawn` was, by any way."""
    chance = explore * (1.0 - RULE_SHARE) / options
    if drawn == rule:
        chance += explore * RULE_SHARE
    if drawn == meant:
        chance += 1.0 - explore
    return chance


def _learned(
    model: FillModel,
    instrument: str,
    ground: Ground | None,
    parameters: Progressive,
    rules: Rules,
    options: list[tuple[int, float]],
    rule: tuple[int, float],
    at_ms: int,
) -> Choice:
    scope = model.scope(instrument, at_ms, rules.learn_from)
    if scope is None or ground is None:
        known = max(model.known(instrument, at_ms), model.known("", at_ms))
        why = "the market is not known" if ground is None else f"{known:.0f} of {rules.learn_from:.0f} rests known"
        return Choice(Pace(distance_ticks=rule[0], step_s=rule[1], by=ChosenBy.RULES, why=why))
    costs = {option: expected_cost_bp(model, scope, ground, *option, parameters) for option in options}
    rule_cost = expected_cost_bp(model, scope, ground, *rule, parameters)
    best = min(costs, key=lambda option: (costs[option], option))
    if costs[best] >= rule_cost:
        best = rule
    cost = min(costs.get(best, rule_cost), rule_cost)
    why = (
        f"{model.known(scope, at_ms):.0f} rests of {scope or 'all instruments'}:"
        f" {cost:.2f} bp expected, {rule_cost:.2f} by the rules"
    )
    return Choice(Pace(distance_ticks=best[0], step_s=best[1], by=ChosenBy.LEARNED, why=why), cost, rule_cost)
