"""The tables of a node, and what is derived from them."""

from collections.abc import Iterable
from typing import Any

import msgspec

from engine.model import (
    Balance,
    CashFlow,
    Discrepancy,
    ExternalOrder,
    Fill,
    Notice,
    Order,
    OrderState,
    Plan,
    PlanState,
    Portfolio,
    PortfolioOrder,
    PortfolioPosition,
    PortfolioTrade,
    Position,
    PositionBook,
    PositionRecord,
    PositionSide,
)
from engine.store.journal import Commit
from engine.store.keys import KeyCodec
from engine.store.tables import IndexSpec, RowReader, Schema, TableSpec, Totals

__all__ = ["TRADENODE"]

VERSION = 3


class OrderView(msgspec.Struct, frozen=True):
    order_id: str
    state: OrderState
    created_at_ms: int
    request_key: str = ""


class FillView(msgspec.Struct, frozen=True):
    account: str
    instrument: str
    trade_id: str
    order_id: str
    filled_at_ms: int

    key = Fill.key


class PositionView(msgspec.Struct, frozen=True):
    account: str
    instrument: str
    side: PositionSide
    updated_at_ms: int

    key = Position.key


class NoticeView(msgspec.Struct, frozen=True):
    notice_id: str
    at_ms: int


class PlanOrderView(msgspec.Struct, frozen=True):
    request_key: str = ""


class PlanRequestView(msgspec.Struct, frozen=True):
    order: PlanOrderView


class PlanView(msgspec.Struct, frozen=True):
    plan_id: str
    state: PlanState
    updated_at_ms: int
    request: PlanRequestView

    @property
    def request_key(self) -> str:
        return self.request.order.request_key


class RecordView(msgspec.Struct, frozen=True):
    record_id: str
    account: str
    instrument: str
    side: PositionSide
    at_ms: int
    order_id: str = ""

    position_key = PositionRecord.position_key


class FlowView(msgspec.Struct, frozen=True):
    account: str
    currency: str
    flow_id: str
    at_ms: int

    key = CashFlow.key


class DiscrepancyView(msgspec.Struct, frozen=True):
    discrepancy_id: str
    account: str
    review: bool
    found_at_ms: int
    settled_at_ms: int | None = None


class PortfolioOrderView(msgspec.Struct, frozen=True):
    portfolio_id: str
    external_id: str
    state: OrderState
    updated_at_ms: int

    key = PortfolioOrder.key


class PortfolioTradeView(msgspec.Struct, frozen=True):
    portfolio_id: str
    symbol: str
    trade_id: str
    at_ms: int

    key = PortfolioTrade.key


def _order_number(order_id: str) -> int:
    """The number in `<node part>-<number>`; 0 for an id of another form."""
    number = order_id.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def _by_state(order: OrderView) -> tuple[str, int, int, str]:
    """By age within a state; the number tells orders of one millisecond apart."""
    return order.state, order.created_at_ms, _order_number(order.order_id), order.order_id


def tally_orders(before: OrderView | None, after: OrderView | None, totals: Totals) -> None:
    """Orders by state. Deleting a terminal order leaves its count: the totals are of the store's whole life."""
    if before is None and after is not None:
        totals["accepted"] = totals.get("accepted", 0) + 1
        totals["last_order_number"] = max(totals.get("last_order_number", 0), _order_number(after.order_id))
    if before is not None and (after is not None or not before.state.terminal):
        totals[before.state] = totals.get(before.state, 0) - 1
    if after is not None:
        totals[after.state] = totals.get(after.state, 0) + 1


def tally_fills(before: FillView | None, after: FillView | None, totals: Totals) -> None:
    if before is None and after is not None:
        totals["fills"] = totals.get("fills", 0) + 1


