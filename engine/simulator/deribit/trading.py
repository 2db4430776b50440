"""Placing, changing and cancelling orders."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from engine.simulator.accounts import Account
from engine.simulator.amending import Amendment
from engine.simulator.checks import check_spec
from engine.simulator.deribit.method import Call, method, takes
from engine.simulator.deribit.orders_by import MASS_TYPES, find, select
from engine.simulator.deribit.params import (
    CURRENCY,
    Param,
    amount,
    choice,
    currencies,
    flag,
    integer,
    invalid,
    number,
    objects,
    required,
    text,
)
from engine.simulator.deribit.public_market import KIND
from engine.simulator.deribit.render import fill_json
from engine.simulator.deribit.rpc import RpcError
from engine.simulator.instruments import Instrument
from engine.simulator.links import Condition, LinkKind
from engine.simulator.market import Market
from engine.simulator.orders import (
    ZERO,
    Family,
    Kind,
    Lifetime,
    Order,
    OrderSpec,
    Reference,
    Side,
    Submission,
    Trigger,
)
from engine.simulator.refusal import Reason, Refusal

TRADE = "trade:read_write"
LABEL = text(64)
TYPES = ("limit", "market", "market_limit", "stop_limit", "stop_market", "take_limit", "take_market", "trailing_stop")
KINDS = {"limit": Kind.LIMIT, "market": Kind.MARKET, "market_limit": Kind.MARKET_LIMIT}
FAMILIES = {"stop": Family.STOP, "take": Family.TAKE, "trailing": Family.TRAILING}
MOST_LINKED = 10

TERMS: dict[str, Param] = {
    "amount": amount(),
    "type": choice(*TYPES, default="limit"),
    "price": number(),
    "label": LABEL,
    "time_in_force": choice(*(lifetime.value for lifetime in Lifetime), default=Lifetime.GOOD_TIL_CANCELLED.value),
    "post_only": flag(),
    "reject_post_only": flag(),
    "reduce_only": flag(),
    "trigger": choice(*(reference.value for reference in Reference)),
    "trigger_price": number(),
    "trigger_offset": number(),
}
LINKED: dict[str, Param] = {"direction": required(choice("buy", "sell"))} | TERMS
PLACE: dict[str, Param] = TERMS | {
    "instrument_name": required(text()),
    "contracts": amount(),
    "display_amount": amount(),
    "valid_until": integer(),
    "advanced": choice("usd", "implv"),
    "mmp": flag(),
    "linked_order_type": choice(*(kind.value for kind in LinkKind)),
    "trigger_fill_condition": choice(*(word.value for word in Condition), default=Condition.FIRST_HIT.value),
    "otoco_config": objects(LINKED, MOST_LINKED),
}
CHANGE: dict[str, Param] = {
    "amount": amount(),
    "contracts": amount(),
    "price": number(),
    "post_only": flag(None),
    "reject_post_only": flag(None),
    "reduce_only": flag(None),
    "trigger_price": number(),
    "trigger_offset": number(),
    "display_amount": amount(),
    "valid_until": integer(),
    "advanced": choice("usd", "implv"),
    "mmp": flag(),
}


@method("private/buy", takes(**PLACE), scope=TRADE, matching=True)
def buy(call: Call) -> Any:
    return _place(call, Side.BUY)


@method("private/sell", takes(**PLACE), scope=TRADE, matching=True)
def sell(call: Call) -> Any:
    return _place(call, Side.SELL)


def _place(call: Call, side: Side) -> Any:
    market = call.market
    _check_supported(call)
    spec = _spec(call, call.args, market, side, _amount(call, market.instrument))
    if call["linked_order_type"] is not None:
        return submission_json(call, _place_linked(call, market, spec))
    return submission_json(call, call.venue.exchange.submit(call.account.name, spec))


def _spec(call: Call, terms: Mapping[str, Any], market: Market, side: Side, size: Decimal) -> OrderSpec:
    """One order, alone or of a set, as `terms` say."""
    kind, trigger = _kind_and_trigger(terms, market, side)
    return OrderSpec(
        instrument=market.instrument.name,
        side=side,
        amount=size,
        kind=kind,
        price=_price(call, terms, market, side) if kind is Kind.LIMIT else None,
        lifetime=Lifetime(terms["time_in_force"]),
        post_only=terms["post_only"],
        reject_post_only=terms["reject_post_only"],
        reduce_only=terms["reduce_only"],
        display_amount=terms.get("display_amount"),
        trigger=trigger,
        label=terms["label"] or "",
        connection_id=call.caller.connection_id,
    )


def _place_linked(call: Call, market: Market, first: OrderSpec) -> Submission:
    """The others of a set are checked for what they are before the first is placed; whether they can be placed the market says
    when it comes to that."""
    kind, venue = LinkKind(call["linked_order_type"]), call.venue
    others = [_linked_spec(call, terms, market) for terms in call["otoco_config"] or ()]
    if not others or (kind is not LinkKind.OTO and len(others) != (1 if kind is LinkKind.OCO else 2)):
        raise invalid("otoco_config", "wrong number of orders")
    names = venue.names
    return venue.exchange.links.submit(
        call.account,
        kind,
        Condition(call["trigger_fill_condition"]),
        [first, *others],
        reference=names.order_id(market.instrument, first.side, None),
        slot_id=lambda: names.waiting_id(market.instrument),
    )


def _linked_spec(call: Call, terms: Mapping[str, Any], market: Market) -> OrderSpec:
    size: Decimal | None = terms["amount"]
    if size is None:
        raise invalid("otoco_config", "amount: value required")
    spec = _spec(call, terms, market, Side(terms["direction"]), size)
    check_spec(market.instrument, spec)
    return spec


def _price(call: Call, terms: Mapping[str, Any], market: Market, side: Side) -> Decimal | None:
    """The price asked for, moved to the edge of the band where the venue does that."""
    price: Decimal | None = terms["price"]
    if price is None or not call.venue.clamp_prices:
        return price
    return min(price, market.max_price) if side is Side.BUY else max(price, market.min_price)


def _check_supported(call: Call) -> None:
    if call["advanced"] is not None:
        raise RpcError(11038, "no_adv_for_futures")
    if call["mmp"]:
        raise RpcError(13040, "mmp_required")


def _amount(call: Call, instrument: Instrument) -> Decimal:
    """The order's size, from `amount`, `contracts` or both where they agree."""
    given: Decimal | None = call["amount"]
    contracts: Decimal | None = call["contracts"]
    if contracts is None:
        if given is None:
            raise invalid("amount", "value required")
        return given
    size = contracts * instrument.contract_size
    if given is not None and given != size:
        raise invalid("contracts", "amount and contracts do not agree")
    return size


