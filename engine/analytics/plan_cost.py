"""What an execution cost, in basis points of the mid price when it began."""

from engine.analytics.fill_model import bp
from engine.analytics.pace import Ground
from engine.model import Plan, Side


def ground_of(plan: Plan) -> Ground | None:
    """The market a plan began in; None when that is not known."""
    if plan.arrival is None or plan.tick is None:
        return None
    mid = plan.arrival.mid
    return Ground(
        half_spread_bp=bp(plan.arrival.ask - mid, mid),
        tick_bp=bp(plan.tick, mid),
        maker_bp=float(plan.maker_fee) * 10_000,
        taker_bp=float(plan.taker_fee) * 10_000,
    )


def plan_cost_bp(plan: Plan) -> float | None:
    """Of a plan that is over, fees included; None when the market at its beginning or end is not known.

    What was not filled is valued as if it had been taken at the end: whoever wanted it still wants it.
    """
    if plan.arrival is None or plan.departure is None:
        return None
    ground = ground_of(plan)
    if ground is None:
        return None
    order, worked, mid = plan.request.order, plan.worked, plan.arrival.mid
    cost_bp = 0.0
    if worked.amount and worked.average_price is not None:
        share = float(worked.amount / plan.amount)
        taken = float(worked.taken / worked.amount)
        fees_bp = taken * ground.taker_bp + (1.0 - taken) * ground.maker_bp
        cost_bp += share * (bp(order.side.sign * (worked.average_price - mid), mid) + fees_bp)
    if plan.remaining > 0:
        other = plan.departure.ask if order.side is Side.BUY else plan.departure.bid
        share = float(plan.remaining / plan.amount)
        cost_bp += share * (bp(order.side.sign * (other - mid), mid) + ground.taker_bp)
    return cost_bp
