"""Placing an order: from the parameters of a request to what the exchange takes, and the exchange's answer."""

from decimal import Decimal

from engine.simulator import checks
from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.errors import ApiError, missing
from engine.simulator.binance_usdm.listing_queries import MAX_OPEN_ORDERS
from engine.simulator.binance_usdm.params import number
from engine.simulator.binance_usdm.trading.calls import Ask
from engine.simulator.binance_usdm.trading.filters import check_notional, check_price, check_quantity
from engine.simulator.binance_usdm.trading.holder import Holder
from engine.simulator.binance_usdm.trading.reading import client_id, flag, needed, one_of, refuse_extra
from engine.simulator.binance_usdm.trading.refusals import UNRECORDED, refused
from engine.simulator.binance_usdm.trading.terms import Terms, terms_of
from engine.simulator.binance_usdm.trading.timers import Timers
from engine.simulator.exchange import Exchange
from engine.simulator.market import Market
from engine.simulator.orders import Kind, Lifetime, Order, OrderSpec, SelfTrading, Side, Submission
from engine.simulator.refusal import Refusal

__all__ = [
    "ALGO_TYPES",
    "PREVENTIONS",
    "SIDES",
    "TIMES_IN_FORCE",
    "duplicate",
    "good_till",
    "leg_of",
    "lifetime_of",
    "matched_price",
    "order_spec",
    "place",
    "price_match",
    "watch_end",
]

SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
TYPES = {"LIMIT": Kind.LIMIT, "MARKET": Kind.MARKET}
ALGO_TYPES = {
    "STOP": Kind.LIMIT,
    "STOP_MARKET": Kind.MARKET,
    "TAKE_PROFIT": Kind.LIMIT,
    "TAKE_PROFIT_MARKET": Kind.MARKET,
    "TRAILING_STOP_MARKET": Kind.MARKET,
}
TIMES_IN_FORCE = {
    "GTC": Lifetime.GOOD_TIL_CANCELLED,
    "IOC": Lifetime.IMMEDIATE_OR_CANCEL,
    "FOK": Lifetime.FILL_OR_KILL,
    "GTX": Lifetime.GOOD_TIL_CANCELLED,
    "GTD": Lifetime.GOOD_TIL_CANCELLED,
}
PREVENTIONS = {
    "EXPIRE_MAKER": SelfTrading.CANCEL_MAKER,
    "EXPIRE_TAKER": SelfTrading.CANCEL_TAKER,
    "EXPIRE_BOTH": SelfTrading.CANCEL_BOTH,
}
_LEGS = {"BOTH": "", "LONG": "LONG", "SHORT": "SHORT"}
_DEPTHS = {"": 1, "_5": 5, "_10": 10, "_20": 20}
PRICE_MATCHES = {f"{word}{depth}": (word, rows) for word in ("OPPONENT", "QUEUE") for depth, rows in _DEPTHS.items()}
MIN_LIFE_MS = 600_000
LAST_MS = 253_402_300_799_000
SECOND_MS = 1_000


def order_spec(ask: Ask) -> tuple[Desk, OrderSpec]:
    """Read and check a new order. Raises ApiError."""
    params, desk = ask.params, ask.desk
    side = one_of(params, "side", SIDES, error=ApiError(400, -1117, "Invalid side."))
    if params.get("type") in ALGO_TYPES:
        text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        raise ApiError(400, -4120, text)
    kind = one_of(params, "type", TYPES, error=ApiError(400, -1116, "Invalid orderType."))
    leg, reduce_only = leg_of(ask, side)
    quantity = needed(params, "quantity")
    own_id = client_id(params, "newClientOrderId") or ask.side.draw_id()
    refuse_extra(params, "closePosition", "stopPrice", "activationPrice", "callbackRate")
    if kind is Kind.MARKET:
        refuse_extra(params, "price", "timeInForce", "priceMatch", "goodTillDate")
        price, word, lifetime, end_ms, match = None, "GTC", Lifetime.IMMEDIATE_OR_CANCEL, 0, "NONE"
    else:
        word, lifetime = lifetime_of(params.get("timeInForce", ""))
        end_ms = good_till(ask, word)
        match = price_match(ask)
        price = needed(params, "price") if match == "NONE" else matched_price(desk, side, match)
        check_price(desk, price)
    check_quantity(desk, quantity, market=kind is Kind.MARKET)
    if not reduce_only:
        check_notional(desk, quantity, desk.market.mark if price is None else price)
    name = kind.value.upper()
    prevention = params.get("selfTradePreventionMode", "EXPIRE_MAKER")
    spec = OrderSpec(
        instrument=desk.symbol,
        side=side,
        amount=quantity,
        kind=kind,
        price=price,
        lifetime=lifetime,
        post_only=word == "GTX",
        reject_post_only=True,
        reduce_only=reduce_only,
        label=own_id,
        leg=leg,
        self_trading=one_of(params, "selfTradePreventionMode", PREVENTIONS, "EXPIRE_MAKER"),
        terms=Terms(
            client_id=own_id,
            type=name,
            original_type=name,
            lifetime=word,
            prevention=prevention,
            price_match=match,
            good_till_ms=end_ms,
        ),
    )
    return desk, spec


