"""Sending an order to the venue where it costs least.

A route names instruments that are the same thing at different venues. For an amount of the coin each is asked what taking it would
cost now, fees included; the cheapest healthy one gets the order. Healthy means: a fresh whole book that is deep enough, an account
that is in step with its venue, an open gate, no order of unknown fate in the instrument.

Once a queue may have taken the order it belongs to that venue, whatever becomes of it: another venue is tried only after a
refusal, which leaves nothing behind. A request key is one order for the whole route: before anything is sent every account of the
route is asked for it, and an account that does not answer stops the order.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from actors.messages import Accepted, GetOrderByKey, GetOrdersStatus, OrdersStatus, SubmitOrder, ask_queue
from engine.kernel import ActorDown, CallFailed, CallTimeout, MailboxFull
from engine.model import (
    DataClass,
    Denial,
    GateState,
    Instrument,
    MarketState,
    ModelError,
    OrderRequest,
    Side,
    Snap,
    Walk,
    bad_request,
    denied,
    positive,
    split_instrument,
    walk,
)

if TYPE_CHECKING:
    from actors.parts import AccountParts, NodeParts

ASK_TIMEOUT_S = 5.0
SUBMIT_TIMEOUT_S = 15.0
MAX_INSTRUMENTS = 16
ONE = Decimal(1)


class RouteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Instruments that are the same thing: `venue:symbol`, the preferred first among equals.

    `accounts`: by venue, where it has more than one. `taker_fees`: by venue, as a fraction, where the venue does not tell its fees
    with its instruments (Binance does not) or has others for you. `rates`: what one unit of a quote currency is worth, for
    quote currencies that are not worth the same.
    """

    instruments: tuple[str, ...]
    accounts: dict[str, str] = {}
    taker_fees: dict[str, Decimal] = {}
    rates: dict[str, Decimal] = {}

    def __post_init__(self) -> None:
        if not 0 < len(self.instruments) <= MAX_INSTRUMENTS or len(set(self.instruments)) < len(self.instruments):
            raise ValueError(f"instruments: expected 1 to {MAX_INSTRUMENTS} different ones, got {self.instruments}")
        for fee in self.taker_fees.values():
            if not -1 < fee < 1:
                raise ValueError(f"taker_fees: expected fractions, got {fee}")
        for rate in self.rates.values():
            if not 0 < rate < 1_000_000:
                raise ValueError(f"rates: expected numbers above zero, got {rate}")


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of a route: what it would cost, or why it cannot serve."""

    instrument: str
    account: str = ""
    amount: Decimal | None = None  # in the instrument's unit
    price: Decimal | None = None  # average, without fees
    net_price: Decimal | None = None  # with fees, in the route's common money
    taker_fee: Decimal | None = None
    reason: str = ""

    @property
    def healthy(self) -> bool:
        return self.net_price is not None and not self.reason


class Routed(msgspec.Struct, frozen=True, kw_only=True):
    """Where the order should go: the first of `considered`, which are in the order they should be tried, the unhealthy last."""

    route: str
    instrument: str
    account: str
    amount: Decimal
    net_price: Decimal
    considered: tuple[Considered, ...]


class RoutedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order and where it went; `considered` is empty when the request key was known already."""

    order_id: str
    instrument: str
    account: str
    considered: tuple[Considered, ...] = ()


async def choose_route(
    parts: "NodeParts", route: str, side: Side, base_amount: Decimal, *, reduce_only: bool = False
) -> Routed | Denial:
    """The best healthy instrument for an amount of the coin now."""
    settings = parts.routes.get(route)
    if settings is None:
        return denied("ROUTE_UNKNOWN", "route", f"one of {', '.join(sorted(parts.routes)) or 'none'}", route)
    try:
        positive(base_amount, "amount")
    except ModelError as error:
        return bad_request(error)
    considered = [
        await _consider(parts, settings, name, side, base_amount, reduce_only) for name in settings.instruments
    ]
    ranked = ranking(same_coin(parts, considered), side)
    best = ranked[0]
    if not best.healthy or best.amount is None or best.net_price is None:
        reasons = "; ".join(f"{one.instrument}: {one.reason}" for one in ranked)
        return denied("ROUTE_UNHEALTHY", "route", "one healthy instrument at least", reasons)
    return Routed(
        route=route,
        instrument=best.instrument,
        account=best.account,
        amount=best.amount,
        net_price=best.net_price,
        considered=tuple(ranked),
    )


def same_coin(parts: "NodeParts", considered: Sequence[Considered]) -> list[Considered]:
    """What is not the coin of the first is not the same thing: a route that was written wrong must not trade it."""
    coins = [found.base if (found := _instrument(parts, one.instrument)) else "" for one in considered]
    first = next((coin for coin in coins if coin), "")
    return [
        msgspec.structs.replace(one, reason=f"it is {coin}, and the route is of {first}")
        if coin not in ("", first)
        else one
        for one, coin in zip(considered, coins, strict=True)
    ]


def ranking(considered: Sequence[Considered], side: Side) -> list[Considered]:
    """The cheapest first (the dearest of a sale), as they come among equals; those that cannot serve last."""
    healthy = [one for one in considered if one.healthy]
    healthy.sort(key=lambda one: side.sign * (one.net_price or Decimal(0)))
    return [*healthy, *(one for one in considered if not one.healthy)]


