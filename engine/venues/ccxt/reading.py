"""ccxt's answers as values of the model. Every figure is text when it arrives, and `Decimal` from here on."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import structs

from engine.model import (
    ZERO,
    Balance,
    CashFlow,
    FlowKind,
    ModelError,
    OrderState,
    PortfolioOrder,
    PortfolioTrade,
    Position,
    PositionSide,
    Side,
    rounded,
)

STATES = {
    "open": OrderState.OPEN,
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "canceling": OrderState.OPEN,
    "expired": OrderState.EXPIRED,
    "expired_in_match": OrderState.EXPIRED,
    "rejected": OrderState.REJECTED,
}
SETTLED = frozenset({"ok", None, ""})  # of money on its way nothing has changed yet

Answer = Mapping[str, Any]


def amount_of(answer: Answer, key: str) -> Decimal | None:
    """A figure; None where the exchange gives none. Raises `ModelError` for what is no number."""
    value = answer.get(key)
    if value is None or value == "":
        return None
    try:
        return rounded(Decimal(repr(value) if isinstance(value, float) else str(value)), key)
    except InvalidOperation:
        raise ModelError(key, "a number", repr(value)[:60]) from None


def read_balances(answer: Answer, portfolio_id: str, now_ms: int) -> tuple[Balance, ...]:
    """Every currency there is anything of. `equity` is the total, `available` what is free.

    Raises KeyError for an answer without a list of them: that is not an account without money.
    """
    totals = answer["total"]
    return tuple(
        read_balance(answer[code], code, portfolio_id, now_ms)
        for code in sorted(totals)
        if isinstance(answer.get(code), Mapping)
    )


def read_balance(row: Answer, code: str, portfolio_id: str, now_ms: int) -> Balance:
    """Of free, used and total an exchange may give only two. Raises `ModelError` when it gives none: that is not zero."""
    free, used, total = (amount_of(row, name) for name in ("free", "used", "total"))
    if free is None and total is None:
        raise ModelError(f"balance of {code}", "what is free or the total", "neither")
    if total is None:
        total = (free or ZERO) + (used or ZERO)
    if free is None:
        free = total - (used or ZERO)
    return Balance(
        account=portfolio_id, currency=code, balance=total, equity=total, available=free, updated_at_ms=now_ms
    )


def read_position(row: Answer, market: str, portfolio_id: str, now_ms: int) -> Position | None:
    """A position in contracts, short below zero; None for an empty one."""
    contracts = amount_of(row, "contracts")
    if not contracts:
        return None
    side = row.get("side")
    if side not in ("long", "short"):
        raise ModelError("side", "long or short", repr(side))
    hedged = row.get("hedged") is True
    return Position(
        account=portfolio_id,
        instrument=f"{market}:{row['symbol']}",
        side=PositionSide(side) if hedged else PositionSide.NET,
        amount=abs(contracts) if side == "long" else -abs(contracts),
        average_price=amount_of(row, "entryPrice"),
        mark_price=amount_of(row, "markPrice"),
        unrealised_pnl=amount_of(row, "unrealizedPnl") or ZERO,
        realised_pnl=amount_of(row, "realizedPnl") or ZERO,
        currency=str(row["symbol"]).partition(":")[2].partition("-")[0],
        updated_at_ms=now_ms,
    )


def read_order(row: Answer, portfolio_id: str, now_ms: int) -> PortfolioOrder:
    """What an exchange says of an order. A state it does not say is `unknown`, and nothing is concluded from it."""
    filled = amount_of(row, "filled") or ZERO
    amount = amount_of(row, "amount") or filled
    state = STATES.get(row.get("status") or "", OrderState.UNKNOWN)
    reason = ""
    if state is OrderState.FILLED and filled < amount:
        state, reason = OrderState.CANCELLED, f"closed by the exchange with {filled} of {amount} filled"
    fee, fee_currency = _fee(row)
    created_ms = int(row.get("timestamp") or now_ms)
    order = PortfolioOrder(
        portfolio_id=portfolio_id,
        external_id=str(row["id"]),
        symbol=str(row["symbol"]),
        side=_side(row),
        order_type=str(row.get("type") or ""),
        amount=amount,
        price=amount_of(row, "price") or None,
        state=state,
        filled_amount=filled,
        average_price=amount_of(row, "average") or None,
        fee=fee,
        fee_currency=fee_currency,
        reason=reason,
        created_at_ms=created_ms,
        updated_at_ms=int(row.get("lastUpdateTimestamp") or row.get("lastTradeTimestamp") or created_ms),
    )
    order.check()
    return order


def read_resting(row: Answer, portfolio_id: str, now_ms: int) -> PortfolioOrder:
    """One of those the exchange lists as open: where it does not say so of each, the list does."""
    order = read_order(row, portfolio_id, now_ms)
    return structs.replace(order, state=OrderState.OPEN) if order.state is OrderState.UNKNOWN else order


def trade_id(row: Answer) -> str:
    """The exchange's, or what tells the trade from others where it gives none."""
    if row.get("id") not in (None, ""):
        return str(row["id"])
    return "@".join(str(row.get(name)) for name in ("order", "timestamp", "side", "price", "amount"))


