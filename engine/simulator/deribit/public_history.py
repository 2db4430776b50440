"""Public methods about the past: charts, trades, funding, deliveries."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from engine.simulator.deribit.channels import RESOLUTION_MS
from engine.simulator.deribit.method import Call, method, takes
from engine.simulator.deribit.paging import newest_first, take_page
from engine.simulator.deribit.params import CURRENCY, Param, choice, integer, invalid, required, text
from engine.simulator.deribit.public_market import INDEX, KIND, NAME
from engine.simulator.deribit.render import trade_json
from engine.simulator.funding import Funding
from engine.simulator.market import Market
from engine.simulator.orders import Trade

MAX_CHART_POINTS = 5000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LENGTHS_MS = {"8h": 8 * HOUR_MS, "24h": DAY_MS, "1m": 30 * DAY_MS}
START, END = required(integer()), required(integer())
COUNT = integer(1, 1000, default=10)
SORTING = choice("asc", "desc", "default", default="default")


@method(
    "public/get_tradingview_chart_data",
    takes(instrument_name=NAME, start_timestamp=START, end_timestamp=END, resolution=required(choice(*RESOLUTION_MS))),
)
def get_tradingview_chart_data(call: Call) -> Any:
    length_ms, now_ms = RESOLUTION_MS[call["resolution"]], call.venue.exchange.now_ms
    _check_window(call)
    end_ms = min(call["end_timestamp"], now_ms)
    start_ms = max(call["start_timestamp"], end_ms - (MAX_CHART_POINTS - 1) * length_ms)
    bars = call.market.tape.chart(length_ms, start_ms, end_ms, now_ms) if start_ms <= end_ms else []
    return {
        "status": "ok" if bars else "no_data",
        "ticks": [bar.start_ms for bar in bars],
        "open": [bar.open for bar in bars],
        "high": [bar.high for bar in bars],
        "low": [bar.low for bar in bars],
        "close": [bar.close for bar in bars],
        "volume": [round(bar.volume, 8) for bar in bars],
        "cost": [round(bar.cost, 4) for bar in bars],
    }


def _check_window(call: Call) -> None:
    if call["start_timestamp"] > call["end_timestamp"]:
        raise invalid("start_timestamp", "must be before end_timestamp")


def _funding(call: Call) -> Funding:
    funding = call.market.funding
    if funding is None:
        raise invalid("instrument_name", "not a perpetual")
    return funding


@method("public/get_funding_rate_value", takes(instrument_name=NAME, start_timestamp=START, end_timestamp=END))
def get_funding_rate_value(call: Call) -> Any:
    _check_window(call)
    return _funding(call).interest(call["start_timestamp"], call["end_timestamp"])


@method("public/get_funding_rate_history", takes(instrument_name=NAME, start_timestamp=START, end_timestamp=END))
def get_funding_rate_history(call: Call) -> Any:
    _check_window(call)
    funding = _funding(call)
    return [
        {
            "timestamp": hour.end_ms,
            "index_price": hour.index,
            "prev_index_price": hour.previous_index,
            "interest_1h": hour.interest,
            "interest_8h": funding.interest(hour.end_ms - 8 * HOUR_MS, hour.end_ms),
        }
        for hour in funding.hours(call["start_timestamp"], call["end_timestamp"])
    ]


@method("public/get_funding_chart_data", takes(instrument_name=NAME, length=required(choice(*LENGTHS_MS))))
def get_funding_chart_data(call: Call) -> Any:
    funding, now_ms = _funding(call), call.venue.exchange.now_ms
    hours = funding.hours(now_ms - LENGTHS_MS[call["length"]], now_ms)
    return {
        "current_interest": funding.rate,
        "interest_8h": funding.interest(now_ms - 8 * HOUR_MS, now_ms),
        "data": [
            {
                "timestamp": hour.end_ms,
                "index_price": hour.index,
                "interest_8h": funding.interest(hour.end_ms - 8 * HOUR_MS, hour.end_ms),
            }
            for hour in hours
        ],
    }


TRADES: dict[str, Param] = {"count": COUNT, "sorting": SORTING}


@method(
    "public/get_last_trades_by_instrument",
    takes(
        instrument_name=NAME,
        start_seq=integer(),
        end_seq=integer(),
        start_timestamp=integer(),
        end_timestamp=integer(),
        **TRADES,
    ),
)
def get_last_trades_by_instrument(call: Call) -> Any:
    trades = [trade for trade in call.market.tape.trades if _in_range(trade, call.args)]
    ranged = call["start_seq"] is not None or call["start_timestamp"] is not None
    return _trades(call, trades, ranged=ranged)


@method(
    "public/get_last_trades_by_instrument_and_time",
    takes(instrument_name=NAME, start_timestamp=START, end_timestamp=END, **TRADES),
)
def get_last_trades_by_instrument_and_time(call: Call) -> Any:
    _check_window(call)
    trades = [trade for trade in call.market.tape.trades if _in_range(trade, call.args)]
    return _trades(call, trades, ranged=True)


@method(
    "public/get_last_trades_by_currency",
    takes(
        currency=required(CURRENCY),
        kind=KIND,
        start_id=text(),
        end_id=text(),
        start_timestamp=integer(),
        end_timestamp=integer(),
        **TRADES,
    ),
)
def get_last_trades_by_currency(call: Call) -> Any:
    trades = [trade for trade in _by_time(call.markets()) if _in_range(trade, call.args)]
    return _trades(call, trades, ranged=call["start_id"] is not None or call["start_timestamp"] is not None)


@method(
    "public/get_last_trades_by_currency_and_time",
    takes(currency=required(CURRENCY), kind=KIND, start_timestamp=START, end_timestamp=END, **TRADES),
)
def get_last_trades_by_currency_and_time(call: Call) -> Any:
    _check_window(call)
    trades = [trade for trade in _by_time(call.markets()) if _in_range(trade, call.args)]
    return _trades(call, trades, ranged=True)


def _by_time(markets: Iterable[Market]) -> list[Trade]:
    trades = [trade for market in markets for trade in market.tape.trades]
    return sorted(trades, key=lambda trade: (trade.at_ms, id_number(trade.trade_id)))


def id_number(trade_id: str) -> int:
    """The number in a trade id, by which ids of one currency are ordered."""
    digits = trade_id.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _in_range(trade: Trade, args: dict[str, Any]) -> bool:
    bounds = (
        ("start_seq", "end_seq", trade.seq),
        ("start_timestamp", "end_timestamp", trade.at_ms),
    )
    for low, high, value in bounds:
        if (args.get(low) is not None and value < args[low]) or (args.get(high) is not None and value > args[high]):
            return False
    start_id, end_id = args.get("start_id"), args.get("end_id")
    number = id_number(trade.trade_id)
    if start_id is not None and number < id_number(start_id):
        return False
    return end_id is None or number <= id_number(end_id)


def _trades(call: Call, trades: list[Trade], *, ranged: bool) -> Any:
    markets = call.venue.exchange.markets
    page, more = take_page(trades, call["count"], descending=newest_first(call["sorting"], ranged=ranged))
    rows = [trade_json(trade, markets[trade.instrument].instrument) for trade in page]
    return {"trades": rows, "has_more": more}


@method("public/get_delivery_prices", takes(index_name=INDEX, offset=integer(), count=integer(1, 1000, default=10)))
def get_delivery_prices(call: Call) -> Any:
    """Daily prices at 08:00 UTC, newest first, read off the hourly bars of the index's first market."""
    exchange = call.venue.exchange
    market = next(m for m in exchange.markets.values() if m.instrument.index == call["index_name"])
    bars = market.tape.chart(HOUR_MS, exchange.now_ms - 60 * DAY_MS, exchange.now_ms, exchange.now_ms)
    daily = [bar for bar in reversed(bars) if bar.start_ms % DAY_MS == 8 * HOUR_MS]
    offset = call["offset"] or 0
    rows = [
        {"date": iso_date(bar.start_ms), "delivery_price": bar.open} for bar in daily[offset : offset + call["count"]]
    ]
    return {"data": rows, "records_total": len(daily)}


def iso_date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
