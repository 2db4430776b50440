"""Acts done by hand, on any exchange: what is common to the venues' faces, and what each must bring."""

from abc import ABC, abstractmethod
from decimal import Decimal
from itertools import takewhile
from typing import Any

from engine.simulator.accounts import Account
from engine.simulator.acts import (
    ActRefused,
    AnyAct,
    CancelOrder,
    ClosePosition,
    Deposit,
    FillOrder,
    MoneyAct,
    PayFunding,
    PlaceOrder,
    TransferIn,
    Withdraw,
    check,
)
from engine.simulator.exchange import Exchange
from engine.simulator.margin import view
from engine.simulator.market import Market
from engine.simulator.orders import Fill, Order
from engine.simulator.refusal import Reason, Refusal

__all__ = ["Hand"]


class Hand(ABC):
    """`do` is the whole of it; a venue's own hand knows how orders are written down there, and who is told what."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def do(self, act: AnyAct) -> dict[str, Any]:
        """Do it, and say what was done to the account: its orders, its trades, and what else moved its money.

        Raises ActRefused.
        """
        check(act)
        account = self.exchange.account(act.account)
        lines = account.log_count
        try:
            self._do(account, act)
        except Refusal as refusal:
            raise ActRefused(str(refusal)) from refusal
        else:
            return self._report(account, act, lines)
        finally:
            self.exchange.flush()

    def _do(self, account: Account, act: AnyAct) -> None:
        if isinstance(act, MoneyAct):
            self._move(account, act)
        elif isinstance(act, PlaceOrder):
            self.place(account, act)
        elif isinstance(act, ClosePosition):
            self.close(account, self.exchange.market(act.symbol))
        elif isinstance(act, CancelOrder):
            self.cancel(account, str(act.order_id))
        elif isinstance(act, FillOrder):
            order = self.order(account, str(act.order_id))
            self.exchange.take(order, order.remaining if act.amount is None else act.amount)
        else:
            assert isinstance(act, PayFunding), "there are no other acts"
            self.fund(self.exchange.market(act.symbol), act.rate)

    def order(self, account: Account, order_id: str) -> Order:
        order = account.orders.get(order_id)
        if order is None:
            raise Refusal(Reason.UNKNOWN_ORDER, order_id)
        return order

    def cancel(self, account: Account, order_id: str) -> None:
        self.exchange.cancel(self.order(account, order_id))

    # -- what the venue brings

    @abstractmethod
    def place(self, account: Account, act: PlaceOrder) -> None:
        """Place an order as people do. Raises Refusal or ActRefused."""

    @abstractmethod
    def close(self, account: Account, market: Market) -> None:
        """Close what is held in a market at its prices. Raises Refusal or ActRefused."""

    @abstractmethod
    def fund(self, market: Market, rate: Decimal | None) -> None:
        """Let a market's positions pay funding now."""

    def moved(self, account: Account, currency: str, amount: Decimal) -> None:
        """Money came or went: whoever is to be told is told."""
        self.exchange.note_wallet(account, currency)

    # -- money

    def _move(self, account: Account, act: MoneyAct) -> None:
        amount, currency = act.amount, act.currency
        if currency not in account.wallets:
            raise ActRefused(f"currency: expected one of {', '.join(account.wallets)}, got {currency!r}")
        if amount <= 0:
            raise ActRefused(f"amount: expected more than 0, got {amount}")
        if not isinstance(act, Deposit | TransferIn):
            self._check_free(account, currency, amount)
            amount = -amount
        kind = {Deposit: "deposit", Withdraw: "withdrawal"}.get(type(act), "transfer")
        self.exchange.ledger.move(account, kind, currency, amount, self.exchange.now_ms)
        self.moved(account, currency, amount)

    def _check_free(self, account: Account, currency: str, amount: Decimal) -> None:
        free = view(account, currency, self.exchange.markets).available
        if amount > free:
            raise ActRefused(f"amount: expected at most what is free, {free} {currency}, got {amount}")

    # -- the report

    def _report(self, account: Account, act: AnyAct, lines: int) -> dict[str, Any]:
        batch = self.exchange.batch
        new = list(takewhile(lambda entry: entry.entry_id > lines, reversed(account.log)))
        return {
            "do": act.__struct_config__.tag,
            "account": account.name,
            "at_ms": self.exchange.now_ms,
            "orders": [_order(order) for order in batch.orders.values() if order.account == account.name],
            "trades": [_trade(fill) for fill in batch.fills if fill.account == account.name],
            "money": [
                {"kind": entry.kind, "currency": entry.currency, "amount": entry.change, "balance": entry.balance}
                for entry in reversed(new)
                if entry.fill is None
            ],
        }


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "label": order.label,
        "symbol": order.instrument,
        "side": order.side.value,
        "amount": order.amount,
        "filled": order.filled,
        "price": order.price,
        "state": order.state.value,
    }


def _trade(fill: Fill) -> dict[str, Any]:
    return {
        "trade_id": fill.trade.trade_id,
        "order_id": fill.order_id,
        "symbol": fill.trade.instrument,
        "side": fill.side.value,
        "amount": fill.trade.amount,
        "price": fill.trade.price,
        "fee": fill.fee,
        "fee_currency": fill.fee_currency,
    }
