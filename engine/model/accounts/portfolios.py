"""Portfolios: an account at any exchange, seen as money to allocate, holdings, orders to follow and trades.

Symbols are ccxt's: `BTC/USDT` is exchanged at once, one with a colon (`BTC/USDT:USDT`) is a contract settled in what follows it.
"""

from decimal import Decimal

import msgspec

from engine.model.accounts.fills import PositionSide
from engine.model.errors import ModelError
from engine.model.money import ZERO, checked
from engine.model.orders.order import OrderState
from engine.model.terms import Side
from engine.model.text import name


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """Money is in `trading_symbol`. `unallocated` is free to be used; `net_size` is what was put in, with what was made or lost.

    `unclaimed` is available at the exchange beyond what `initial_balance` gave the portfolio. `inferred` is money that came or went
    without a line in the exchange's statement yet. `halted`: out of step, until a person accepts what the exchange has.
    """

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
    unclaimed: Decimal = ZERO
    inferred: Decimal = ZERO
    halted: bool = False
    created_at_ms: int
    updated_at_ms: int


class PortfolioPosition(msgspec.Struct, frozen=True, kw_only=True):
    """One holding. `amount` free and used of a currency, or signed contracts where `contract` is True."""

    portfolio_id: str
    symbol: str
    side: PositionSide = PositionSide.NET
    amount: Decimal
    free: Decimal | None = None
    cost: Decimal = ZERO  # in the trading symbol: what the amount was bought for, as far as trades are known
    contract: bool = False
    updated_at_ms: int

    @property
    def key(self) -> str:
        return f"{self.portfolio_id}|{self.symbol}|{self.side}"


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

    @property
    def acknowledged(self) -> bool:
        """Whether the exchange has said that it has the order: what it holds for one is not free there."""
        return self.state not in (OrderState.WAITING, OrderState.SUBMITTING, OrderState.UNKNOWN)

    def check(self) -> None:
        name(self.external_id, "external_id")
        name(self.symbol, "symbol")
        for field, value in (("amount", self.amount), ("filled_amount", self.filled_amount)):
            if checked(value, field) < ZERO:
                raise ModelError(field, "0 or more", str(value))
        if self.price is not None:
            checked(self.price, "price")


class PortfolioTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One execution in a portfolio, counted once by its trade id."""

    portfolio_id: str
    trade_id: str
    external_id: str  # of its order; empty where the exchange does not say
    symbol: str
    side: Side
    price: Decimal
    amount: Decimal
    fee: Decimal = ZERO
    fee_currency: str = ""
    at_ms: int

    @property
    def key(self) -> str:
        return f"{self.portfolio_id}|{self.symbol}|{self.trade_id}"


def is_contract(symbol: str) -> bool:
    """Whether what is bought is a contract: its price is not paid, only margin is kept for it."""
    return ":" in symbol


def traded_pair(symbol: str) -> tuple[str, str]:
    """What is bought and what it is paid in."""
    base, _, quote = symbol.partition(":")[0].partition("/")
    return base, quote