async def submit_by_route(parts: "NodeParts", route: str, request: OrderRequest) -> RoutedOrder | Denial:
    """Place `request` at the best healthy venue of a route.

    Its amount is in the base coin, its instrument and account are the route's to say. A price is put on the venue's grid, away
    from the market. Raises `CallTimeout` or `CallFailed` when a queue may have taken it: then ask again with the same request
    key, and it will be the same order.
    """
    if request.request_key:
        known = await _known(parts, route, request.request_key)
        if known is not None:
            return known
    chosen = await choose_route(parts, route, request.side, request.amount, reduce_only=request.reduce_only)
    if isinstance(chosen, Denial):
        return chosen
    refusal: Denial | None = None
    for one in chosen.considered:
        if not one.healthy:
            break
        answer = await _submit(parts, one, request)
        if isinstance(answer, Accepted):
            return RoutedOrder(
                order_id=answer.order_id,
                instrument=one.instrument,
                account=one.account,
                considered=chosen.considered,
            )
        refusal = refusal or answer
    assert refusal is not None, "the first one considered is healthy"
    return refusal


async def _submit(parts: "NodeParts", chosen: Considered, request: OrderRequest) -> Accepted | Denial:
    """The queue's answer. One that certainly never heard of it has refused it, too."""
    account, instrument = _account(parts, chosen), _instrument(parts, chosen.instrument)
    assert account is not None and instrument is not None and chosen.amount is not None, "a healthy one has all"
    price = request.price
    if price is not None:
        price = instrument.snap_price(price, buying=request.side is Side.BUY, how=Snap.PASSIVE)
    placed = msgspec.structs.replace(
        request, instrument=chosen.instrument, account=chosen.account, amount=chosen.amount, price=price
    )
    return await ask_queue(account.orders, SubmitOrder(placed), timeout_s=SUBMIT_TIMEOUT_S)


async def _known(parts: "NodeParts", route: str, key: str) -> RoutedOrder | Denial | None:
    """The order any account of the route took under this key. An account that cannot tell is a reason to wait."""
    settings = parts.routes.get(route)
    for name in settings.instruments if settings else ():
        account = parts.account_for(name, _account_name(parts, settings, name))
        if account is None:
            continue
        try:
            order = await account.orders.call(GetOrderByKey(key), timeout_s=ASK_TIMEOUT_S)
        except (MailboxFull, ActorDown, CallTimeout, CallFailed) as error:
            return denied("ROUTE_UNSURE", "request_key", f"an answer of {account.name} about it", str(error))
        if order is not None:
            return RoutedOrder(order_id=order.order_id, instrument=order.instrument, account=order.account)
    return None


# ── one instrument ────────────────────────────────────────────────────────────────────────────────────────────────────


async def _consider(
    parts: "NodeParts", settings: RouteSettings, name: str, side: Side, base_amount: Decimal, reduce_only: bool
) -> Considered:
    venue, _ = split_instrument(name, parts.default_venue)
    account = parts.account_for(name, settings.accounts.get(venue, ""))
    if account is None:
        return Considered(instrument=name, reason=f"no account at {venue}, or more than one and none named")
    try:
        status = await account.orders.call(GetOrdersStatus(), timeout_s=ASK_TIMEOUT_S)
    except (MailboxFull, ActorDown, CallTimeout, CallFailed) as error:
        return Considered(instrument=name, account=account.name, reason=f"its order queue: {error}")
    instrument, market = _instrument(parts, name), parts.market(name)
    reason = trouble(status, instrument, market, parts.clock.monotonic_s(), reduce_only=reduce_only)
    if reason or instrument is None or market is None:
        return Considered(instrument=name, account=account.name, reason=reason)
    fee = settings.taker_fees.get(venue, instrument.taker_fee)
    levels = market.book.asks() if side is Side.BUY else market.book.bids()
    try:
        found: Walk = walk(
            instrument,
            levels,
            side=side,
            base_amount=base_amount,
            taker_fee=fee,
            rate=settings.rates.get(instrument.quote, ONE),
        )
    except ModelError as error:
        return Considered(instrument=name, account=account.name, taker_fee=fee, reason=str(error))
    return Considered(
        instrument=name,
        account=account.name,
        amount=found.amount,
        price=found.price,
        net_price=found.net_price,
        taker_fee=fee,
    )


def trouble(
    status: OrdersStatus,
    instrument: Instrument | None,
    market: MarketState | None,
    now_s: float,
    *,
    reduce_only: bool,
) -> str:
    """The first reason not to send here now, empty when there is none."""
    if instrument is None or not instrument.active:
        return "it is not listed, or does not trade"
    if not status.synced:
        return "its account is not in step with the venue"
    if status.gate is GateState.HALTED or (status.gate is GateState.REDUCING and not reduce_only):
        return f"its gate is {status.gate}"
    if instrument.instrument_id in status.closed_instruments:
        return "the fate of an order there is unknown"
    if market is None:
        return "nobody follows its market"
    fresh = market.fresh.get(DataClass.BOOK)
    if fresh is None or fresh.stale(now_s):
        return "its book is stale"
    if not market.book.ready or market.book.crossed:
        return "its book is incomplete"
    return ""


def _instrument(parts: "NodeParts", name: str) -> Instrument | None:
    venue, symbol = split_instrument(name, parts.default_venue)
    found = parts.venues.get(venue)
    return found.state.instruments.get(symbol) if found else None


def _account(parts: "NodeParts", chosen: Considered) -> "AccountParts | None":
    return parts.account_for(chosen.instrument, chosen.account)


def _account_name(parts: "NodeParts", settings: RouteSettings | None, name: str) -> str:
    venue, _ = split_instrument(name, parts.default_venue)
    return settings.accounts.get(venue, "") if settings else ""
