"""Methods that look: nothing changes, nobody is asked to do anything. Long listings are cut, and say so."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors.admin._desk import Desk, Limit, Method, Nothing, OrderId, Text
from actors.admin._market import market_view
from actors.parts import NodeParts
from actors.status import Status, status
from engine.kernel import TreeNode
from engine.model import (
    Balance,
    Fill,
    MarketSummary,
    Notice,
    Order,
    OrderState,
    Position,
    Severity,
    instrument_id,
    is_account,
    split_instrument,
)
from engine.settings import show
from engine.store import Store

T = TypeVar("T")

DEFAULT_LIMIT = 100
MAX_SCANNED = 50_000  # rows a filter may pass over
SCANNED_PER_TURN = 128  # rows read before others get the loop
LIVE = tuple(state for state in OrderState if not state.terminal)


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """`more`: there are, or may be, items beyond these."""

    items: list[T]
    more: bool


class Orders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first. Without `all` or `state` only those that are not over."""

    all: bool = False
    limit: Limit = DEFAULT_LIMIT
    instrument: Text = ""
    account: Text = ""
    strategy: Text = ""
    state: OrderState | None = None


class Fills(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first."""

    limit: Limit = DEFAULT_LIMIT
    instrument: Text = ""
    account: Text = ""
    order_id: OrderId | None = None


class Holdings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`all` shows what is empty too."""

    all: bool = False
    account: Text = ""


class Notices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first, of `severity` and above."""

    limit: Limit = DEFAULT_LIMIT
    severity: Severity = Severity.INFO


class Market(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`depth` levels a side and the newest `bars` of each interval."""

    instrument: Text
    depth: Limit = 10
    bars: Limit = 5


class OneOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    order_id: OrderId


class OrderAndFills(msgspec.Struct, frozen=True):
    order: Order
    fills: list[Fill]


def full_name(parts: NodeParts, instrument: str) -> str:
    """`venue:symbol` of a bare symbol; empty stays empty."""
    return instrument_id(*split_instrument(instrument, parts.default_venue)) if instrument else ""


async def gather(rows: Iterable[T], keep: Callable[[T], bool], limit: int) -> Listing[T]:
    """The first `limit` rows that are wanted, letting others run meanwhile."""
    items: list[T] = []
    for scanned, row in enumerate(rows, start=1):
        if keep(row):
            if len(items) == limit:
                return Listing(items, more=True)
            items.append(row)
        if scanned == MAX_SCANNED:
            return Listing(items, more=True)
        if scanned % SCANNED_PER_TURN == 0:
            await trio.lowlevel.checkpoint()
    return Listing(items, more=False)


def newest(store: Store, table: str, by_time: str) -> Iterator[Any]:
    """Rows by an index of their times, the newest first, without those that went since the index was read."""
    rows = store.table(table)
    for _, key in store.index(by_time).iterate(reverse=True):
        row = rows.get(key)
        if row is not None:
            yield row


async def show_status(desk: Desk, _: Nothing) -> Status:
    return status(desk.parts)


async def show_tree(desk: Desk, _: Nothing) -> TreeNode:
    return desk.parts.system.tree()


async def feeds(desk: Desk, _: Nothing) -> Listing[MarketSummary]:
    now_s = desk.parts.clock.monotonic_s()
    markets = [market for venue in desk.parts.venues.values() for market in venue.state.markets.values()]
    return Listing([market.summary(now_s) for market in markets], more=False)


async def positions(desk: Desk, params: Holdings) -> Listing[Position]:
    rows = (position for _, position in desk.parts.store.table("positions").iterate())
    return await gather(
        rows, lambda row: (params.all or row.amount != 0) and is_account(params.account, row.account), 10_000
    )


async def balances(desk: Desk, params: Holdings) -> Listing[Balance]:
    rows = (balance for _, balance in desk.parts.store.table("balances").iterate())
    return await gather(
        rows,
        lambda row: (params.all or row.balance != 0 or row.equity != 0) and is_account(params.account, row.account),
        10_000,
    )


async def orders(desk: Desk, params: Orders) -> Listing[Order]:
    states = (params.state,) if params.state else tuple(OrderState) if params.all else LIVE
    instrument = full_name(desk.parts, params.instrument)

    def keep(order: Order) -> bool:
        return (
            (not instrument or order.instrument == instrument)
            and is_account(params.account, order.account)
            and (not params.strategy or order.strategy == params.strategy)
        )

    return await gather(desk.parts.store.orders_in(states, reverse=True), keep, params.limit)


async def fills(desk: Desk, params: Fills) -> Listing[Fill]:
    instrument = full_name(desk.parts, params.instrument)

    def keep(fill: Fill) -> bool:
        return (not instrument or fill.instrument == instrument) and is_account(params.account, fill.account)

    store, order_id = desk.parts.store, params.order_id
    rows = newest(store, "fills", "fills_by_time") if order_id is None else store.fills_of(order_id)
    return await gather(rows, keep, params.limit)


async def notices(desk: Desk, params: Notices) -> Listing[Notice]:
    wanted = set(list(Severity)[list(Severity).index(params.severity) :])
    rows = newest(desk.parts.store, "notices", "notices_by_time")
    return await gather(rows, lambda notice: notice.severity in wanted, params.limit)


async def order_show(desk: Desk, params: OneOrder) -> OrderAndFills:
    order = find_order(desk.parts, params.order_id)
    return OrderAndFills(order, list(desk.parts.store.fills_of(order.order_id)))


def find_order(parts: NodeParts, order_id: str) -> Order:
    """The stored order. Raises RpcError."""
    order = parts.store.order(order_id)
    if order is None:
        raise rpc.refused("ORDER_UNKNOWN", "order_id", "the id of a stored order", order_id)
    return order


async def market_get(desk: Desk, params: Market) -> dict[str, Any]:
    market = desk.parts.market(params.instrument)
    if market is None:
        known = sorted(
            market.instrument for venue in desk.parts.venues.values() for market in venue.state.markets.values()
        )
        expected = f"one that is followed: {', '.join(known[:20]) or 'none is'}"
        raise rpc.refused("INSTRUMENT_UNKNOWN", "instrument", expected, params.instrument)
    return market_view(market, params.depth, params.bars, desk.parts.clock.monotonic_s())


async def config_show(desk: Desk, _: Nothing) -> dict[str, Any]:
    return show(desk.control.settings)


METHODS = {
    "status": Method(Nothing, show_status),
    "tree": Method(Nothing, show_tree),
    "feeds": Method(Nothing, feeds),
    "positions": Method(Holdings, positions),
    "balances": Method(Holdings, balances),
    "orders": Method(Orders, orders),
    "fills": Method(Fills, fills),
    "notices": Method(Notices, notices),
    "order.show": Method(OneOrder, order_show),
    "market.get": Method(Market, market_get),
    "config.show": Method(Nothing, config_show),
}
