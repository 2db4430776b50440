"""Several orders in one request: each is taken or refused for itself, in the order of the request."""

from collections.abc import Callable
from typing import Any

from engine.simulator.binance_usdm.errors import ApiError, missing, not_valid
from engine.simulator.binance_usdm.trading.amend_calls import amend_order
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.order_calls import cancel_order, place_order
from engine.simulator.binance_usdm.trading.reading import json_list

__all__: list[str] = []

MAX_ORDERS = 5
MAX_CANCELS = 10


@private("POST", "/fapi/v1/batchOrders", weight=5, orders=(5, 1))
def place_batch(ask: Ask) -> Any:
    return _each(ask, place_order)


@private("PUT", "/fapi/v1/batchOrders", weight=5, orders=(5, 1))
def amend_batch(ask: Ask) -> Any:
    return _each(ask, amend_order)


@private("DELETE", "/fapi/v1/batchOrders")
def cancel_batch(ask: Ask) -> Any:
    symbol = ask.desk.symbol
    ids, own_ids = json_list(ask.params, "orderIdList"), json_list(ask.params, "origClientOrderIdList")
    if ids is None and own_ids is None:
        raise missing("orderIdList")
    given = ids if ids is not None else own_ids or []
    _check_size(len(given), MAX_CANCELS)
    name = "orderId" if ids is not None else "origClientOrderId"
    return [_one(ask.with_params({"symbol": symbol, name: _text(value)}), cancel_order) for value in given]


def _each(ask: Ask, handler: Callable[[Ask], Any]) -> list[Any]:
    rows = json_list(ask.params, "batchOrders")
    if rows is None:
        raise missing("batchOrders")
    if not all(isinstance(row, dict) for row in rows):
        raise not_valid("batchOrders")
    _check_size(len(rows), MAX_ORDERS)
    return [_one(ask.with_params({name: _text(value) for name, value in row.items()}), handler) for row in rows]


def _check_size(size: int, most: int) -> None:
    if not 1 <= size <= most:
        raise ApiError(400, -4082, "Invalid batch place order size.")


def _one(ask: Ask, handler: Callable[[Ask], Any]) -> Any:
    try:
        return handler(ask)
    except ApiError as error:
        return {"code": error.code, "msg": error.msg}


def _text(value: Any) -> str:
    """A parameter as it would stand in a query."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
