"""Histories of executions in a market whose rules are known: what there is to learn is known too."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from engine.analytics import FillModel, Rules, choose, observations
from engine.analytics.pace import Ground
from engine.kernel import Entropy
from engine.model import (
    ExecutionRequest,
    ExecutionStyle,
    OrderRequest,
    OrderType,
    Pace,
    Plan,
    PlanState,
    Progressive,
    Quote,
    Rest,
    Side,
    Worked,
    new_plan,
)
from tests.support.adversary import PERPETUAL

D = Decimal
MID = 50_000.0
SPREAD_TICKS = 4
TICK = 0.5
PARAMETERS = Progressive(max_steps=2)
Hazard = Callable[[float], float]  # distance from the mid in ticks → chance of a fill in each second


class Market:
    """Rests are filled by `hazard`; while one is not, the price runs away by `drift_ticks` a second."""

    def __init__(self, hazard: Hazard, drift_ticks: float = 0.0, seed: int = 1) -> None:
        self._hazard = hazard
        self._drift = drift_ticks
        self.chance = Entropy(seed)

    def execute(self, pace: Pace, at_ms: int, number: int) -> Plan:
        """A buy order worked at `pace` until it is filled or has crossed the spread."""
        mid, price = MID, MID - (SPREAD_TICKS / 2 + pace.distance_ticks) * TICK
        rests: list[Rest] = []
        now_ms, filled = at_ms, False
        for _ in range(PARAMETERS.max_steps + 1):
            quote, began_ms = _quote(mid), now_ms
            stood_s = 0.0
            while stood_s < pace.step_s and not filled:
                slot_s = min(0.25, pace.step_s - stood_s)
                filled = self.chance.random() < 1 - (1 - self._hazard((mid - price) / TICK)) ** slot_s
                stood_s += slot_s
                mid += self._drift * TICK * slot_s
            now_ms += round(stood_s * 1000)
            rests.append(
                Rest(
                    price=_decimal(price),
                    quote=quote,
                    amount=D(100),
                    began_ms=began_ms,
                    filled_before=D(0),
                    ended_ms=now_ms,
                    filled_after=D(100) if filled else D(0),
                    after=_quote(mid),
                )
            )
            if filled:
                break
            ask = mid + SPREAD_TICKS / 2 * TICK
            price = min(ask - TICK, price + max(TICK, (ask - price) / 2))
        at = price if filled else mid + SPREAD_TICKS / 2 * TICK
        plan = _planned(pace, at_ms, number)
        return msgspec.structs.replace(
            plan,
            state=PlanState.DONE,
            rests=tuple(rests),
            worked=Worked(D(100), D(0) if filled else D(100), _decimal(at)),
            arrival=rests[0].quote,
            departure=_quote(mid),
            tick=_decimal(TICK),
            updated_at_ms=now_ms,
        )


def _planned(pace: Pace, at_ms: int, number: int) -> Plan:
    order = OrderRequest(instrument="sim:PERP", side=Side.BUY, amount=D(100), order_type=OrderType.MARKET)
    return new_plan(
        ExecutionRequest(order=order, style=ExecutionStyle.PROGRESSIVE, progressive=PARAMETERS),
        plan_id=f"n-plan-{number}",
        account="sim:main",
        now_ms=at_ms,
        pace=pace,
        instrument=PERPETUAL,
        max_life_s=3600.0,
    )


def _decimal(price: float) -> Decimal:
    return D(repr(round(price, 6)))


def _quote(mid: float) -> Quote:
    half = SPREAD_TICKS / 2 * TICK
    return Quote(_decimal(mid - half), _decimal(mid + half))


GROUND = Ground(half_spread_bp=SPREAD_TICKS / 2 * TICK / MID * 1e4, tick_bp=TICK / MID * 1e4)


def history(market: Market, plans: int, rules: Rules, *, begin_ms: int = 1_000_000) -> list[Plan]:
    """As a node makes it: each plan at the pace that what was over before it taught."""
    model, made, at_ms = FillModel(), [], begin_ms
    for number in range(plans):
        choice = choose(
            model,
            "sim:PERP",
            GROUND,
            PARAMETERS,
            rules,
            at_ms=at_ms,
            roll=market.chance.random(),
            pick=market.chance.random(),
        )
        plan = market.execute(choice.pace, at_ms, number)
        for seen in observations(plan):
            model.learn(seen)
        made.append(plan)
        at_ms = plan.updated_at_ms + 1000
    return made
