"""What a venue is known to refuse, so that it is not asked: its sizes, the least value, the band around the mark."""

from decimal import Decimal

from engine.model.denials import Denial, denied
from engine.model.instruments import Instrument
from engine.model.money import ZERO, plain
from engine.model.orders.order import Order
from engine.model.orders.requests import OrderRequest

VENUE_RULE = "VENUE_RULE"


def deny_by_venue(wanted: OrderRequest | Order, instrument: Instrument, mark: Decimal | None) -> Denial | None:
    """The venue's own rules for an order that is about to leave; a rule in money waits for nothing where no price is known:
    then the venue itself will say."""
    return (
        _deny_amount(wanted, instrument)
        or _deny_value(wanted, instrument, mark)
        or _deny_price(wanted, instrument, mark)
    )


def _deny_amount(wanted: OrderRequest | Order, instrument: Instrument) -> Denial | None:
    at_market = not wanted.order_type.has_price
    most = instrument.max_market_amount if at_market else instrument.max_amount
    if most is None or wanted.amount <= most:
        return None
    kind = "at market" if at_market else "in one order"
    return denied(VENUE_RULE, "amount", f"at most {plain(most)} {kind}", plain(wanted.amount))


def _deny_value(wanted: OrderRequest | Order, instrument: Instrument, mark: Decimal | None) -> Denial | None:
    price = wanted.price or wanted.trigger_price or mark
    if instrument.min_notional is None or price is None or wanted.reduce_only:
        return None
    value = instrument.notional(wanted.amount, price)
    if value >= instrument.min_notional:
        return None
    return denied(VENUE_RULE, "notional", f"at least {plain(instrument.min_notional)} {instrument.quote}", plain(value))


def _deny_price(wanted: OrderRequest | Order, instrument: Instrument, mark: Decimal | None) -> Denial | None:
    """Of a stop the band is that of the moment it is triggered in."""
    band, price = instrument.price_band, wanted.price
    if band is None or price is None or mark is None or wanted.order_type.has_trigger:
        return None
    buying = wanted.side.sign > ZERO
    edge = mark * (band.up if buying else band.down)
    if (price <= edge) if buying else (price >= edge):
        return None
    return denied(VENUE_RULE, "price", f"at {'most' if buying else 'least'} {plain(edge)}", plain(price))
