"""What an account's stream says: fields in the order of the wire.

A fill comes first in TRADE_LITE, then the order itself if it is new, then what it did to the account, then the fill as
the order's full event; all with the time of the matching step.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.trading.algo import Algo
from engine.simulator.binance_usdm.trading.holder import ASSET, Holder
from engine.simulator.binance_usdm.trading.rows import AVERAGE, MONEY, entry_price, limit_price, written
from engine.simulator.binance_usdm.trading.terms import expiry_reason, status_of, terms_of
from engine.simulator.margin import unrealised
from engine.simulator.orders import ZERO, Fill, Order, holding_of

__all__ = [
    "Event",
    "account_update",
    "algo_update",
    "balance_part",
    "break_even",
    "config_update",
    "lite_event",
    "order_event",
    "position_part",
    "trade_events",
]

USD_M = 1
Event = dict[str, Any]


class _Step(msgspec.Struct, frozen=True):
    """What an order event says of one fill, and of the order after it. Without a fill all is nothing."""

    fill: Fill | None = None
    filled: Decimal = ZERO
    average: Decimal = ZERO


def order_event(desk: Desk, order: Order, execution: str, now_ms: int, fills: Sequence[Fill] = ()) -> Event:
    """NEW, AMENDMENT, CANCELED or EXPIRED, as the order was before these fills."""
    filled, cost = _before(order, fills)
    status = "PARTIALLY_FILLED" if filled else "NEW"
    if execution not in ("NEW", "AMENDMENT"):
        status = status_of(order)
    return _order(desk, order, execution, status, _Step(None, filled, cost / filled if filled else ZERO), now_ms)


def _before(order: Order, fills: Sequence[Fill]) -> tuple[Decimal, Decimal]:
    """What an order had filled before these, and at what cost."""
    filled = order.filled - sum((fill.trade.amount for fill in fills), ZERO)
    return filled, order.cost - sum((fill.trade.amount * fill.trade.price for fill in fills), ZERO)


def trade_events(desk: Desk, order: Order, fills: list[Fill], now_ms: int) -> list[Event]:
    """One event for each fill of an order, with the order as it was right after it."""
    filled, cost = _before(order, fills)
    events = []
    for fill in fills:
        filled += fill.trade.amount
        cost += fill.trade.amount * fill.trade.price
        status = "FILLED" if filled >= order.amount else "PARTIALLY_FILLED"
        execution = "CALCULATED" if order.is_liquidation else "TRADE"
        events.append(_order(desk, order, execution, status, _Step(fill, filled, cost / filled), now_ms))
    return events


def _order(desk: Desk, order: Order, execution: str, status: str, step: _Step, now_ms: int) -> Event:
    terms, fill = terms_of(order), step.fill
    trade = None if fill is None else fill.trade
    working = order.is_live and order.price is not None
    rest = order.remaining * order.price if working and order.price is not None else ZERO
    buys = order.side.value == "buy"
    return {
        "e": "ORDER_TRADE_UPDATE",
        "E": now_ms,
        "T": order.created_ms if execution == "NEW" else order.updated_ms if trade is None else trade.at_ms,
        "o": {
            "s": desk.symbol,
            "c": terms.client_id,
            "S": order.side.value.upper(),
            "o": terms.type,
            "f": terms.lifetime,
            "q": written(order.amount, desk.amount_decimals),
            "p": limit_price(desk, order),
            "ap": written(step.average, AVERAGE) if step.average else "0",
            "sp": written(terms.stop_price, desk.price_decimals) if terms.stop_price else "0",
            "x": execution,
            "X": status,
            "i": int(order.order_id),
            "l": "0" if trade is None else written(trade.amount, desk.amount_decimals),
            "z": written(step.filled, desk.amount_decimals) if step.filled else "0",
            "L": "0" if trade is None else written(trade.price, desk.price_decimals),
            "n": "0" if fill is None else written(fill.fee, MONEY),
            "N": ASSET,
            "T": order.created_ms if execution == "NEW" else order.updated_ms if trade is None else trade.at_ms,
            "t": 0 if trade is None else int(trade.trade_id),
            "b": written(rest if buys else ZERO, desk.price_decimals),
            "a": written(ZERO if buys else rest, desk.price_decimals),
            "m": fill is not None and fill.maker,
            "R": order.reduce_only,
            "wt": terms.working,
            "ot": terms.original_type,
            "ps": order.leg or "BOTH",
            "cp": terms.close,
            "rp": "0" if fill is None else written(fill.profit, MONEY),
            "pP": terms.protect,
            "si": 0,
            "ss": 0,
            "V": terms.prevention,
            "pm": terms.price_match,
            "gtd": terms.good_till_ms,
            "er": expiry_reason(order) if execution == "EXPIRED" else "0",
            "st": USD_M,
        },
    }


def lite_event(desk: Desk, order: Order, fill: Fill, now_ms: int) -> Event:
    """A fill in few words, before the others."""
    trade = fill.trade
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": trade.at_ms,
        "s": desk.symbol,
        "q": written(order.amount, desk.amount_decimals),
        "p": limit_price(desk, order) if terms_of(order).type == "LIMIT" else "0.00",
        "m": fill.maker,
        "c": terms_of(order).client_id,
        "S": order.side.value.upper(),
        "L": written(trade.price, desk.price_decimals),
        "l": written(trade.amount, desk.amount_decimals),
        "t": int(trade.trade_id),
        "i": int(order.order_id),
    }


def account_update(
    reason: str, balances: list[dict[str, Any]], positions: list[dict[str, Any]], at_ms: int, now_ms: int
) -> Event:
    return {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": at_ms, "a": {"B": balances, "P": positions, "m": reason}}


def balance_part(holder: Holder, change: Decimal = ZERO) -> dict[str, Any]:
    """`bc` is what came or went for other reasons than trades and their fees."""
    wallet = holder.account.wallet(ASSET)
    held = written(wallet.balance + wallet.session_profit, MONEY)
    return {"a": ASSET, "wb": held, "cw": held, "bc": written(change, MONEY) if change else "0"}


def position_part(desk: Desk, holder: Holder, leg: str) -> dict[str, Any]:
    position = holder.account.position(holding_of(desk.symbol, leg))
    return {
        "s": desk.symbol,
        "pa": written(position.size, desk.amount_decimals),
        "ep": written(entry_price(position), MONEY),
        "bep": written(break_even(desk, holder, leg), MONEY),
        "cr": written(holder.leg(desk.symbol, leg).realised, MONEY),
        "up": written(unrealised(desk.market, position), MONEY),
        "mt": "isolated" if desk.symbol in holder.isolated else "cross",
        "iw": "0",
        "ps": leg or "BOTH",
        "ma": ASSET,
    }


def break_even(desk: Desk, holder: Holder, leg: str) -> Decimal:
    """The price at which closing would just pay the fees of opening."""
    position = holder.account.position(holding_of(desk.symbol, leg))
    if not position.size:
        return ZERO
    return (position.entry_cost + holder.leg(desk.symbol, leg).fees) / position.size


def config_update(symbol: str, leverage: int, now_ms: int) -> Event:
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": {"s": symbol, "l": leverage}}


def algo_update(desk: Desk, algo: Algo, now_ms: int) -> Event:
    """A cancelled one is told in fewer words."""
    body: dict[str, Any] = {
        "caid": algo.client_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": algo.type,
        "s": desk.symbol,
        "S": algo.side.value.upper(),
        "ps": algo.leg or "BOTH",
        "f": algo.lifetime,
        "q": written(algo.quantity, desk.amount_decimals),
        "X": algo.status,
        "ai": algo.actual_id,
        "tp": written(algo.trigger_price, desk.price_decimals),
        "p": "0" if algo.price is None else written(algo.price, desk.price_decimals),
    }
    if algo.status != "CANCELED":
        body |= {"V": algo.prevention, "wt": algo.working, "pm": algo.price_match, "cp": algo.close, "pP": algo.protect}
    if algo.order is not None:
        order = algo.order
        average = order.cost / order.filled if order.filled else ZERO
        filled = written(order.filled, desk.amount_decimals)
        body |= {"ap": written(average, AVERAGE), "aq": filled, "act": terms_of(order).type}
    if algo.reason:
        body["rm"] = algo.reason
    body |= {"R": algo.reduce_only, "tt": algo.triggered_ms, "gtd": algo.good_till_ms, "ia": False}
    return {"e": "ALGO_UPDATE", "E": now_ms, "T": algo.updated_ms, "o": body}