ORDERS = TableSpec[Order](
    "orders",
    KeyCodec(str),
    Order,
    key_of=lambda order: order.order_id,
    view=OrderView,
    indexes=(
        IndexSpec("orders_by_state", KeyCodec(str, int, int, str), _by_state),
        IndexSpec(
            "orders_by_request", KeyCodec(str, str), lambda o: (o.request_key, o.order_id) if o.request_key else None
        ),
    ),
    tally=tally_orders,
)
FILLS = TableSpec[Fill](
    "fills",
    KeyCodec(str),
    Fill,
    key_of=lambda fill: fill.key,
    view=FillView,
    indexes=(
        IndexSpec("fills_by_time", KeyCodec(int, str), lambda f: (f.filled_at_ms, f.key)),
        IndexSpec("fills_by_order", KeyCodec(str, str), lambda f: (f.order_id, f.key) if f.order_id else None),
    ),
    tally=tally_fills,
)
NOTICES = TableSpec[Notice](
    "notices",
    KeyCodec(str),
    Notice,
    key_of=lambda notice: notice.notice_id,
    view=NoticeView,
    indexes=(IndexSpec("notices_by_time", KeyCodec(int, str), lambda n: (n.at_ms, n.notice_id)),),
)
POSITIONS = TableSpec[Position]("positions", KeyCodec(str), Position, key_of=lambda position: position.key)
POSITION_CHANGES = TableSpec[Position](
    "position_changes",
    KeyCodec(str, int),
    Position,
    key_of=lambda position: (position.key, position.updated_at_ms),
    view=PositionView,
    indexes=(IndexSpec("position_changes_by_time", KeyCodec(int, str), lambda p: (p.updated_at_ms, p.key)),),
)
PLANS = TableSpec[Plan](
    "plans",
    KeyCodec(str),
    Plan,
    key_of=lambda plan: plan.plan_id,
    view=PlanView,
    indexes=(
        IndexSpec("plans_by_state", KeyCodec(str, int, str), lambda p: (p.state, p.updated_at_ms, p.plan_id)),
        IndexSpec(
            "plans_by_request", KeyCodec(str, str), lambda p: (p.request_key, p.plan_id) if p.request_key else None
        ),
    ),
)
BALANCES = TableSpec[Balance]("balances", KeyCodec(str), Balance, key_of=lambda balance: balance.key)
POSITION_RECORDS = TableSpec[PositionRecord](
    "position_records",
    KeyCodec(str, int, str),
    PositionRecord,
    key_of=lambda record: (record.position_key, record.at_ms, record.record_id),
    view=RecordView,
    indexes=(
        IndexSpec(
            "position_records_by_time", KeyCodec(int, str, str), lambda r: (r.at_ms, r.position_key, r.record_id)
        ),
        IndexSpec(
            "position_records_by_order",
            KeyCodec(str, str, int, str),
            lambda r: (r.order_id, r.position_key, r.at_ms, r.record_id) if r.order_id else None,
        ),
    ),
)
POSITION_BOOKS = TableSpec[PositionBook]("position_books", KeyCodec(str), PositionBook, key_of=lambda book: book.key)
CASH_FLOWS = TableSpec[CashFlow](
    "cash_flows",
    KeyCodec(str),
    CashFlow,
    key_of=lambda flow: flow.key,
    view=FlowView,
    indexes=(IndexSpec("cash_flows_by_time", KeyCodec(int, str), lambda f: (f.at_ms, f.key)),),
)
DISCREPANCIES = TableSpec[Discrepancy](
    "discrepancies",
    KeyCodec(str),
    Discrepancy,
    key_of=lambda found: found.discrepancy_id,
    view=DiscrepancyView,
    indexes=(
        IndexSpec("discrepancies_by_time", KeyCodec(int, str), lambda d: (d.found_at_ms, d.discrepancy_id)),
        IndexSpec(
            "discrepancies_to_review",
            KeyCodec(str, int, str),
            lambda d: (d.account, d.found_at_ms, d.discrepancy_id) if d.review and d.settled_at_ms is None else None,
        ),
    ),
)
EXTERNAL_ORDERS = TableSpec[ExternalOrder](
    "external_orders", KeyCodec(str), ExternalOrder, key_of=lambda order: order.key
)
PORTFOLIOS = TableSpec[Portfolio]("portfolios", KeyCodec(str), Portfolio, key_of=lambda portfolio: portfolio.identifier)
PORTFOLIO_POSITIONS = TableSpec[PortfolioPosition](
    "portfolio_positions", KeyCodec(str), PortfolioPosition, key_of=lambda position: position.key
)
PORTFOLIO_ORDERS = TableSpec[PortfolioOrder](
    "portfolio_orders",
    KeyCodec(str),
    PortfolioOrder,
    key_of=lambda order: order.key,
    view=PortfolioOrderView,
    indexes=(
        IndexSpec(
            "portfolio_orders_ended",
            KeyCodec(int, str),
            lambda o: (o.updated_at_ms, o.key) if o.state.terminal else None,
        ),
    ),
)
PORTFOLIO_TRADES = TableSpec[PortfolioTrade](
    "portfolio_trades",
    KeyCodec(str),
    PortfolioTrade,
    key_of=lambda trade: trade.key,
    view=PortfolioTradeView,
    indexes=(IndexSpec("portfolio_trades_by_time", KeyCodec(int, str), lambda t: (t.at_ms, t.key)),),
)
TASKS = TableSpec[dict[str, Any]]("tasks", KeyCodec(str), dict[str, Any])
KEYS = TableSpec[dict[str, Any]]("keys", KeyCodec(str), dict[str, Any])
DEAD_LETTERS = TableSpec[dict[str, Any]]("dead_letters", KeyCodec(str), dict[str, Any])
META = TableSpec[Any]("meta", KeyCodec(str), Any)


def _add_plans(_rows: RowReader) -> Iterable[Commit]:
    """Version 2 has the table `plans`, empty at first."""
    return ()


def _add_accounts(_rows: RowReader) -> Iterable[Commit]:
    """Version 3 has the tables of position records, statements, discrepancies and portfolios, empty at first."""
    return ()


TRADENODE = Schema(
    VERSION,
    (
        ORDERS,
        FILLS,
        POSITIONS,
        POSITION_CHANGES,
        BALANCES,
        TASKS,
        KEYS,
        NOTICES,
        DEAD_LETTERS,
        META,
        PLANS,
        POSITION_RECORDS,
        POSITION_BOOKS,
        CASH_FLOWS,
        DISCREPANCIES,
        EXTERNAL_ORDERS,
        PORTFOLIOS,
        PORTFOLIO_POSITIONS,
        PORTFOLIO_ORDERS,
        PORTFOLIO_TRADES,
    ),
    {1: _add_plans, 2: _add_accounts},
)
