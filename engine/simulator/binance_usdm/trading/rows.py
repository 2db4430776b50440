"""What orders, trades and positions look like in answers."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from engine.simulator.accounts import Position
from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.trading.terms import status_of, terms_of
from engine.simulator.orders import Fill, Order, Side

__all__ = [
    "MONEY",
    "acked_row",
    "average",
    "entry_price",
    "force_row",
    "order_row",
    "queried_row",
    "trade_row",
    "written",
]

MONEY = 8  # decimals
AVERAGE = 5
ZERO_PRICE = "0"


def written(value: Decimal, decimals: int) -> str:
    """A number with so many decimals."""
    return f"{value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN) + 0:f}"


def order_row(desk: Desk, order: Order) -> dict[str, Any]:
    """What placing, changing and cancelling answer: no average price and no quote amount."""
    terms = terms_of(order)
    executed = written(order.filled, desk.amount_decimals)
    return {
        "orderId": int(order.order_id),
        "symbol": desk.symbol,
        "pair": desk.symbol,
        "status": status_of(order),
        "clientOrderId": terms.client_id,
        "price": limit_price(desk, order),
        "origQty": written(order.amount, desk.amount_decimals),
        "executedQty": executed,
        "cumQty": executed,
        "timeInForce": terms.lifetime,
        "type": terms.type,
        "reduceOnly": order.reduce_only,
        "closePosition": terms.close,
        "side": order.side.value.upper(),
        "positionSide": order.leg or "BOTH",
        "stopPrice": written(terms.stop_price, desk.price_decimals) if terms.stop_price else "0",
        "workingType": terms.working,
        "priceProtect": terms.protect,
        "origType": terms.original_type,
        "priceMatch": terms.price_match,
        "selfTradePreventionMode": terms.prevention,
        "goodTillDate": terms.good_till_ms,
        "updateTime": order.updated_ms,
    }


def acked_row(desk: Desk, order: Order) -> dict[str, Any]:
    """An order as it was when it was accepted, before it met the book."""
    none = written(Decimal(0), desk.amount_decimals)
    return order_row(desk, order) | {
        "status": "NEW",
        "executedQty": none,
        "cumQty": none,
        "updateTime": order.created_ms,
    }


def queried_row(desk: Desk, order: Order) -> dict[str, Any]:
    """What queries answer: the same and what it cost."""
    return order_row(desk, order) | {
        "avgPrice": written(average(order), AVERAGE) if order.filled else "0.00",
        "cumQuote": written(order.cost, desk.quote_decimals),
        "cumBase": "0",
        "time": order.created_ms,
    }


def average(order: Order) -> Decimal:
    return order.cost / order.filled if order.filled else Decimal(0)


def limit_price(desk: Desk, order: Order) -> str:
    """The price as it was given: a market order shows none, whatever bound the exchange put on it."""
    if terms_of(order).type == "MARKET" or order.price is None:
        return ZERO_PRICE
    return written(order.price, desk.price_decimals)


def trade_row(desk: Desk, fill: Fill) -> dict[str, Any]:
    trade = fill.trade
    return {
        "symbol": desk.symbol,
        "pair": desk.symbol,
        "id": int(trade.trade_id),
        "orderId": int(fill.order_id),
        "side": fill.side.value.upper(),
        "price": written(trade.price, desk.price_decimals),
        "qty": written(trade.amount, desk.amount_decimals),
        "realizedPnl": written(fill.profit, MONEY),
        "quoteQty": written(trade.price * trade.amount, desk.quote_decimals),
        "baseQty": "0",
        "commission": written(fill.fee, MONEY),
        "commissionAsset": fill.fee_currency,
        "marginAsset": fill.fee_currency,
        "time": trade.at_ms,
        "positionSide": fill.leg or "BOTH",
        "buyer": fill.side is Side.BUY,
        "maker": fill.maker,
    }


def force_row(desk: Desk, order: Order) -> dict[str, Any]:
    """An own order that the venue placed to liquidate."""
    row = queried_row(desk, order)
    return {name: row[name] for name in row if name not in ("priceMatch", "selfTradePreventionMode", "goodTillDate")}


def entry_price(position: Position) -> Decimal:
    return position.entry_cost / position.size if position.size else Decimal(0)
