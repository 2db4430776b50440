"""Queries about the account's past: trades, settlements, the transaction log."""

from typing import Any

from engine.simulator.accounts import LogEntry
from engine.simulator.deribit.method import Call, method, takes
from engine.simulator.deribit.orders_by import find
from engine.simulator.deribit.paging import continue_from, newest_first, take_page
from engine.simulator.deribit.params import CURRENCY, Param, choice, flag, integer, required, text
from engine.simulator.deribit.public_history import id_number
from engine.simulator.deribit.public_market import KIND, NAME
from engine.simulator.deribit.render import fill_json, log_json, settlement_json
from engine.simulator.orders import Fill

READ = "trade:read"
DAY_MS = 86_400_000
START, END = required(integer()), required(integer())
PAGE: dict[str, Param] = {
    "count": integer(1, 1000, default=10),
    "sorting": choice("asc", "desc", "default", default="default"),
    "historical": flag(),
    "subaccount_id": integer(),
}
TIMES: dict[str, Param] = {"start_timestamp": integer(), "end_timestamp": integer()}
NEEDED_TIMES: dict[str, Param] = {"start_timestamp": START, "end_timestamp": END}


@method(
    "private/get_user_trades_by_currency",
    takes(currency=required(CURRENCY), kind=KIND, start_id=text(), end_id=text(), **TIMES, **PAGE),
    scope=READ,
)
def get_user_trades_by_currency(call: Call) -> Any:
    return _trades(call, {market.instrument.name for market in call.markets()})


@method(
    "private/get_user_trades_by_currency_and_time",
    takes(currency=required(CURRENCY), kind=KIND, **NEEDED_TIMES, **PAGE),
    scope=READ,
)
def get_user_trades_by_currency_and_time(call: Call) -> Any:
    return _trades(call, {market.instrument.name for market in call.markets()})


@method(
    "private/get_user_trades_by_instrument",
    takes(instrument_name=NAME, start_seq=integer(), end_seq=integer(), **TIMES, **PAGE),
    scope=READ,
)
def get_user_trades_by_instrument(call: Call) -> Any:
    return _trades(call, {call.market.instrument.name})


@method(
    "private/get_user_trades_by_instrument_and_time", takes(instrument_name=NAME, **NEEDED_TIMES, **PAGE), scope=READ
)
def get_user_trades_by_instrument_and_time(call: Call) -> Any:
    return _trades(call, {call.market.instrument.name})


@method(
    "private/get_user_trades_by_order",
    takes(order_id=required(text()), sorting=choice("asc", "desc", "default", default="default"), historical=flag()),
    scope=READ,
)
def get_user_trades_by_order(call: Call) -> Any:
    historical = call["historical"]
    if not historical:
        find(call.venue, call.account, call["order_id"])
    fills = [f for f in call.account.fills if f.order_id == call["order_id"] and _kept(call, f)]
    if newest_first(call["sorting"], ranged=True):
        fills.reverse()
    return [_json(call, fill) for fill in fills]


def _trades(call: Call, names: set[str]) -> Any:
    fills = [
        f for f in call.account.fills if f.trade.instrument in names and _kept(call, f) and _in_range(f, call.args)
    ]
    bounds = ("start_id", "start_seq", "start_timestamp")
    ranged = any(call.args.get(bound) is not None for bound in bounds)
    page, more = take_page(fills, call["count"], descending=newest_first(call["sorting"], ranged=ranged))
    return {"trades": [_json(call, fill) for fill in page], "has_more": more}


def _kept(call: Call, fill: Fill) -> bool:
    """The recent store keeps trades for a day and at once, the archive for ever and a little late."""
    age_ms = call.venue.exchange.now_ms - fill.trade.at_ms
    if not call.venue.is_told(fill):
        return False
    return age_ms >= call.venue.historical_delay_ms if call["historical"] else age_ms < DAY_MS


def _in_range(fill: Fill, args: dict[str, Any]) -> bool:
    trade = fill.trade
    start_id, end_id = args.get("start_id"), args.get("end_id")
    bounds = (
        (args.get("start_timestamp"), args.get("end_timestamp"), trade.at_ms),
        (args.get("start_seq"), args.get("end_seq"), trade.seq),
        (start_id and id_number(start_id), end_id and id_number(end_id), id_number(trade.trade_id)),
    )
    return all((low is None or value >= low) and (high is None or value <= high) for low, high, value in bounds)


def _json(call: Call, fill: Fill) -> Any:
    instrument = call.venue.exchange.markets[fill.trade.instrument].instrument
    return fill_json(fill, instrument, call.venue.user_id(call.account))


@method(
    "private/get_transaction_log",
    takes(
        currency=required(CURRENCY),
        start_timestamp=START,
        end_timestamp=END,
        query=text(),
        count=integer(1, 250, default=100),
        subaccount_id=integer(),
        continuation=integer(),
    ),
    scope="account:read",
)
def get_transaction_log(call: Call) -> Any:
    """Newest first. The continuation is the id of the first row of the next page, as an integer."""
    wanted = [entry for entry in reversed(call.account.log) if _log_matches(call, entry)]
    if call["continuation"] is not None:
        wanted = [entry for entry in wanted if entry.entry_id <= call["continuation"]]
    page, rest = wanted[: call["count"]], wanted[call["count"] :]
    user_id = call.venue.user_id(call.account)
    logs = [log_json(entry, call.account.name, user_id) for entry in page]
    return {"logs": logs, "continuation": rest[0].entry_id if rest else None}


def _log_matches(call: Call, entry: LogEntry) -> bool:
    if call["currency"] not in ("any", entry.currency):
        return False
    if not call["start_timestamp"] <= entry.at_ms <= call["end_timestamp"]:
        return False
    query = call["query"]
    side = entry.fill.side.value if entry.fill is not None else ""
    return query is None or query.lower() in (entry.kind, entry.instrument and entry.instrument.lower(), side)


SETTLEMENTS: dict[str, Param] = {
    "type": choice("settlement", "delivery", "bankruptcy"),
    "count": integer(1, 1000, default=20),
    "continuation": text(),
    "search_start_timestamp": integer(),
}


@method("private/get_settlement_history_by_instrument", takes(instrument_name=NAME, **SETTLEMENTS), scope=READ)
def get_settlement_history_by_instrument(call: Call) -> Any:
    return _settlements(call, {call.market.instrument.name})


@method("private/get_settlement_history_by_currency", takes(currency=required(CURRENCY), **SETTLEMENTS), scope=READ)
def get_settlement_history_by_currency(call: Call) -> Any:
    return _settlements(call, {market.instrument.name for market in call.markets()})


def _settlements(call: Call, names: set[str]) -> Any:
    latest = call["search_start_timestamp"]
    rows = [
        row
        for row in reversed(call.account.settlements)
        if row.instrument in names and call["type"] in (None, row.kind) and (latest is None or row.at_ms <= latest)
    ]
    page, token = continue_from(rows, call["count"], call["continuation"])
    return {"settlements": [settlement_json(row) for row in page], "continuation": token}
