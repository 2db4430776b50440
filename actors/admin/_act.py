"""Methods that trade. The functions of `actors.trading` under their own parameters, and `order.submit` in the queue's own words.

All answer with the record of what is on disk by then (`actors.trading.records`); only `order.submit` says no more than the id.
"""

from decimal import Decimal
from typing import Annotated, Any

import msgspec

from actors import _jsonrpc as rpc
from actors.admin._desk import Desk, Method, OrderId, Text, accepted, ask
from actors.admin._look import Listing, full_name
from actors.messages import Accepted, SubmitOrder, Verdict
from actors.parts import AccountParts
from actors.trading import OrderForm
from engine.model import ModelError, OrderRequest, OrderType, Side, TriggerBy, TriggerFill

Record = dict[str, Any]
Orders = Annotated[list[dict[str, Any]], msgspec.Meta(max_length=1000)]


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    order_id: OrderId
    reason: Text = ""


class Amend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out keeps its value."""

    order_id: OrderId
    amount: Decimal | None = None
    price: Decimal | None = None


class Resolve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    order_id: OrderId
    verdict: Verdict
    note: Text = ""


class TrailingStop(OrderForm, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The distance is in price, or `percent` of the best one. It only reduces unless it is said otherwise."""

    order_type: OrderType = OrderType.MARKET
    reduce_only: bool = True
    distance: Decimal | None = None
    percent: Decimal | None = None
    activation_price: Decimal | None = None
    by: TriggerBy = TriggerBy.MARK


class Bracket(OrderForm, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form is of the entry; `trail` in place of `stop_loss` lets the stop follow the market."""

    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None


class Linked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every order is a mapping of `order.submit_advanced`'s parameters."""

    kind: Text
    exits: Orders
    entry: dict[str, Any] | None = None
    releases_at: TriggerFill = TriggerFill.INCREMENTAL
    cancels_at: TriggerFill = TriggerFill.FIRST_HIT
    native: bool = True


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` of the coin."""

    route: Text
    amount: Decimal
    direction: Side


class Routed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`order`: `order.submit_advanced`'s parameters without an instrument; its amount is of the coin."""

    route: Text
    order: dict[str, Any]


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every order is a mapping of `order.submit_advanced`'s parameters."""

    orders: Orders


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one's own, for conditions of type `custom`."""

    name: Text
    value: Decimal


class Published(msgspec.Struct, frozen=True):
    """Who heard of the figure."""

    accounts: list[str]


async def submit(desk: Desk, request: OrderRequest) -> Accepted:
    try:
        request.check()
    except ModelError as error:
        raise rpc.bad_value(error) from error
    account = _account_for(desk, request)
    named = msgspec.structs.replace(request, instrument=full_name(desk.parts, request.instrument))
    return accepted(await ask(account.orders, SubmitOrder(named)))


def _account_for(desk: Desk, request: OrderRequest) -> AccountParts:
    """Where the order goes. Raises RpcError naming the venues or accounts there are."""
    account = desk.parts.account_for(request.instrument, request.account)
    if account is None:
        raise rpc.refusal_of(desk.parts.nowhere(request.instrument, request.account))
    return account


async def submit_advanced(desk: Desk, form: OrderForm) -> Record:
    return await desk.trading.submit_order(form)


async def create_conditional(desk: Desk, form: OrderForm) -> Record:
    return await desk.trading.create_conditional_order(**{"conditions": (), **_given(form)})


async def trailing_stop(desk: Desk, params: TrailingStop) -> Record:
    return await desk.trading.trailing_stop_order(**_given(params))


async def bracket(desk: Desk, params: Bracket) -> Record:
    return await desk.trading.bracket_order(**_given(params))


def _given(params: msgspec.Struct) -> dict[str, Any]:
    """The parameters of a function by name, without those that are None."""
    return {name: value for name in params.__struct_fields__ if (value := getattr(params, name)) is not None}


async def route(desk: Desk, params: Route) -> Record:
    return await desk.trading.choose_route(params.route, params.amount, params.direction)


async def submit_by_route(desk: Desk, params: Routed) -> Record:
    return await desk.trading.submit_by_route(params.route, params.order)


async def linked(desk: Desk, params: Linked) -> Record:
    return await desk.trading.submit_linked_orders(**msgspec.structs.asdict(params))


async def batch(desk: Desk, params: Batch) -> Listing[Record]:
    return Listing(await desk.trading.submit_batch(params.orders), more=False)


async def cancel(desk: Desk, params: Cancel) -> Record:
    return await desk.trading.cancel_order(params.order_id, params.reason or "by hand")


async def amend(desk: Desk, params: Amend) -> Record:
    return await desk.trading.amend_order(params.order_id, params.amount, params.price)


async def resolve(desk: Desk, params: Resolve) -> Record:
    return await desk.trading.resolve_order(params.order_id, params.verdict, params.note)


async def figure(desk: Desk, params: Figure) -> Published:
    desk.trading.publish_figure(params.name, params.value)
    return Published([account.name for account in desk.parts.accounts()])


METHODS = {
    "order.submit": Method(OrderRequest, submit),
    "order.submit_advanced": Method(OrderForm, submit_advanced),
    "order.create_conditional": Method(OrderForm, create_conditional),
    "order.trailing_stop": Method(TrailingStop, trailing_stop),
    "order.bracket": Method(Bracket, bracket),
    "order.linked": Method(Linked, linked),
    "order.route": Method(Route, route),
    "order.submit_by_route": Method(Routed, submit_by_route),
    "order.batch": Method(Batch, batch),
    "order.cancel": Method(Cancel, cancel),
    "order.amend": Method(Amend, amend),
    "order.resolve": Method(Resolve, resolve),
    "figure": Method(Figure, figure),
}
