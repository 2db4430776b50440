"""Where a plan's next order goes, and how large it is."""

from decimal import Decimal

from engine.model.instruments import Instrument, Snap
from engine.model.money import ZERO, ceil_to, floor_to, plain
from engine.model.orders.requests import OrderRequest
from engine.model.plans.plan import Plan, Quote
from engine.model.plans.requests import Progressive
from engine.model.terms import Side

VALUE_MARGIN = Decimal("1.02")  # above the least value: it is told by a mark price that is not the book's


def progressive_price(plan: Plan, quote: Quote, instrument: Instrument, *, before: Decimal | None) -> Decimal:
    """The price of the first child (`before` is None), or one step on from `before`.

    It follows the own side of the book when that moves ahead, stays a tick short of the other side, and never passes the
    order's own price. It never moves away from the market but to keep these two.
    """
    order, pace = plan.request.order, plan.pace
    assert pace is not None
    side = order.side
    own, other = (quote.bid, quote.ask) if side is Side.BUY else (quote.ask, quote.bid)
    tick = instrument.tick_at(own)
    start = own - side.sign * pace.distance_ticks * tick
    price = start
    if before is not None:
        step = _step(plan.request.pacing, abs(other - before), tick)
        price = _nearer(side, before + side.sign * step, start)
    elif plan.price is not None:  # its last order was replaced: go on from where that stood, not from the beginning
        price = _nearer(side, plan.price, start)
    price = _farther(side, price, other - side.sign * instrument.tick_at(other))
    if order.price is not None:
        price = _farther(side, price, order.price)
    return _snapped(max(price, tick), side, instrument)


def _step(parameters: Progressive, gap: Decimal, tick: Decimal) -> Decimal:
    if parameters.step_ticks is not None:
        return parameters.step_ticks * tick
    return max(tick, gap * parameters.step_fraction)


def _nearer(side: Side, one: Decimal, other: Decimal) -> Decimal:
    """The price more willing to trade."""
    return max(one, other) if side is Side.BUY else min(one, other)


def _farther(side: Side, one: Decimal, other: Decimal) -> Decimal:
    return min(one, other) if side is Side.BUY else max(one, other)


def least_amount(order: OrderRequest, instrument: Instrument, quote: Quote) -> Decimal:
    """The least the venue takes in one order at about these prices, by amount and by value."""
    least = max(instrument.min_amount, instrument.lot_size)
    if instrument.min_notional is None or order.reduce_only:
        return least
    wanted = instrument.min_notional * VALUE_MARGIN
    if instrument.inverse:
        return max(least, ceil_to(wanted, instrument.lot_size))
    price = quote.bid if order.price is None else min(order.price, quote.bid)
    return max(least, ceil_to(wanted / price, instrument.lot_size))


def most_amount(instrument: Instrument, price: Decimal | None) -> Decimal | None:
    """The most the venue takes in one order, at the market if `price` is None."""
    return instrument.max_market_amount if price is None else instrument.max_amount


def next_slice(plan: Plan, instrument: Instrument, least: Decimal, now_ms: int) -> tuple[int, Decimal]:
    """Number and amount of the slice that is due at `now_ms`; an amount of zero, for want of `least`, is left to later ones.

    Slice k brings the total to `amount * k / slices`, in whole lots. What is missing of earlier ones is added, up to
    `catch_up` of a slice; after the last there are as many more of its size as it takes.
    """
    twap = plan.request.twap
    assert twap is not None
    passed = (now_ms - plan.started_at_ms + 1) / slice_ms(
        plan
    ) + twap.jitter  # due a little early by jitter, or by rounding
    number = max(1, min(int(passed) + 1, plan.slices))
    after = _target(plan, number, instrument)
    share = after - _target(plan, number - 1, instrument)
    most = max(share * (1 + twap.catch_up), least)
    amount = floor_to(min(max(after - plan.worked.amount, ZERO), most), instrument.lot_size)
    if ZERO < plan.remaining - amount < least:
        amount = plan.remaining
    return number, amount if amount >= least else ZERO


def _target(plan: Plan, number: int, instrument: Instrument) -> Decimal:
    if number >= plan.slices:
        return plan.amount
    return floor_to(plan.amount * number / plan.slices, instrument.lot_size)


def slice_ms(plan: Plan) -> float:
    """How long a slice has."""
    assert plan.request.twap is not None
    return plan.request.twap.duration_s * 1000 / plan.slices


def next_slice_ms(plan: Plan, number: int, now_ms: int, roll: float) -> int:
    """When the slice after `number` is due: on the schedule, moved by up to `jitter` of a slice, half a slice from now at least."""
    twap = plan.request.twap
    assert twap is not None
    whole_ms = slice_ms(plan)
    due_ms = plan.started_at_ms + number * whole_ms + (2 * roll - 1) * twap.jitter * whole_ms
    return round(max(due_ms, now_ms + whole_ms / 2))


def slice_price(plan: Plan, quote: Quote, instrument: Instrument) -> Decimal | None:
    """None: take at the market."""
    order, twap = plan.request.order, plan.request.twap
    assert twap is not None
    if not twap.passive:
        return order.price
    own = quote.bid if order.side is Side.BUY else quote.ask
    price = own if order.price is None else _farther(order.side, own, order.price)
    return _snapped(price, order.side, instrument)


def _snapped(price: Decimal, side: Side, instrument: Instrument) -> Decimal:
    """On the grid, away from the market, and without zeros at its end."""
    return Decimal(plain(instrument.snap_price(price, buying=side is Side.BUY, how=Snap.PASSIVE)))