def _kind_and_trigger(terms: Mapping[str, Any], market: Market, side: Side) -> tuple[Kind, Trigger | None]:
    name: str = terms["type"]
    family, _, rest = name.partition("_")
    if family not in FAMILIES:
        return KINDS[name], None
    if terms["trigger"] is None:
        raise invalid("trigger", "value required")
    reference = Reference(terms["trigger"])
    offset: Decimal | None = terms["trigger_offset"] if family == "trailing" else None
    price: Decimal | None = terms["trigger_price"]
    if family == "trailing":
        if offset is None or offset <= 0:
            raise invalid("trigger_offset", "value must be > 0")
        price = market.reference(reference) - side.signed(-offset)
    if price is None:
        raise invalid("trigger_price", "value required")
    trigger = Trigger(family=FAMILIES[family], reference=reference, price=price, offset=offset)
    return (Kind.LIMIT if rest == "limit" else Kind.MARKET), trigger


def submission_json(call: Call, submission: Submission) -> Any:
    instrument = call.venue.exchange.markets[submission.order.instrument].instrument
    user_id = call.venue.user_id(call.account)
    return {
        "order": call.venue.order_json(submission.order),
        "trades": [fill_json(fill, instrument, user_id) for fill in submission.fills],
    }


@method("private/edit", takes(order_id=required(text()), **CHANGE), scope=TRADE, matching=True)
def edit(call: Call) -> Any:
    return _edit(call, find(call.venue, call.account, call["order_id"]))


@method(
    "private/edit_by_label", takes(label=LABEL, instrument_name=required(text()), **CHANGE), scope=TRADE, matching=True
)
def edit_by_label(call: Call) -> Any:
    name = call.market.instrument.name
    same = call.account.labelled(call["label"] or "")
    matches = [order for order in same if order.instrument == name and order.is_live]
    if not matches:
        raise Refusal(Reason.UNKNOWN_ORDER)
    if len(matches) > 1:
        raise RpcError(13032, "non_unique_order_label")
    return _edit(call, matches[0])