def read_trade(row: Answer, portfolio_id: str, now_ms: int) -> PortfolioTrade:
    price, amount = amount_of(row, "price"), amount_of(row, "amount")
    if price is None or amount is None:
        raise ModelError("price" if price is None else "amount", "a number", "nothing")
    fee, fee_currency = _fee(row)
    return PortfolioTrade(
        portfolio_id=portfolio_id,
        trade_id=trade_id(row),
        external_id=str(row.get("order") or ""),
        symbol=str(row["symbol"]),
        side=_side(row),
        price=price,
        amount=amount,
        fee=fee,
        fee_currency=fee_currency,
        at_ms=int(row.get("timestamp") or now_ms),
    )


def read_transfers(rows: Sequence[Answer], portfolio_id: str) -> tuple[CashFlow, ...]:
    """Deposits and withdrawals that are done. What a withdrawal cost is its own, not a trade's."""
    return tuple(_transfer(row, portfolio_id) for row in rows if row.get("status") in SETTLED)


def read_ledger(rows: Sequence[Answer], portfolio_id: str) -> tuple[CashFlow, ...]:
    """Lines of a statement by which money came from or went to elsewhere; the others are results of trading."""
    return tuple(
        _line(row, portfolio_id) for row in rows if row.get("type") in EXTERNAL and row.get("status") in SETTLED
    )


EXTERNAL = {
    "transaction": (FlowKind.DEPOSIT, FlowKind.WITHDRAWAL),
    "deposit": (FlowKind.DEPOSIT, FlowKind.WITHDRAWAL),
    "withdrawal": (FlowKind.DEPOSIT, FlowKind.WITHDRAWAL),
    "transfer": (FlowKind.TRANSFER_IN, FlowKind.TRANSFER_OUT),
}


def _line(row: Answer, portfolio_id: str) -> CashFlow:
    amount = amount_of(row, "amount") or ZERO
    signed = -abs(amount) if row.get("direction") == "out" else amount
    into, out = EXTERNAL[row["type"]]
    return _flow(row, portfolio_id, into if signed >= ZERO else out, signed)


def _transfer(row: Answer, portfolio_id: str) -> CashFlow:
    amount = abs(amount_of(row, "amount") or ZERO)
    if row.get("type") == "deposit":
        return _flow(row, portfolio_id, FlowKind.DEPOSIT, amount)
    fee = row.get("fee") or {}
    cost = (amount_of(fee, "cost") or ZERO) if fee.get("currency") in (None, row.get("currency")) else ZERO
    return _flow(row, portfolio_id, FlowKind.WITHDRAWAL, -(amount + cost))


def _flow(row: Answer, portfolio_id: str, kind: FlowKind, amount: Decimal) -> CashFlow:
    flow = CashFlow(
        account=portfolio_id,
        flow_id=f"{kind}-{row.get('id') or row.get('txid') or row['timestamp']}",
        kind=kind,
        currency=str(row["currency"]),
        amount=amount,
        text=str(row.get("type") or ""),
        at_ms=int(row["timestamp"]),
    )
    flow.check()
    return flow


def _side(row: Answer) -> Side:
    side = row.get("side")
    if side not in ("buy", "sell"):
        raise ModelError("side", "buy or sell", repr(side))
    return Side(side)


def _fee(row: Answer) -> tuple[Decimal, str]:
    """The fee, where all of it is in one currency."""
    fees = [fee for fee in (row.get("fees") or [row.get("fee")]) if fee and fee.get("cost") is not None]
    currencies = {fee.get("currency") for fee in fees}
    if len(currencies) != 1:
        return ZERO, ""
    total = sum((amount_of(fee, "cost") or ZERO for fee in fees), ZERO)
    return total, str(currencies.pop() or "")
