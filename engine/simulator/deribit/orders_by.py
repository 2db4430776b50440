"""Finding orders: by id, by market and type, and as queries may see them."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from engine.simulator.accounts import Account
from engine.simulator.deribit.render import order_type
from engine.simulator.deribit.rpc import RpcError
from engine.simulator.market import Market
from engine.simulator.orders import Order, State
from engine.simulator.refusal import Reason, Refusal

if TYPE_CHECKING:
    from engine.simulator.deribit.venue import DeribitVenue

__all__ = ["MASS_TYPES", "OPEN_TYPES", "find", "find_visible", "known", "of_type", "select"]

ORDER_ID = re.compile(r"([A-Z]{2,8}(_[A-Z]{2,8})?-)?([A-Z]{2,4}[A-Z]?-)?[0-9]{1,20}")
MASS_TYPES = ("all", "limit", "trigger_all", "stop", "take", "trailing_stop")
GROUPS = {
    "all": ("limit", "market", "stop_limit", "stop_market", "take_limit", "take_market", "trailing_stop"),
    "limit": ("limit", "market"),
    "trigger_all": ("stop_limit", "stop_market", "take_limit", "take_market", "trailing_stop"),
    "stop": ("stop_limit", "stop_market"),
    "stop_all": ("stop_limit", "stop_market"),
    "stop_limit": ("stop_limit",),
    "stop_market": ("stop_market",),
    "take": ("take_limit", "take_market"),
    "take_all": ("take_limit", "take_market"),
    "take_limit": ("take_limit",),
    "take_market": ("take_market",),
    "trailing_all": ("trailing_stop",),
    "trailing_stop": ("trailing_stop",),
}
OPEN_TYPES = tuple(name for name in GROUPS if name not in ("stop", "take"))


def of_type(order: Order, group: str) -> bool:
    """What waits for another order is among those that wait for a price, whatever its type."""
    return order_type(order) in GROUPS[group] or (order.waits and group == "trigger_all")


def find(venue: "DeribitVenue", account: Account, order_id: str) -> Order:
    """An order for the engine to act upon. Raises where the id is malformed, unknown or another account's."""
    order = account.orders.get(order_id)
    if order is not None and known(venue, order):
        return order
    if not ORDER_ID.fullmatch(order_id):
        raise RpcError(10025, "invalid_order_id")
    if order is None and any(order_id in other.orders for other in venue.exchange.ledger.accounts.values()):
        raise Refusal(Reason.NOT_OWNER)
    raise Refusal(Reason.UNKNOWN_ORDER)


def find_visible(venue: "DeribitVenue", account: Account, order_id: str) -> Order:
    """An order for a query, which new orders may be hidden from."""
    order = find(venue, account, order_id)
    if venue.hides(order):
        raise Refusal(Reason.UNKNOWN_ORDER)
    return order


def known(venue: "DeribitVenue", order: Order) -> bool:
    """Whether the recent store still has an order: live, or closed not too long ago. The id under which one waited for another
    order is none any more when that was filled."""
    if order.waits and order.state is State.TRIGGERED:
        return False
    return order.is_live or venue.exchange.now_ms - order.updated_ms < venue.forget_closed_after_ms


def select(account: Account, markets: Iterable[Market], group: str = "all") -> list[Order]:
    """The account's live orders in some markets, of a type."""
    names = {market.instrument.name for market in markets}
    return [order for order in account.live.values() if order.instrument in names and of_type(order, group)]