def _edit(call: Call, order: Order) -> Any:
    instrument = call.venue.exchange.markets[order.instrument].instrument
    _check_supported(call)
    if order.waits and (call["post_only"] is not None or call["reject_post_only"] is not None):
        raise invalid("post_only", "post_only not allowed for secondary orders")
    change = Amendment(
        amount=_amount(call, instrument),
        price=call["price"],
        post_only=call["post_only"],
        reject_post_only=call["reject_post_only"],
        reduce_only=call["reduce_only"],
        display_amount=call["display_amount"],
        trigger_price=call["trigger_price"],
        trigger_offset=call["trigger_offset"],
    )
    return submission_json(call, call.venue.exchange.amend(order, change))


@method("private/cancel", takes(order_id=required(text())), scope=TRADE, matching=True)
def cancel(call: Call) -> Any:
    order = call.venue.exchange.cancel(find(call.venue, call.account, call["order_id"]))
    return call.venue.order_json(order)


@method("private/cancel_by_label", takes(label=required(LABEL), currency=CURRENCY), scope=TRADE, matching=True)
def cancel_by_label(call: Call) -> Any:
    orders = select(call.account, call.markets())
    return _cancel_each(call, [order for order in orders if order.label == call["label"]])


MASS: dict[str, Param] = {"detailed": flag(), "freeze_quotes": flag(), "include_combos": flag()}
MASS_TYPE = choice(*MASS_TYPES, default="all")


@method("private/cancel_all", takes(**MASS), scope=TRADE, matching=True)
def cancel_all(call: Call) -> Any:
    return _cancel_each(call, list(call.account.live.values()))


@method(
    "private/cancel_all_by_instrument",
    takes(instrument_name=required(text()), type=MASS_TYPE, **MASS),
    scope=TRADE,
    matching=True,
)
def cancel_all_by_instrument(call: Call) -> Any:
    return _cancel_each(call, select(call.account, [call.market], call["type"]))


@method(
    "private/cancel_all_by_currency",
    takes(currency=required(CURRENCY), kind=KIND, type=MASS_TYPE, **MASS),
    scope=TRADE,
    matching=True,
)
def cancel_all_by_currency(call: Call) -> Any:
    return _cancel_each(call, select(call.account, call.markets(), call["type"]))


@method(
    "private/cancel_all_by_kind_or_type",
    takes(currency=required(currencies()), kind=KIND, type=MASS_TYPE, **MASS),
    scope=TRADE,
    matching=True,
)
def cancel_all_by_kind_or_type(call: Call) -> Any:
    wanted = call["currency"]
    call.args["currency"] = "any"
    markets = [m for m in call.markets() if "any" in wanted or m.instrument.settlement in wanted]
    return _cancel_each(call, select(call.account, markets, call["type"]))


@method(
    "private/cancel_all_by_currency_pair",
    takes(currency_pair=required(text()), kind=KIND, type=MASS_TYPE, **MASS),
    scope=TRADE,
    matching=True,
)
def cancel_all_by_currency_pair(call: Call) -> Any:
    pair = str(call["currency_pair"]).lower()
    if pair not in {market.instrument.index for market in call.venue.exchange.markets.values()}:
        raise invalid("currency_pair")
    markets = [market for market in call.markets() if market.instrument.index == pair]
    return _cancel_each(call, select(call.account, markets, call["type"]))


def _cancel_each(call: Call, orders: Iterable[Order]) -> Any:
    """One of them may take another with it."""
    cancelled = list(orders)
    for order in cancelled:
        call.venue.exchange.withdraw(order, "user_request")
    if not call.args.get("detailed"):
        return len(cancelled)
    return [call.venue.order_json(order) for order in cancelled]


@method(
    "private/close_position",
    takes(instrument_name=required(text()), type=required(choice("limit", "market")), price=number()),
    scope=TRADE,
    matching=True,
)
def close_position(call: Call) -> Any:
    market = call.market
    size = _position_size(call.account, market)
    if not size:
        raise Refusal(Reason.NO_POSITION)
    kind = KINDS[call["type"]]
    spec = OrderSpec(
        instrument=market.instrument.name,
        side=Side.SELL if size > 0 else Side.BUY,
        amount=abs(size),
        kind=kind,
        price=call["price"] if kind is Kind.LIMIT else None,
        reduce_only=True,
        connection_id=call.caller.connection_id,
    )
    return submission_json(call, call.venue.exchange.submit(call.account.name, spec))


def _position_size(account: Account, market: Market) -> Decimal:
    position = account.positions.get(market.instrument.name)
    return position.size if position is not None else ZERO
