"""Fills, positions and balances: what a venue reports of executions and holdings.

A fill is keyed by the venue's trade id within its account and instrument: storing it again changes nothing.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.money import ZERO, checked, positive
from engine.model.terms import Side
from engine.model.text import name


class Liquidity(StrEnum):
    MAKER = "maker"
    TAKER = "taker"


class PositionSide(StrEnum):
    """`NET` in one-way mode; `LONG` and `SHORT` side by side in hedge mode."""

    NET = "net"
    LONG = "long"
    SHORT = "short"


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. `amount` is positive in the venue's unit; a negative `fee` is a rebate."""

    account: str
    instrument: str
    trade_id: str
    order_id: str  # ours, empty for an order placed elsewhere
    client_order_id: str
    venue_order_id: str
    side: Side
    position_side: PositionSide = (
        PositionSide.NET
    )  # whose position it moved, where long and short are held side by side
    price: Decimal
    amount: Decimal
    fee: Decimal = ZERO
    fee_currency: str = ""
    liquidity: Liquidity = Liquidity.TAKER
    filled_at_ms: int

    @property
    def key(self) -> str:
        """Where it is stored: account, instrument, trade id."""
        return f"{self.account}|{self.instrument}|{self.trade_id}"

    @property
    def position_key(self) -> str:
        """As `Position.key`: account, instrument, side."""
        return f"{self.account}|{self.instrument}|{self.position_side}"

    def check(self) -> None:
        positive(self.price, "price")
        positive(self.amount, "amount")
        checked(self.fee, "fee")
        name(self.trade_id, "trade_id")
        name(self.instrument, "instrument")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A holding as the venue reports it.

    `amount` is signed (short below zero); profit is in the settlement currency.
    """

    account: str
    instrument: str
    side: PositionSide = PositionSide.NET
    amount: Decimal
    average_price: Decimal | None = None
    mark_price: Decimal | None = None
    unrealised_pnl: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    currency: str = ""
    updated_at_ms: int

    @property
    def key(self) -> str:
        return f"{self.account}|{self.instrument}|{self.side}"

    def check(self) -> None:
        name(self.instrument, "instrument")
        checked(self.amount, "amount")
        checked(self.unrealised_pnl, "unrealised_pnl")
        checked(self.realised_pnl, "realised_pnl")


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One currency of an account."""

    account: str
    currency: str
    balance: Decimal
    equity: Decimal
    available: Decimal
    initial_margin: Decimal = ZERO
    maintenance_margin: Decimal = ZERO
    updated_at_ms: int

    @property
    def key(self) -> str:
        return f"{self.account}|{self.currency}"

    def check(self) -> None:
        name(self.currency, "currency")
        for field in ("balance", "equity", "available", "initial_margin", "maintenance_margin"):
            checked(getattr(self, field), field)
