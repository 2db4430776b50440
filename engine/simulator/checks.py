"""What an order must satisfy before it may touch the book. Pure questions: nothing here changes anything."""

from decimal import Decimal

from engine.simulator.accounts import Account, SelfTrading
from engine.simulator.instruments import Instrument
from engine.simulator.margin import view
from engine.simulator.market import Market
from engine.simulator.orders import ZERO, Family, Kind, Lifetime, Order, OrderSpec, Side, Trigger
from engine.simulator.refusal import Reason, Refusal

MAX_AMOUNT = Decimal("1e12")
MAX_PRICE = Decimal("1e9")
ICEBERG_MIN_STEPS = 100
ICEBERG_MAX_RATIO = 100

__all__ = [
    "check_amount",
    "check_band",
    "check_display",
    "check_funds",
    "check_price",
    "check_self_trade",
    "check_spec",
    "check_trigger",
    "closable",
    "fillable",
    "post_only_price",
]


def check_spec(instrument: Instrument, spec: OrderSpec) -> None:
    """The parts of an order that fit or do not fit whatever the market does."""
    check_amount(instrument, spec.amount)
    if spec.kind is Kind.LIMIT:
        check_price(instrument, spec.price)
    taking = spec.kind is not Kind.LIMIT or spec.lifetime in (Lifetime.IMMEDIATE_OR_CANCEL, Lifetime.FILL_OR_KILL)
    if spec.post_only and taking:
        raise Refusal(Reason.POST_ONLY_NOT_ALLOWED)
    check_display(instrument, spec.amount, spec.display_amount)


def check_amount(instrument: Instrument, amount: Decimal) -> None:
    if amount > MAX_AMOUNT or not instrument.on_step(amount):
        raise Refusal(Reason.INVALID_AMOUNT, instrument.min_amount)


def check_price(instrument: Instrument, price: Decimal | None) -> None:
    if price is None or not 0 < price <= MAX_PRICE:
        raise Refusal(Reason.INVALID_PRICE)
    if not instrument.on_tick(price):
        raise Refusal(Reason.WRONG_TICK, instrument.tick)


def check_display(instrument: Instrument, amount: Decimal, display: Decimal | None) -> None:
    if display is None:
        return
    small = display < ICEBERG_MIN_STEPS * instrument.min_amount or not instrument.on_step(display)
    if small or display > amount or amount - display >= ICEBERG_MAX_RATIO * display:
        raise Refusal(Reason.INVALID_DISPLAY)


def check_band(market: Market, side: Side, price: Decimal) -> None:
    """A buy may not be priced above the band around the mark, a sell not below it; the other way is only patient."""
    if side is Side.BUY and price > market.max_price:
        raise Refusal(Reason.PRICE_TOO_HIGH, market.max_price)
    if side is Side.SELL and price < market.min_price:
        raise Refusal(Reason.PRICE_TOO_LOW, market.min_price)


def check_trigger(market: Market, side: Side, trigger: Trigger) -> None:
    """A condition must lie on the side of the reference from which it can still be met."""
    instrument, reference = market.instrument, market.reference(trigger.reference)
    if trigger.family is Family.TRAILING:
        if trigger.offset is None or trigger.offset <= 0:
            raise Refusal(Reason.INVALID_TRIGGER)
        return
    if not 0 < trigger.price <= MAX_PRICE:
        raise Refusal(Reason.INVALID_TRIGGER)
    if not instrument.on_tick(trigger.price):
        raise Refusal(Reason.TRIGGER_WRONG_TICK, instrument.tick)
    if trigger.met(side, reference):
        above = trigger.fires_above(side)
        raise Refusal(Reason.TRIGGER_TOO_LOW if above else Reason.TRIGGER_TOO_HIGH, reference)


def closable(account: Account, holding: str, side: Side) -> Decimal:
    """How much of a position an order of this side could close."""
    position = account.positions.get(holding)
    size = position.size if position is not None else ZERO
    return max(ZERO, -size if side is Side.BUY else size)


def check_funds(
    account: Account, market: Market, markets: dict[str, Market], holding: str, side: Side, amount: Decimal
) -> None:
    """Free funds must cover the margin with the order resting, unless it needs no more margin than there is now."""
    if account.house or amount <= 0:
        return
    currency = market.instrument.settlement
    after = view(account, currency, markets, extra=(holding, side, amount))
    if after.initial_margin <= after.equity:
        return
    if after.initial_margin > view(account, currency, markets).initial_margin:
        raise Refusal(Reason.NOT_ENOUGH_FUNDS)


def post_only_price(market: Market, side: Side, price: Decimal) -> Decimal:
    """The price at which a post-only order may rest: its own, or one tick from the opposite best."""
    opposite = market.book.best_price(side.opposite)
    if opposite is None or not side.reaches(price, opposite):
        return price
    tick = market.instrument.tick
    return opposite - tick if side is Side.BUY else opposite + tick


def fillable(market: Market, side: Side, limit: Decimal, amount: Decimal) -> bool:
    """Whether an order could be filled whole at once, hidden amounts included."""
    for level in market.book.side(side.opposite).walk():
        if not side.reaches(limit, level.price):
            return False
        amount -= sum((order.remaining for order in level.orders.values()), ZERO)
        if amount <= 0:
            return True
    return False


def check_self_trade(account: Account, market: Market, side: Side, limit: Decimal, amount: Decimal) -> None:
    """An account that rejects its takers may not send an order that would reach one of its own."""
    if account.self_trading is not SelfTrading.REJECT_TAKER:
        return
    exposure = account.exposures.get(market.instrument.name)
    if exposure is None or not exposure.against(side):
        return
    own = _first_own(account, market, side, limit, amount)
    if own is not None:
        raise Refusal(Reason.SELF_TRADE, own.order_id)


def _first_own(account: Account, market: Market, side: Side, limit: Decimal, amount: Decimal) -> Order | None:
    for level in market.book.side(side.opposite).walk():
        if not side.reaches(limit, level.price):
            return None
        for order in level.orders.values():
            if amount <= 0:
                return None
            if order.account == account.name:
                return order
            amount -= order.remaining
    return None
