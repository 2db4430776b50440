"""What an exchange's word makes of an order that is followed there.

Only the exchange ends an order. That it does not know one is no end: it may be late, and its trades may know more.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.model.accounts.portfolios import PortfolioOrder, PortfolioTrade
from engine.model.money import ZERO
from engine.model.orders.order import OrderState


def followed(known: PortfolioOrder, seen: PortfolioOrder) -> PortfolioOrder:
    """The order after the exchange's word. What is filled only grows; an end stays, unless the exchange says later that it lives.

    A state, a price or an amount the exchange does not say leaves ours. The same word again changes nothing.
    """
    state = known.state if seen.state is OrderState.UNKNOWN else seen.state
    if known.state.terminal and (not state.terminal and seen.updated_at_ms <= known.updated_at_ms):
        state = known.state
    ahead = seen.filled_amount >= known.filled_amount
    said = state.terminal or seen.amount > seen.filled_amount  # an order that lives wants more than it has
    after = msgspec.structs.replace(
        known,
        amount=seen.amount if said else max(seen.amount, known.amount),
        price=known.price if seen.price is None else seen.price,
        order_type=seen.order_type or known.order_type,
        state=state,
        filled_amount=max(seen.filled_amount, known.filled_amount),
        average_price=(seen.average_price if ahead else None) or known.average_price,
        fee=seen.fee if ahead and seen.fee_currency else known.fee,
        fee_currency=seen.fee_currency or known.fee_currency,
        missing_since_ms=None,
        reason=seen.reason or known.reason,
    )
    return msgspec.structs.replace(after, updated_at_ms=max(seen.updated_at_ms, known.updated_at_ms))


def not_known(known: PortfolioOrder, trades: Iterable[PortfolioTrade], *, now_ms: int) -> PortfolioOrder:
    """The order that the exchange says not to have, with its trades. Only if they make all of it, it is over: filled."""
    trades = tuple(trades)
    filled = sum((trade.amount for trade in trades), ZERO)
    after = known
    if filled > known.filled_amount:
        average = sum((trade.amount * trade.price for trade in trades), ZERO) / filled
        newest_ms = max(trade.at_ms for trade in trades)
        after = msgspec.structs.replace(
            known,
            filled_amount=filled,
            average_price=average,
            updated_at_ms=max(known.updated_at_ms, newest_ms),
            **_fees(trades),
        )
    if known.amount > ZERO and after.filled_amount >= known.amount:
        return msgspec.structs.replace(after, state=OrderState.FILLED, missing_since_ms=None)
    since_ms = now_ms if known.missing_since_ms is None else known.missing_since_ms
    return msgspec.structs.replace(after, missing_since_ms=since_ms)


def as_trade(before: PortfolioOrder | None, after: PortfolioOrder) -> PortfolioTrade | None:
    """What an order's word says was traded since, for an exchange that has no trade history; None when nothing was."""
    filled_before = ZERO if before is None else before.filled_amount
    paid_before = ZERO if before is None else filled_before * (before.average_price or ZERO)
    amount = after.filled_amount - filled_before
    if amount <= ZERO or after.average_price is None:
        return None
    fee_before = before.fee if before is not None and before.fee_currency == after.fee_currency else ZERO
    return PortfolioTrade(
        portfolio_id=after.portfolio_id,
        trade_id=f"{after.external_id}@{after.filled_amount}",
        external_id=after.external_id,
        symbol=after.symbol,
        side=after.side,
        price=(after.filled_amount * after.average_price - paid_before) / amount,
        amount=amount,
        fee=after.fee - fee_before,
        fee_currency=after.fee_currency,
        at_ms=after.updated_at_ms,
    )


def missing_for_ms(order: PortfolioOrder, now_ms: int) -> int:
    """How long the exchange has not known an order that is not over; 0 when it does."""
    return 0 if order.missing_since_ms is None or order.state.terminal else max(0, now_ms - order.missing_since_ms)


def _fees(trades: tuple[PortfolioTrade, ...]) -> dict[str, Decimal | str]:
    """The trades' fees, where all are in one currency."""
    currencies = {trade.fee_currency for trade in trades}
    if len(currencies) != 1:
        return {}
    return {"fee": sum((trade.fee for trade in trades), ZERO), "fee_currency": currencies.pop()}
