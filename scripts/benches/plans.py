"""What a plan costs: a look that finds nothing to do, a step, a choice of pace, and a rest to learn from.

All plain functions, without an actor or a disk. A node looks at every plan four times a second and whenever its order moved, so a
hundred plans that rest take four hundred looks a second.
"""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from engine.analytics import FillModel, Ground, Observation, Rules, choose
from engine.model import (
    ChosenBy,
    ExecutionRequest,
    ExecutionStyle,
    Facts,
    Instrument,
    InstrumentKind,
    OrderRequest,
    OrderState,
    Pace,
    Progressive,
    Quote,
    Side,
    new_order,
    new_plan,
    next_step,
    taken,
)

ROUNDS, TIMES = 3, 5_000
LOOK_BUDGET_US, CHOICE_BUDGET_US = 100, 10_000
PERPETUAL = Instrument(
    instrument_id="sim:PERP",
    venue="sim",
    symbol="PERP",
    kind=InstrumentKind.PERPETUAL,
    base="BTC",
    quote="USD",
    settlement="BTC",
    inverse=True,
    tick_size=Decimal("0.5"),
    lot_size=Decimal(10),
    min_amount=Decimal(10),
    contract_size=Decimal(10),
)
REQUEST = ExecutionRequest(
    order=OrderRequest(instrument="sim:PERP", side=Side.BUY, amount=Decimal(100), price=Decimal(50_010)),
    style=ExecutionStyle.PROGRESSIVE,
)


def _resting() -> tuple[Callable[[], object], Callable[[], object]]:
    """A look before the next step is due, and one when it is."""
    pace = Pace(distance_ticks=0, step_s=5.0, by=ChosenBy.RULES)
    plan = new_plan(
        REQUEST, plan_id="n-plan-1", account="sim:main", now_ms=0, pace=pace, instrument=PERPETUAL, max_life_s=600.0
    )
    facts = Facts(now_ms=0, instrument=PERPETUAL, quote=Quote(Decimal(50_000), Decimal(50_004)))
    first = next_step(plan, facts)
    order = new_order(first.do.request, order_id="n-1", account="sim:main", now_ms=0)  # type: ignore[union-attr]
    live = msgspec.structs.replace(order, state=OrderState.OPEN, venue_order_id="V", attempt=1)
    plan = taken(first.plan, "n-1")
    early = msgspec.structs.replace(facts, now_ms=1000, order=live)
    due = msgspec.structs.replace(facts, now_ms=6000, order=live)
    assert next_step(plan, early).do is None
    assert next_step(plan, due).do is not None
    return (lambda: next_step(plan, early)), (lambda: next_step(plan, due))


def _learning() -> tuple[Callable[[], object], Callable[[], object]]:
    """One rest more, and a choice by a thousand of them."""
    model = FillModel()
    for number in range(1000):
        model.learn(Observation("sim:PERP", number, (number % 30) / 10, number % 7 + 0.5, float(number % 2), 0.1))
    seen = Observation("sim:PERP", 1000, 1.0, 5.0, 1.0, 0.1)
    ground = Ground(half_spread_bp=0.4, tick_bp=0.1, taker_bp=5.0)
    return (lambda: model.learn(seen)), (
        lambda: choose(model, "sim:PERP", ground, Progressive(), Rules(), at_ms=1000, roll=1.0, pick=0.0)
    )


def _us(work: Callable[[], object], times: int) -> float:
    """Of one call, in the best of the rounds."""
    best_s = float("inf")
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        for _ in range(times):
            work()
        best_s = min(best_s, time.perf_counter() - start_s)
    return best_s / times * 1e6


def rows() -> list[dict[str, Any]]:
    """Microseconds of each."""
    look, step = _resting()
    learn, choice = _learning()
    return [
        _row("plans.look", _us(look, TIMES), LOOK_BUDGET_US),
        _row("plans.step", _us(step, TIMES), LOOK_BUDGET_US),
        _row("plans.learn", _us(learn, TIMES), LOOK_BUDGET_US),
        _row("plans.choose", _us(choice, 100), CHOICE_BUDGET_US),
    ]


def _row(name: str, value_us: float, budget_us: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value_us, 2),
        "unit": "µs",
        "budget": f"<= {budget_us}",
        "ok": value_us <= budget_us,
        "peers": {},
        "ratio": None,
    }
