"""Portfolios: an account at any exchange, seen as money to allocate, holdings and orders to follow."""

from decimal import Decimal

import msgspec

from engine.model.money import ZERO
from engine.model.orders.order import OrderState
from engine.model.terms import Side


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """Money is in `trading_symbol`. `unallocated` is free to be used; `net_size` with what was made or lost."""

    identifier: str
    market: str
    trading_symbol: str
    initial_balance: Decimal | None = None
    unallocated: Decimal = ZERO
    net_size: Decimal = ZERO
    realized: Decimal = ZERO
    total_revenue: Decimal = ZERO
    total_cost: Decimal = ZERO
    total_net_gain: Decimal = ZERO
    total_trade_volume: Decimal = ZERO
    initialized: bool = False
    created_at_ms: int
    updated_at_ms: int


class PortfolioPosition(msgspec.Struct, frozen=True, kw_only=True):
    """One holding. `amount` free and used of a currency, or signed contracts where `contract` is True."""

    portfolio_id: str
    symbol: str
    amount: Decimal
    free: Decimal | None = None
    cost: Decimal = ZERO
    contract: bool = False
    updated_at_ms: int

    @property
    def key(self) -> str:
        return f"{self.portfolio_id}|{self.symbol}"


class PortfolioOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order of a portfolio, followed at its exchange until the exchange says how it ended."""

    portfolio_id: str
    external_id: str
    symbol: str
    side: Side
    order_type: str
    amount: Decimal
    price: Decimal | None
    state: OrderState
    filled_amount: Decimal = ZERO
    average_price: Decimal | None = None
    fee: Decimal = ZERO
    fee_currency: str = ""
    missing_since_ms: int | None = None  # the exchange does not know it since then, and nothing is concluded from it
    reason: str = ""
    created_at_ms: int
    updated_at_ms: int

    @property
    def key(self) -> str:
        return f"{self.portfolio_id}|{self.external_id}"
