"""What an order must satisfy: at the door, where the caller's mistakes are found, and again before it leaves.

Every rule is a plain function that returns the reason not to, or None. What must always be possible is to get out: the
rules of size, position, lists and meeting oneself do not speak of reduce-only orders. (One that is larger than the position is the venue's
business, which clips it.)
"""

from decimal import Decimal

from engine.model.denials import NO_MARK, Denial, bad_request, denied
from engine.model.errors import ModelError
from engine.model.instruments import Instrument, Snap
from engine.model.limits.exposure import Stake
from engine.model.limits.gate import DAILY_LOSS, GateState
from engine.model.limits.settings import InstrumentLimits, OrderLimits, Permission, SelfTrade
from engine.model.money import ZERO, plain
from engine.model.orders.order import Order
from engine.model.orders.requests import OrderRequest

DOLLARS = frozenset({"USD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "DAI", "USDE"})  # counted as the same
Wanted = OrderRequest | Order


def deny_at_door(
    request: OrderRequest, instrument: Instrument | None, *, limits: OrderLimits, waiting: int, live: int
) -> Denial | None:
    """Whether there is room – `waiting` and `live` orders are there already – and the instrument takes such an order. What
    needs no instrument to be wrong (`OrderRequest.check`) was found before.
    """
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
        check_shape(request, instrument)
    except ModelError as error:
        return bad_request(error)
    return None


def check_shape(request: OrderRequest, instrument: Instrument) -> None:
    """Lot and tick rules; a price is never moved for the caller. Raises `ModelError`."""
    instrument.check_amount(request.amount)
    buying = request.side.sign > 0
    if request.price is not None:
        instrument.snap_price(request.price, buying=buying, how=Snap.REFUSE)
    if request.trigger_price is not None:
        instrument.snap_price(request.trigger_price, buying=buying, how=Snap.REFUSE, field="trigger_price")


def deny_by_gate(wanted: Wanted, gate: GateState, code: str = "") -> Denial | None:
    """What the gate lets through; `code` says why it stands where it stands."""
    if gate is GateState.ACTIVE or (gate is GateState.REDUCING and wanted.reduce_only):
        return None
    passes = "a cancel" if gate is GateState.HALTED else "a reduce-only order"
    if code == DAILY_LOSS and gate is GateState.REDUCING:
        return denied(DAILY_LOSS, "gate", "a reduce-only order until a person resumes", wanted.order_type)
    return denied(f"GATE_{gate.upper()}", "gate", f"{passes} while the gate is {gate}", wanted.order_type)


def deny_by_lists(wanted: Wanted, permission: Permission, *, allowed: bool) -> Denial | None:
    """What the account may be used for. `allowed`: its lists have nothing against the instrument."""
    if permission is Permission.READ or (permission is Permission.REDUCE and not wanted.reduce_only):
        passes = "no orders" if permission is Permission.READ else "a reduce-only order"
        return denied("NO_PERMISSION", "permission", f"{passes} with permission {permission}", wanted.order_type)
    if not allowed and not wanted.reduce_only:
        return denied("INSTRUMENT_DENIED", "instrument", "one that the account's lists allow", wanted.instrument)
    return None


def deny_size(wanted: Wanted, instrument: Instrument, limits: InstrumentLimits, mark: Decimal | None) -> Denial | None:
    """Too much for one order."""
    if wanted.reduce_only:
        return None
    if limits.max_order_amount is not None and wanted.amount > limits.max_order_amount:
        return denied("AMOUNT_LIMIT", "amount", f"at most {plain(limits.max_order_amount)}", plain(wanted.amount))
    if limits.max_order_notional is None:
        return None
    reference = wanted.price or wanted.trigger_price or mark
    if reference is None and not instrument.inverse:
        return no_mark(wanted.instrument)
    notional = instrument.notional(wanted.amount, reference or Decimal(1))
    if notional > limits.max_order_notional:
        return denied(
            "NOTIONAL_LIMIT", "amount", f"at most {plain(limits.max_order_notional)} of value", plain(notional)
        )
    return None


def deny_price(wanted: Wanted, limits: InstrumentLimits, mark: Decimal | None) -> Denial | None:
    """Too far from the mark, on the side that gives money away or on the other. A stop is measured from its trigger.

    Also for reduce-only orders: no slip gets anybody out, and a market order needs no price.
    """
    reference = wanted.trigger_price or mark
    if wanted.price is None or reference is None:
        return None
    paid = wanted.side.sign * (wanted.price - reference) / reference
    most = limits.max_price_deviation if paid > ZERO else limits.max_resting_deviation
    if most is None or abs(paid) <= most:
        return None
    what = "trigger" if wanted.trigger_price else "mark"
    side = "paying" if paid > ZERO else "resting"
    return denied(
        "PRICE_DEVIATION",
        "price",
        f"within {plain(most)} of the {what} {plain(reference)} on the {side} side",
        plain(wanted.price),
    )


def deny_meeting(wanted: Wanted, stake: Stake, policy: SelfTrade, reach: Decimal | None) -> Denial | None:
    """It would trade with the account itself. `reach`: the worst price it may take, None when that has no end.

    A stop is not looked at: what rests when it triggers cannot be known. Nor is what cannot take, or gets the account out.
    """
    if policy is SelfTrade.ALLOW or wanted.order_type.has_trigger or wanted.post_only or wanted.reduce_only:
        return None
    far = Decimal("Infinity") if wanted.side.sign > 0 else ZERO
    met = stake.met_by(wanted.side, far if reach is None else reach)
    if met is None:
        return None
    wanted_price = "a price that meets no order of the account's own"
    return denied("SELF_TRADE", "price", wanted_price, f"{plain(met)} at {wanted.price or 'market'}")


def deny_count(wanted: Wanted, stake: Stake, limits: InstrumentLimits) -> Denial | None:
    """Too many orders of one instrument."""
    if limits.max_orders_per_instrument is None:
        return None
    most = limits.max_orders_per_instrument * (2 if wanted.reduce_only else 1)
    if stake.live < most:
        return None
    return denied("TOO_MANY_ORDERS", "instrument", f"fewer than {most} live orders of it", str(stake.live))


def deny_position(
    wanted: Wanted,
    amount: Decimal,
    instrument: Instrument,
    stake: Stake,
    limits: InstrumentLimits,
    mark: Decimal | None,
) -> Denial | None:
    """`amount` more would make the position's worst case too large. Whatever only closes what is held passes."""
    if wanted.reduce_only or (limits.max_position is None and limits.max_position_notional is None):
        return None
    worst = stake.worst(wanted.side) + amount
    if worst <= stake.held_against(wanted.side):
        return None
    if limits.max_position is not None and worst > limits.max_position:
        return denied(
            "POSITION_LIMIT",
            "amount",
            f"at most {plain(limits.max_position)} held if all that may rest is filled",
            plain(worst),
        )
    if limits.max_position_notional is None:
        return None
    if mark is None and not instrument.inverse:
        return no_mark(wanted.instrument)
    value = instrument.notional(worst, mark or Decimal(1))
    if value > limits.max_position_notional:
        return denied(
            "POSITION_NOTIONAL_LIMIT",
            "amount",
            f"at most {plain(limits.max_position_notional)} of value held if all that may rest is filled",
            plain(value),
        )
    return None


def deny_exposure(worst: Decimal, most: Decimal) -> Denial | None:
    """`worst`: the value of all positions of the account in their worst cases, with the order in question."""
    if worst <= most:
        return None
    wanted = f"at most {plain(most)} of value in all instruments together if all that may rest is filled"
    return denied("EXPOSURE_LIMIT", "amount", wanted, plain(worst))


def no_mark(instrument: str) -> Denial:
    return denied(NO_MARK, "mark", f"a fresh mark price of {instrument} to value it", "none")
