"""Lists of orders: what is ours must be understood, what is a stranger's need not.

Lists carry two products and every order anybody placed for the account. A stranger's order of a kind we cannot read (one that
closes a position whatever its size has the amount zero) is left out; one of ours that we cannot read is a `WireError`, because
an order that is missing in a list of live orders would be taken for gone.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from loguru import logger

from engine.model import OrderReport, order_id_of
from engine.venues.binance_usdm.account_wire import AlgoData, AlgoRow, OrderData, OrderRow
from engine.venues.binance_usdm.wire import decoder
from engine.venues.decoding import WireError, decode

Row = TypeVar("Row", OrderRow, AlgoRow)
Data = TypeVar("Data")

ROWS = decoder(list[msgspec.Raw])
_ORDER_ROW = decoder(OrderRow)
_ALGO_ROW = decoder(AlgoRow)
ORDER = decoder(OrderData)
ALGO = decoder(AlgoData)


def orders_in(rows: list[msgspec.Raw]) -> list[OrderData]:
    return _read(rows, _ORDER_ROW, ORDER, lambda row: row.clientOrderId)


def algos_in(rows: list[msgspec.Raw]) -> list[AlgoData]:
    return _read(rows, _ALGO_ROW, ALGO, lambda row: row.clientAlgoId)


def reports(
    rows: Iterable[Data], report: Callable[[Data], OrderReport], name: Callable[[Data], str]
) -> list[OrderReport]:
    """Reports of orders that decoded; figures that make no order are left out as above."""
    found: list[OrderReport] = []
    for row in rows:
        try:
            found.append(report(row))
        except WireError as error:
            _refuse_ours(name(row), error)
    return found


def _read(
    rows: list[msgspec.Raw],
    first: msgspec.json.Decoder[Row],
    whole: msgspec.json.Decoder[Data],
    name: Callable[[Row], str],
) -> list[Data]:
    found: list[Data] = []
    for raw in rows:
        row = decode(first, raw)
        if row.st != 1:
            continue
        try:
            found.append(decode(whole, raw))
        except WireError as error:
            _refuse_ours(name(row), error)
    return found


def _refuse_ours(client_id: str, error: WireError) -> None:
    if order_id_of(client_id) is not None:
        raise error
    logger.debug("order {!a} placed elsewhere left out: {}", client_id[:40], error)
