"""`positions books|records|statistics|state`: what positions are made of."""

import argparse
from collections.abc import Callable
from typing import Any

from actors.cli._output import Column, amount, complain, key, table
from actors.cli._remote import Options, Remote, given
from actors.cli._values import decimal, limit, seconds

Add = Callable[..., argparse.ArgumentParser]
PRICE_DIGITS = 8  # shown of an average; --json has all


def _rounded(name: str) -> Callable[[Any], Any]:
    """Averages and profits have no end of digits."""

    def shown(row: Any) -> str | None:
        text: str | None = amount(name)(row)
        whole, point, decimals = (text or "").partition(".")
        return text if text is None or len(decimals) <= PRICE_DIGITS else f"{whole}{point}{decimals[:PRICE_DIGITS]}…"

    return shown


_NAMES: tuple[Column, ...] = (
    ("account", key("account_id")),
    ("instrument", key("instrument_name")),
    ("side", key("side")),
)
_BOOKS: tuple[Column, ...] = (
    *_NAMES,
    ("amount", amount("amount")),
    ("average", _rounded("avg_price")),
    ("at the venue", amount("venue_amount")),
    ("mark", amount("mark_price")),
    ("unrealised", _rounded("unrealised_pnl")),
    ("realised", _rounded("realised_pnl")),
    ("currency", key("currency")),
    ("fees", lambda row: ", ".join(f"{fee} {currency}" for currency, fee in row["fees"].items())),
)
_RECORDS: tuple[Column, ...] = (
    ("time", lambda row: row["timestamp"][:19].replace("T", " ") + "Z"),
    *_NAMES[:2],
    ("type", lambda row: f"{row['type']}{' (inferred)' if row['inferred'] else ''}"),
    ("change", amount("change_amount")),
    ("at", _rounded("change_price")),
    ("before", amount("before_amount")),
    ("after", amount("amount")),
    ("average", _rounded("avg_price")),
    ("realised", _rounded("realised_pnl")),
    ("trade", key("trade_id")),
    ("order", key("order_id")),
    ("note", key("note")),
)
_FIGURES = ("trades", "volume", "turnover", "realised_pnl", "fees", "funding", "win_rate", "rounds", "average_holding")


def books(answer: Any) -> str:
    return table(answer, _BOOKS)


def records(answer: Any) -> str:
    if isinstance(answer, list):
        return table(answer, _RECORDS)
    if answer["next"]:
        complain(f"there are more: --cursor {answer['next']!r}")
    return table(answer["records"], _RECORDS)


def statistics(answer: Any) -> str:
    rows = [{"of": "all"} | answer]
    for name in ("account", "instrument", "direction"):
        rows += [{"of": f"{name} {value}"} | figures for value, figures in answer[f"by_{name}"].items()]
    rows += [{"of": f"from {part['start'][:19]}Z"} | part for part in answer["by_period"]]
    told = table(
        [row | {name: _money(row[name]) for name in _FIGURES} for row in rows], [("of", key("of")), *_columns()]
    )
    return told if answer["complete"] else f"{told}\n(there are more records than one answer looks at; see --from)"


def _columns() -> list[Column]:
    return [(name.replace("_", " "), key(name)) for name in _FIGURES]


def _money(value: Any) -> Any:
    return ", ".join(f"{one} {currency}" for currency, one in value.items()) if isinstance(value, dict) else value


def add_position_commands(add: Add) -> None:
    """The subcommands of `positions`; the command itself shows what the venue says."""
    shown = add("books", "what our own fills make of each position, beside what the venue says", BOOKS)
    shown.add_argument("--account", default="", metavar="NAME")
    changes = add("records", "every change of a position and what caused it, newest first", RECORDS)
    _of(changes)
    changes.add_argument("--limit", type=limit, metavar="N", help="at most this many (default: 100)")
    changes.add_argument("--cursor", default="", metavar="NEXT", help="where the page before ended")
    figures = add("statistics", "what positions came to, by account, instrument, direction and period", STATISTICS)
    _of(figures)
    figures.add_argument(
        "--period", dest="period_s", type=seconds, metavar="SECONDS", help="of one row in time (default: a day)"
    )
    state = add("state", "book what is held as a person knows it", STATE)
    state.add_argument("instrument", metavar="INSTRUMENT")
    state.add_argument("amount", type=decimal, metavar="AMOUNT", help="what is held, below zero for a short")
    state.add_argument("--price", type=decimal, metavar="PRICE", help="the average price; without it the one there is")
    state.add_argument("--correction", action="store_true", help="an earlier record was wrong")
    state.add_argument("--side", default="", choices=("net", "long", "short"))
    state.add_argument("--account", default="", metavar="NAME")
    state.add_argument("--note", required=True, help="why; it is kept with the record")
    state.add_argument("--request-key", default="", metavar="KEY", help="the same key again books nothing")


def _of(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", default="", metavar="NAME")
    parser.add_argument("--instrument", default="", metavar="NAME")
    parser.add_argument("--from", dest="start_time", default="", metavar="TIME", help="2026-01-31T12:00:00Z")
    parser.add_argument("--to", dest="end_time", default="", metavar="TIME", help="2026-01-31T12:00:00Z")


def _stated(options: Options) -> dict[str, Any]:
    said = given(options, "account", "instrument", "price", "side", "note", "request_key")
    kind = "correction" if options.correction else "adjustment"
    return {name: str(value) for name, value in said.items()} | {"type": kind, "amount": str(options.amount)}


_NAMED = ("account", "instrument", "start_time", "end_time")
BOOKS = Remote("position.current", books, lambda o: given(o, "account"))
RECORDS = Remote("position.records", records, lambda o: given(o, *_NAMED, "limit", "cursor"))
STATISTICS = Remote("position.statistics", statistics, lambda o: given(o, *_NAMED, "period_s"))
STATE = Remote("position.state", records, _stated)
