"""Methods that trade: one order at a time."""

from decimal import Decimal

import msgspec

from actors import _jsonrpc as rpc
from actors.admin._desk import Desk, Method, OrderId, Text, accepted, account_named, ask
from actors.admin._look import find_order, full_name
from actors.messages import Accepted, AmendOrder, CancelOrder, SubmitOrder
from actors.parts import AccountParts
from engine.model import ModelError, OrderRequest, split_instrument


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    order_id: OrderId
    reason: Text = ""


class Amend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out keeps its value."""

    order_id: OrderId
    amount: Decimal | None = None
    price: Decimal | None = None


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
    if account is not None:
        return account
    name, _ = split_instrument(request.instrument, desk.parts.default_venue)
    venue = desk.parts.venues.get(name)
    if venue is None:
        known = ", ".join(sorted(desk.parts.venues)) or "none is configured"
        raise rpc.refused("VENUE_UNKNOWN", "instrument", f"an instrument of: {known}", request.instrument)
    expected = f"one of: {', '.join(venue.accounts)}" if venue.accounts else f"an account at {name}: none is configured"
    raise rpc.refused("ACCOUNT_UNKNOWN", "account", expected, request.account or "none named")


async def cancel(desk: Desk, params: Cancel) -> Accepted:
    order = find_order(desk.parts, params.order_id)
    account = account_named(desk.parts, order.account)
    return accepted(await ask(account.orders, CancelOrder(params.order_id, params.reason or "by hand")))


async def amend(desk: Desk, params: Amend) -> Accepted:
    if params.amount is None and params.price is None:
        data = rpc.ErrorData("invalid_params", "amount", "a new amount, a new price or both", "neither")
        raise rpc.RpcError(rpc.Code.INVALID_PARAMS, "nothing to amend", data)
    order = find_order(desk.parts, params.order_id)
    account = account_named(desk.parts, order.account)
    return accepted(await ask(account.orders, AmendOrder(params.order_id, params.amount, params.price)))


METHODS = {
    "order.submit": Method(OrderRequest, submit),
    "order.cancel": Method(Cancel, cancel),
    "order.amend": Method(Amend, amend),
}
