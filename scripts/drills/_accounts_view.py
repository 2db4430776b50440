"""What a store states of the account in the accounts drill, all of it, read once."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from engine.model import (
    Balance,
    CashFlow,
    Discrepancy,
    ExternalOrder,
    Fill,
    Held,
    Notice,
    Order,
    Portfolio,
    PortfolioOrder,
    PortfolioPosition,
    PortfolioTrade,
    Position,
    PositionRecord,
)
from engine.store import Put, Store

__all__ = ["Outside", "View", "key_of", "node_part_of", "view_of"]

TABLES = (
    "orders",
    "fills",
    "positions",
    "balances",
    "cash_flows",
    "external_orders",
    "discrepancies",
    "notices",
    "portfolio_positions",
    "portfolio_orders",
    "portfolio_trades",
)


class Outside(msgspec.Struct, frozen=True):
    """What the store states of the portfolio."""

    portfolio: Portfolio | None
    positions: tuple[PortfolioPosition, ...]
    orders: tuple[PortfolioOrder, ...]
    trades: tuple[PortfolioTrade, ...]
    discrepancies: tuple[Discrepancy, ...]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """`records` are in the order they were stored, `books` by instrument, `crashes` ends of actors. `told`: how often each discrepancy and each notice was stored for the first time."""

    node_part: str
    orders: dict[str, Order]
    fills: tuple[Fill, ...]
    positions: tuple[Position, ...]
    balances: tuple[Balance, ...]
    flows: tuple[CashFlow, ...]
    external: tuple[ExternalOrder, ...]
    discrepancies: tuple[Discrepancy, ...]
    notices: tuple[Notice, ...]
    records: tuple[PositionRecord, ...]  # in the order they were stored
    books: dict[str, Held]  # by instrument
    told: Counter[str]
    crashes: tuple[str, ...]
    outside: Outside

    @property
    def known_fills(self) -> dict[str, Fill]:
        """By the venue's words, as `TrueFill.key`; of one stored twice the last."""
        return {key_of(fill): fill for fill in self.fills}


def view_of(path: Path, account: str) -> View:
    """Read a store, live or not. What is not of `account` is of the portfolio."""
    with Store.open(path, read_only=True) as store:
        rows: dict[str, tuple[Any, ...]] = {
            name: tuple(row for _, row in store.table(name).iterate()) for name in TABLES
        }
        told: Counter[str] = Counter()
        crashes, records = [], []
        for entry in store.journal():
            if entry.kind.startswith("actor."):
                crashes.append(f"{entry.kind} {entry.actor} {entry.note}")
            for change in entry.changes:
                if isinstance(change, Put) and change.table == "position_records":
                    records.append(change.value)
                elif isinstance(change, Put) and _is_new(change):
                    told[f"{change.table} {change.key}"] += 1
        return View(
            node_part=store.node_part,
            orders={order.order_id: order for order in rows["orders"]},
            fills=rows["fills"],
            positions=rows["positions"],
            balances=rows["balances"],
            flows=tuple(row for row in rows["cash_flows"] if row.account == account),
            external=rows["external_orders"],
            discrepancies=tuple(row for row in rows["discrepancies"] if row.account == account),
            notices=rows["notices"],
            records=tuple(records),
            books={book.instrument: book.held for _, book in store.table("position_books").iterate()},
            told=told,
            crashes=tuple(crashes),
            outside=Outside(
                next((row for _, row in store.table("portfolios").iterate()), None),
                rows["portfolio_positions"],
                rows["portfolio_orders"],
                rows["portfolio_trades"],
                tuple(row for row in rows["discrepancies"] if row.account != account),
            ),
        )


def node_part_of(path: Path) -> str:
    with Store.open(path, read_only=True) as store:
        return store.node_part


def _is_new(change: Put) -> bool:
    """Whether a row of a telling table was stored for the first time, and not changed by what came of it."""
    if change.table == "discrepancies":
        return change.value.settled_at_ms is None and not change.value.note
    return change.table == "notices" and not change.value.delivered_to


def key_of(fill: Fill) -> str:
    """In the venue's words, as `TrueFill.key`."""
    return f"{fill.instrument.partition(':')[2]}|{fill.trade_id}"
