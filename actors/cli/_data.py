"""`data …` and `scan`: what a running node knows of its markets."""

import argparse
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from actors.cli._output import Column, key, pairs, table, time_of
from actors.cli._remote import Options, Remote, given

Answer = Any

_BAR_FIELDS = ("open", "high", "low", "close", "volume")
_FIELDS = {"open_interest": "open_interest_change"}  # of a scan's row, where a factor has another name there


# ── how answers look ───────────────────────────────────────────────────────────────────────────────────────────────────


def _read(shown: Callable[[Any], str]) -> Callable[[Answer], str]:
    """The value, and under it where it came from."""

    def view(answer: Answer) -> str:
        return f"{shown(answer['value'])}\n\n{_origin(answer)}"

    return view


def _origin(answer: Answer) -> str:
    age = "of unknown age" if answer["age_s"] is None else f"{answer['age_s']:.1f} s old"
    marks = {"STALE": answer["stale"], "degraded": answer["degraded"], "history incomplete": not answer["complete"]}
    return ", ".join([f"source {answer['source']}", age, *(name for name, is_so in marks.items() if is_so)])


def _bars(rows: Any) -> str:
    columns: list[Column] = [("open time", lambda row: time_of(row[0]))]
    columns += [(name, itemgetter(at)) for at, name in enumerate(_BAR_FIELDS, start=1)]
    return table(rows, [*columns, ("quote volume", itemgetter(7)), ("trades", itemgetter(8))])


def _book(book: Any) -> str:
    deepest = max(len(book["bids"]), len(book["asks"]))
    empty = [None, None]
    sides = [book[side] + [empty] * (deepest - len(book[side])) for side in ("bids", "asks")]
    names = ("bid amount", "bid", "ask", "ask amount")
    rows = [(bid[1], bid[0], ask[0], ask[1]) for bid, ask in zip(*sides, strict=True)]
    return table(rows, [(name, itemgetter(at)) for at, name in enumerate(names)])


def _dated(time_key: str, *names: str) -> Callable[[Any], str]:
    """A table of records that have a time."""
    columns: list[Column] = [("time", lambda row: time_of(row[time_key])), *((name, key(name)) for name in names)]
    return lambda rows: table(rows, columns)


def _figures(value: Any) -> str:
    return pairs({name: time_of(v) if name in ("timestamp", "nextTime") else v for name, v in value.items()})


def _stats(answer: Answer) -> str:
    return pairs({name: value for name, value in answer.items() if name != "last_update"})


def _scan(answer: Answer) -> str:
    columns: list[Column] = [
        ("symbol", key("symbol")),
        ("score", lambda row: f"{row['score']:.3f}"),
        ("price", key("price")),
    ]
    for interval in answer["intervals"]:
        columns += [
            (f"change {interval}", _momentum(interval, "change")),
            (f"vol {interval}", _momentum(interval, "volatility")),
        ]
    figures = [factor for factor in answer["factors"] if factor != "momentum"]
    columns += [(factor.replace("_", " "), _percent(_FIELDS.get(factor, factor))) for factor in figures]
    columns.append(("stale", key("stale")))
    missing = [f"{one['symbol']}: {one['what']}: {one['why']}" for one in answer["unavailable"]]
    said = [f"{answer['scanned']} scanned in {answer['took_ms']:.1f} ms, {len(missing)} unavailable", *missing[:20]]
    return "\n".join([table(answer["rows"], columns), "", *said])


def _momentum(interval: str, field: str) -> Callable[[Any], str]:
    return lambda row: f"{row['momentum'][interval][field]:.3%}"


def _percent(field: str) -> Callable[[Any], str | None]:
    return lambda row: None if row[field] is None else f"{row[field]:.3%}"


# ── the commands ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_symbol(*names: str) -> Callable[[Options], dict[str, Any]]:
    return lambda options: given(options, "symbol", *names)


_TRADES = _dated("time", "price", "qty", "isBuyerMaker")

DATA = {
    "klines": Remote("data.klines", _read(_bars), _of_symbol("interval", "limit", "closed_only")),
    "orderbook": Remote("data.orderbook", _read(_book), _of_symbol("limit")),
    "oi": Remote("data.oi", _read(_dated("timestamp", "sumOpenInterest", "sumOpenInterestValue")), _of_symbol("limit")),
    "funding": Remote("data.funding", _read(_figures), _of_symbol()),
    "spot": Remote("data.spot", _read(str), _of_symbol()),
    "mark": Remote("data.mark", _read(_figures), _of_symbol()),
    "trades": Remote("data.trades", _read(_TRADES), _of_symbol("limit")),
    "liquidations": Remote("data.liquidations", _read(_TRADES), _of_symbol("limit")),
    "forced": Remote(
        "data.forced", _read(_dated("time", "side", "price", "averagePrice", "qty", "filledQty")), _of_symbol("limit")
    ),
    "stats": Remote("data.stats", _stats),
}
HELP = {
    "klines": "the newest bars",
    "orderbook": "the book, best levels first",
    "oi": "open interest by the hour",
    "funding": "the funding rate",
    "spot": "the price at the spot market",
    "mark": "mark and index price",
    "trades": "the newest public trades",
    "liquidations": "the newest public trades, as the interface's `get_liquidation_trades` has them",
    "forced": "liquidations since the feed began",
    "stats": "figures of the read interface",
}
WITH_LIMIT = ("klines", "orderbook", "oi", "trades", "liquidations", "forced")
SCAN = Remote(
    "scan",
    _scan,
    lambda o: (
        given(o, "venue", "limit")
        | {name: v.split(",") for name in ("factors", "intervals") if (v := getattr(o, name))}
    ),
)


def add_data_commands(add: Callable[[str, str, Remote], argparse.ArgumentParser], limit: Callable[[str], int]) -> None:
    """The subcommands of `data`; `add(name, help, run)` makes a parser, `limit` reads a number of rows."""
    for name, command in DATA.items():
        parser = add(name, HELP[name], command)
        if name != "stats":
            parser.add_argument("symbol", metavar="SYMBOL", help="venue:symbol, or a symbol of the default venue")
        if name == "klines":
            parser.add_argument("interval", metavar="INTERVAL", help="1m, 5m, 15m, 1h, 4h or 1d, as far as followed")
            parser.add_argument("--closed-only", action="store_true", help="without the bar that is not closed")
        if name in WITH_LIMIT:
            parser.add_argument("--limit", type=limit, metavar="N", help="at most this many")


def add_scan_arguments(parser: argparse.ArgumentParser, limit: Callable[[str], int]) -> None:
    """The options of `scan`."""
    parser.add_argument("--venue", default="", metavar="NAME", help="another venue than the default one")
    parser.add_argument("--factors", default="", metavar="A,B", help="only these (default: all the venue has data for)")
    parser.add_argument("--intervals", default="", metavar="A,B", help="bars of these (default: 1h,4h)")
    parser.add_argument("--limit", type=limit, metavar="N", help="the best so many")