def leg_of(ask: Ask, side: Side) -> tuple[str, bool]:
    """Which position an order is for, and whether it may only reduce it."""
    leg = one_of(ask.params, "positionSide", _LEGS, "BOTH")
    if bool(leg) is not ask.holder.hedge:
        raise ApiError(400, -4061, "Order's position side does not match user's setting.")
    if not leg:
        return "", flag(ask.params, "reduceOnly")
    if "reduceOnly" in ask.params:
        raise ApiError(400, -4062, "Invalid or improper reduceOnly value.")
    return leg, (side is Side.SELL) is (leg == "LONG")


def lifetime_of(word: str) -> tuple[str, Lifetime]:
    if not word:
        raise missing("timeInForce")
    if word not in TIMES_IN_FORCE:
        raise ApiError(400, -1115, "Invalid timeInForce.")
    return word, TIMES_IN_FORCE[word]


def good_till(ask: Ask, word: str) -> int:
    """When an order that is good till a date ends, to the second; 0 for any other."""
    end_ms = number(ask.params, "goodTillDate")
    if word != "GTD":
        if end_ms:
            refuse_extra(ask.params, "goodTillDate")
        return 0
    if end_ms is None:
        raise missing("goodTillDate")
    if not ask.now_ms + MIN_LIFE_MS < end_ms < LAST_MS:
        text = f"The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than {LAST_MS}"
        raise ApiError(400, -5040, text)
    return end_ms - end_ms % SECOND_MS


def price_match(ask: Ask) -> str:
    match = ask.params.get("priceMatch", "NONE")
    if match != "NONE":
        one_of(ask.params, "priceMatch", PRICE_MATCHES)
        refuse_extra(ask.params, "price")
    return match


def matched_price(desk: Desk, side: Side, match: str) -> Decimal:
    """The price of a level of the book, on the own side or the other."""
    word, depth = PRICE_MATCHES[match]
    rows = desk.market.book.depth(side if word == "QUEUE" else side.opposite, depth)
    if len(rows) < depth:
        raise ApiError(400, -5041, "No depth matches this BBO order.")
    return rows[-1][0]


def duplicate() -> ApiError:
    return ApiError(400, -4116, "ClientOrderId is duplicated.")


def place(exchange: Exchange, holder: Holder, spec: OrderSpec) -> Submission:
    """Give an order to the exchange. Raises ApiError for what is not taken, and for what is not to be recorded."""
    account = holder.account
    if any(order.is_live for order in account.labelled(spec.label)):
        raise duplicate()
    if sum(order.instrument == spec.instrument for order in account.live.values()) >= MAX_OPEN_ORDERS:
        raise ApiError(400, -2025, "Reach max open order limit.")
    market = exchange.markets[spec.instrument]
    if spec.lifetime is Lifetime.FILL_OR_KILL:
        _check_fillable(market, spec)
    try:
        return exchange.submit(account.name, spec)
    except Refusal as refusal:
        raise refused(refusal) from refusal


def _check_fillable(market: Market, spec: OrderSpec) -> None:
    assert spec.price is not None, "only limit orders are fill-or-kill"
    if not checks.fillable(market, spec.side, spec.price, spec.amount):
        text = f"Due to the order could not be filled immediately, the FOK order has been rejected. {UNRECORDED}"
        raise ApiError(400, -5021, text)


def watch_end(exchange: Exchange, timers: Timers, order: Order) -> None:
    """An order that is good till a date is withdrawn then."""
    end_ms = terms_of(order).good_till_ms
    if not (end_ms and order.is_live):
        return

    def end() -> None:
        if order.is_live:
            exchange.cancel(order, "good_till_date")

    timers.set(("order", order.order_id), end_ms, end)
