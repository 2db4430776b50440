"""The two venues of the accounts drill: how a node reaches them, what people may do there, and what is really so."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from engine.model import OrderState, Side
from scripts.drills._both_venues import (
    BINANCE_STATES,
    DERIBIT_STATES,
    Place,
    Section,
    binance_section,
    deribit_section,
)

__all__ = ["GROUNDS", "Contract", "Ground", "TrueFill", "TrueOrder", "Truth"]

D = Decimal


class Contract(msgspec.Struct, frozen=True):
    """`amount`: of the smallest order, and `digits` of its prices. `outside`: its name in ccxt, where amounts count `unit`s."""

    symbol: str
    amount: Decimal
    currency: str
    inverse: bool
    outside: str
    digits: int = 0
    unit: Decimal = D(1)


class TrueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order at the venue, in our words."""

    venue_order_id: str
    client_id: str
    symbol: str
    state: OrderState
    amount: Decimal
    filled: Decimal

    @property
    def live(self) -> bool:
        return self.state is OrderState.OPEN


class TrueFill(msgspec.Struct, frozen=True, kw_only=True):
    """One fill at the venue; `fee` as it was charged."""

    trade_id: str
    venue_order_id: str
    symbol: str
    side: Side
    price: Decimal
    amount: Decimal
    fee: Decimal
    at_ms: int

    @property
    def key(self) -> str:
        """Trade ids are unique within a symbol."""
        return f"{self.symbol}|{self.trade_id}"

    @property
    def signed(self) -> Decimal:
        return self.amount if self.side is Side.BUY else -self.amount


class Truth(msgspec.Struct, frozen=True):
    """What is really so of an account. `orders` by the venue's id and `fills` by their key, both oldest first; `positions` by symbol, without
    those that are flat.
    """

    orders: dict[str, TrueOrder]
    fills: dict[str, TrueFill]
    positions: dict[str, Decimal]
    balances: dict[str, Decimal]


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """One venue as the drill sees it. `money`: what people move in and out, by currency. `exact`: how near two balances must be.
    `exchange`: its name in ccxt, where a portfolio counts its money in `purse`. `one_purse`: where the account is one of a purse's pockets, its statement calls all that comes and goes a transfer.
    """

    name: str
    truth_name: str
    contracts: tuple[Contract, ...]
    money: dict[str, Decimal]
    exact: Decimal
    one_purse: bool
    exchange: str
    purse: str
    ticker: tuple[str, str]
    mark_of: Callable[[Mapping[str, Any]], Any]
    section: Section
    http: Callable[[Place], str]
    read: Callable[[Mapping[str, Any]], Truth]

    @property
    def account(self) -> str:
        return f"{self.name}:main"

    def contract(self, symbol: str) -> Contract:
        return next(contract for contract in self.contracts if contract.symbol == symbol)

    def instrument(self, symbol: str) -> str:
        return f"{self.name}:{symbol}"


def _decimal(value: Any) -> Decimal:
    return D(str(value))


def _held(truth: Mapping[str, Any]) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    positions = {name: _decimal(size) for name, size in truth["positions"].items() if _decimal(size)}
    return positions, {name: _decimal(amount) for name, amount in truth["balances"].items()}


# ── Deribit ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _deribit_truth(truth: Mapping[str, Any]) -> Truth:
    orders = {
        row["order_id"]: TrueOrder(
            venue_order_id=row["order_id"],
            client_id=row["label"],
            symbol=row["instrument_name"],
            state=DERIBIT_STATES[row["state"]],
            amount=_decimal(row["amount"]),
            filled=_decimal(row["filled_amount"]),
        )
        for row in truth["orders"].values()
        if row["state"] != "rejected"
    }
    fills = [
        TrueFill(
            trade_id=row["trade_id"],
            venue_order_id=row["order_id"],
            symbol=row["instrument_name"],
            side=Side(row["direction"]),
            price=_decimal(row["price"]),
            amount=_decimal(row["amount"]),
            fee=_decimal(row["fee"]),
            at_ms=row["timestamp"],
        )
        for row in truth["fills"]
    ]
    return Truth(orders, {fill.key: fill for fill in fills}, *_held(truth))


DERIBIT = Ground(
    name="deribit",
    truth_name="deribit",
    contracts=(
        Contract("BTC-PERPETUAL", D(10), "BTC", inverse=True, outside="BTC/USD:BTC"),
        Contract("ETH-PERPETUAL", D(5), "ETH", inverse=True, outside="ETH/USD:ETH", digits=1),
        Contract("BTC_USDC-PERPETUAL", D("0.001"), "USDC", inverse=False, outside="BTC/USDC:USDC"),
    ),
    money={"BTC": D("0.75"), "ETH": D("4.5"), "USDC": D("1234.5")},
    exact=D("0.000001"),
    one_purse=False,
    exchange="deribit",
    purse="BTC",
    ticker=("/public/ticker", "instrument_name"),
    mark_of=lambda answer: answer["result"]["mark_price"],
    section=deribit_section,
    http=lambda place: place.deribit_http,
    read=_deribit_truth,
)


# ── Binance USD-M ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _binance_truth(truth: Mapping[str, Any]) -> Truth:
    orders = {
        str(row["order_id"]): TrueOrder(
            venue_order_id=str(row["order_id"]),
            client_id=row["client_id"],
            symbol=row["symbol"],
            state=BINANCE_STATES[row["status"]],
            amount=_decimal(row["quantity"]),
            filled=_decimal(row["filled"]),
        )
        for row in truth["orders"].values()
    }
    fills = [
        TrueFill(
            trade_id=str(row["trade_id"]),
            venue_order_id=str(row["order_id"]),
            symbol=row["symbol"],
            side=Side(row["side"].lower()),
            price=_decimal(row["price"]),
            amount=_decimal(row["quantity"]),
            fee=_decimal(row["fee"]),
            at_ms=row["time"],
        )
        for row in truth["fills"]
    ]
    return Truth(orders, {fill.key: fill for fill in fills}, *_held(truth))


BINANCE = Ground(
    name="binance",
    truth_name="binance_usdm",
    contracts=(
        Contract("BTCUSDT", D("0.004"), "USDT", inverse=False, outside="BTC/USDT:USDT"),
        Contract("ETHUSDT", D("0.05"), "USDT", inverse=False, outside="ETH/USDT:USDT", digits=1),
    ),
    money={"USDT": D("1234.5")},
    exact=D("0.000001"),
    one_purse=True,
    exchange="binanceusdm",
    purse="USDT",
    ticker=("/fapi/v1/premiumIndex", "symbol"),
    mark_of=lambda answer: answer["markPrice"],
    section=binance_section,
    http=lambda place: place.binance_http,
    read=_binance_truth,
)

GROUNDS = (DERIBIT, BINANCE)
