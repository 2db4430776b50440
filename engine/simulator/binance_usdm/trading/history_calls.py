"""Trades and what came to and went from the wallet."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from engine.simulator.accounts import LogEntry
from engine.simulator.binance_usdm.errors import bad_combination
from engine.simulator.binance_usdm.params import count, number, span
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.reading import one_of, week
from engine.simulator.binance_usdm.trading.rows import MONEY, trade_row, written

__all__: list[str] = []

_KINDS = {
    "deposit": "TRANSFER",
    "withdrawal": "TRANSFER",
    "transfer": "TRANSFER",
    "funding": "FUNDING_FEE",
    "correction": "INSURANCE_CLEAR",
}
_ANY = "any"
_TYPES = ("REALIZED_PNL", "COMMISSION", *_KINDS.values())
_INCOME_TYPES: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in _TYPES} | {_ANY: _TYPES}
WEEK_MS = 7 * 86_400_000
KEEP_TRADES_MS = 90 * 86_400_000


@private("GET", "/fapi/v1/userTrades", weight=5)
def user_trades(ask: Ask) -> Any:
    """From a number on, or of a week at most; the newest if there are more than asked for. Oldest first."""
    desk, params, now_ms = ask.desk, ask.params, ask.now_ms
    limit, first, order_id = count(params, default=500, most=1000), number(params, "fromId"), number(params, "orderId")
    if first is not None and ("startTime" in params or "endTime" in params):
        raise bad_combination()
    start_ms, end_ms = week(params, now_ms)
    fills = [
        fill
        for fill in ask.holder.account.fills
        if fill.trade.instrument == desk.symbol
        and now_ms - fill.trade.at_ms <= KEEP_TRADES_MS
        and ask.side.is_told(fill)
        and (order_id is None or fill.order_id == str(order_id))
    ]
    if first is not None:
        fills = [fill for fill in fills if int(fill.trade.trade_id) >= first][:limit]
    else:
        fills = [fill for fill in fills if start_ms <= fill.trade.at_ms <= end_ms][-limit:]
    return [trade_row(desk, fill) for fill in fills]


@private("GET", "/fapi/v1/income", weight=30)
def income(ask: Ask) -> Any:
    """Oldest first, page by page; of the last seven days unless a time is named."""
    only, limit = ask.desk_if_given, count(ask.params, default=100, most=1000)
    kinds = one_of(ask.params, "incomeType", _INCOME_TYPES, _ANY)
    start_ms, end_ms = span(ask.params)
    page = number(ask.params, "page") or 1
    if start_ms is None and end_ms is None:
        start_ms = ask.now_ms - WEEK_MS
    rows = [
        row
        for entry in ask.holder.account.log
        if (start_ms is None or entry.at_ms >= start_ms) and (end_ms is None or entry.at_ms <= end_ms)
        for row in _rows(entry)
        if (only is None or row["symbol"] == only.symbol) and row["incomeType"] in kinds
    ]
    first = (page - 1) * limit if start_ms is not None else max(0, len(rows) - page * limit)
    return rows[first : first + limit]


def _rows(entry: LogEntry) -> Iterator[dict[str, Any]]:
    """What one entry of the books is here: profit and commission of a trade are two."""
    if entry.fill is None:
        yield _row(entry, 0, _KINDS[entry.kind], entry.change)
        return
    if entry.cashflow:
        yield _row(entry, 0, "REALIZED_PNL", entry.cashflow)
    yield _row(entry, 1, "COMMISSION", -entry.commission)


def _row(entry: LogEntry, part: int, kind: str, amount: Decimal) -> dict[str, Any]:
    trade_id = "" if entry.fill is None else entry.fill.trade.trade_id
    return {
        "symbol": entry.instrument or "",
        "incomeType": kind,
        "income": written(amount, MONEY),
        "asset": entry.currency,
        "info": trade_id or kind,
        "time": entry.at_ms,
        "tranId": entry.entry_id * 10 + part,
        "tradeId": trade_id,
    }
