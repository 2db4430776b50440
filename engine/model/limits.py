"""What an order must satisfy before it is stored: the caller's mistakes and the account's limits, as values with
stable codes.
"""

from decimal import Decimal
from typing import Annotated

import msgspec

from engine.model.denials import Denial, bad_request, denied
from engine.model.errors import ModelError
from engine.model.gate import GateState
from engine.model.instruments import Instrument, Snap
from engine.model.money import plain
from engine.model.requests import OrderRequest


class OrderLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one account. None means no limit of ours; the venue has its own.

    A reduce-only order makes a position smaller, so its size is not limited, and there is room for it beside twice as
    many orders: what must always be possible is to get out.
    """

    max_waiting: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    max_live_orders: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 500
    max_order_amount: Decimal | None = None
    max_order_notional: Decimal | None = None  # in the quote currency
    max_price_deviation: Decimal | None = Decimal("0.1")  # of a limit price from the mark, as a fraction


def deny_order(
    request: OrderRequest,
    instrument: Instrument | None,
    *,
    limits: OrderLimits,
    gate: GateState,
    waiting: int,
    live: int,
    mark: Decimal | None,
) -> Denial | None:
    """The first reason not to take this order, None when there is none. `mark` is None when no fresh one is known."""
    if gate is GateState.HALTED or (gate is GateState.REDUCING and not request.reduce_only):
        wanted = "a cancel" if gate is GateState.HALTED else "a reduce-only order"
        return denied(f"GATE_{gate.upper()}", "gate", f"{wanted} while the gate is {gate}", request.order_type)
    times = 2 if request.reduce_only else 1
    if waiting >= limits.max_waiting * times:
        return denied("QUEUE_FULL", "waiting", f"fewer than {limits.max_waiting * times} waiting orders", str(waiting))
    if live >= limits.max_live_orders * times:
        return denied("TOO_MANY_ORDERS", "live", f"fewer than {limits.max_live_orders * times} live orders", str(live))
    if instrument is None:
        return denied(
            "INSTRUMENT_UNKNOWN", "instrument", "one the venue lists and the node has loaded", request.instrument
        )
    if not instrument.active:
        return denied("INSTRUMENT_INACTIVE", "instrument", "one that trades", request.instrument)
    try:
        request.check()
        check_shape(request, instrument)
    except ModelError as error:
        return bad_request(error)
    return _too_large(request, instrument, limits, mark) or _too_dear(request, limits, mark)


def check_shape(request: OrderRequest, instrument: Instrument) -> None:
    """Lot and tick rules; a price is never moved for the caller. Raises `ModelError`."""
    instrument.check_amount(request.amount)
    buying = request.side.sign > 0
    if request.price is not None:
        instrument.snap_price(request.price, buying=buying, how=Snap.REFUSE)
    if request.trigger_price is not None:
        instrument.snap_price(request.trigger_price, buying=buying, how=Snap.REFUSE, field="trigger_price")


def _too_large(
    request: OrderRequest, instrument: Instrument, limits: OrderLimits, mark: Decimal | None
) -> Denial | None:
    if request.reduce_only:
        return None
    if limits.max_order_amount is not None and request.amount > limits.max_order_amount:
        return denied("AMOUNT_LIMIT", "amount", f"at most {plain(limits.max_order_amount)}", plain(request.amount))
    if limits.max_order_notional is None:
        return None
    reference = request.price or request.trigger_price or mark
    if reference is None and not instrument.inverse:
        return denied("NO_MARK", "mark", "a fresh mark price to value the order", "none")
    notional = instrument.notional(request.amount, reference or Decimal(1))
    if notional > limits.max_order_notional:
        return denied(
            "NOTIONAL_LIMIT", "amount", f"at most {plain(limits.max_order_notional)} of value", plain(notional)
        )
    return None


def _too_dear(request: OrderRequest, limits: OrderLimits, mark: Decimal | None) -> Denial | None:
    """Too far from the mark on the side that gives money away."""
    if limits.max_price_deviation is None or mark is None or request.price is None:
        return None
    if request.side.sign * (request.price - mark) / mark <= limits.max_price_deviation:
        return None
    wanted = f"within {plain(limits.max_price_deviation)} of the mark {plain(mark)} on the paying side"
    return denied("PRICE_DEVIATION", "price", wanted, plain(request.price))
