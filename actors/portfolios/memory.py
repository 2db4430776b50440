"""What is on disk of a portfolio, at hand."""

from collections.abc import Iterable
from itertools import takewhile

import msgspec

from actors._discrepancies import found
from engine.model import (
    CashFlow,
    Discrepancy,
    DiscrepancyKind,
    Portfolio,
    PortfolioOrder,
    PortfolioPosition,
    PortfolioTrade,
)
from engine.store import Change, Put, Store


class Standing(msgspec.Struct, frozen=True):
    """How far the exchange's past was read."""

    looked_ms: int


class Memory:
    """Live orders and positions are kept, the rest is looked up."""

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self._store = store
        mine = f"{name}|"  # what the keys of its rows begin with

        def of_mine(row: tuple[str, object]) -> bool:
            return row[0].startswith(mine)

        self.portfolio: Portfolio | None = store.table("portfolios").get(name)
        self.positions: dict[str, PortfolioPosition] = dict(
            takewhile(of_mine, store.table("portfolio_positions").iterate(start=mine))
        )
        self.live: dict[str, PortfolioOrder] = {
            key: row
            for key, row in takewhile(of_mine, store.table("portfolio_orders").iterate(start=mine))
            if not row.state.terminal
        }
        standing = store.meta(self.standing_key, Standing)
        self.looked_ms: int | None = None if standing is None else standing.looked_ms

    @property
    def standing_key(self) -> str:
        return f"portfolio:{self.name}"

    def order(self, key: str) -> PortfolioOrder | None:
        """As it is known, over or not."""
        known: PortfolioOrder | None = self.live.get(key) or self._store.table("portfolio_orders").get(key)
        return known

    def new_trades(self, trades: Iterable[PortfolioTrade]) -> tuple[PortfolioTrade, ...]:
        """Those that were not counted yet, each once, in the order they happened."""
        counted = self._store.table("portfolio_trades")
        new = {trade.key: trade for trade in trades if counted.get(trade.key) is None}
        return tuple(sorted(new.values(), key=lambda trade: (trade.at_ms, trade.trade_id)))

    def new_flows(self, flows: Iterable[CashFlow]) -> tuple[CashFlow, ...]:
        """The same of lines of the statement."""
        counted = self._store.table("cash_flows")
        return tuple({flow.key: flow for flow in flows if counted.get(flow.key) is None}.values())

    def up_for_review(self, *kinds: DiscrepancyKind) -> tuple[Discrepancy, ...]:
        """Differences of these kinds that were told and are not settled."""
        index, table = self._store.index("discrepancies_to_review"), self._store.table("discrepancies")
        rows = (table.get(key) for _, _, key in index.iterate(prefix=(self.name,)))
        return tuple(row for row in rows if row is not None and row.kind in kinds)

    def is_news(self, discrepancy: Discrepancy) -> bool:
        """Whether it was never told before."""
        return found(self._store, discrepancy) is not None

    def took(self, changes: Iterable[Change]) -> None:
        """They are on disk now."""
        for change in changes:
            if not isinstance(change, Put):
                continue
            if change.table == "portfolios":
                self.portfolio = change.value
            elif change.table == "portfolio_positions":
                self.positions[change.key] = change.value
            elif change.table == "meta" and change.key == self.standing_key:
                self.looked_ms = change.value.looked_ms
            elif change.table == "portfolio_orders":
                self.live.pop(change.key, None)
                if not change.value.state.terminal:
                    self.live[change.key] = change.value
