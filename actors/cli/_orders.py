"""`order …`: placing orders of every kind, changing them, and looking for those there were."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from actors.cli import _order_params, _order_views, _views
from actors.cli._exits import CommandFailed, Exit
from actors.cli._output import complain
from actors.cli._remote import Options, Remote, ask, given, patience, show
from actors.cli._values import decimal, limit, pair, seconds, trail
from engine.model import ErrorPolicy, OrderType, PartialFill, Priority, Side, TimeInForce, TriggerBy, TriggerFill

Add = Callable[..., argparse.ArgumentParser]
MAX_FILE_BYTES = 1 << 20
VERDICTS = ("retry", "close", "ask")


def route_(options: Options) -> int:
    """Look where an order would go, or place it there."""
    order = {"amount": options.amount, "direction": options.side}
    call = {"route": options.route, **order}
    if options.place:
        order |= given(options, "price", "reduce_only", "request_key")
        call = {"route": options.route, "order": order | {"order_type": "limit" if options.price else "market"}}
    method = "order.submit_by_route" if options.place else "order.route"
    answer = ask(options, lambda client: client.call(method, call, timeout_s=patience(options)))
    show(options, answer, _order_views.routed)
    return Exit.DONE


def batch(options: Options) -> int:
    """Place the orders of a file; one that was refused is a failure, the others stand."""
    orders = _read_orders(options.file)
    call = {"orders": orders}
    answer = ask(options, lambda client: client.call("order.batch", call, timeout_s=patience(options)))
    show(options, answer, _order_views.results)
    return Exit.DONE if all(row["ok"] for row in answer["items"]) else Exit.REFUSED


def _read_orders(file: str) -> list[Any]:
    """A JSON array, or one JSON object a line."""
    try:
        data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if file == "-" else Path(file).read_bytes()
        if len(data) > MAX_FILE_BYTES:
            raise CommandFailed(Exit.USAGE, f"{file}: expected at most {MAX_FILE_BYTES} bytes, got more")
        lines = msgspec.json.decode(data) if data.lstrip()[:1] == b"[" else msgspec.json.Decoder().decode_lines(data)
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"{file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise CommandFailed(Exit.USAGE, f"{file}: expected a JSON array, or one JSON object a line: {error}") from error
    if not lines:
        complain(f"{file}: no orders in it")
    return list(lines)


# ── the commands ───────────────────────────────────────────────────────────────────────────────────────────────────────

_STATS = Remote("order.stats", _order_views.figures, _order_params.history)
FIGURE = Remote("figure", _order_views.published, lambda o: given(o, "name", "value"))


def add_order_commands(add: Add) -> None:
    """The subcommands of `order`."""
    _submit(
        add(
            "submit",
            "place an order; it is on disk when this returns",
            Remote("order.submit_advanced", _order_views.placed, _order_params.form),
        )
    )
    _linked(add)
    route = add("route", "where an order would cost least now; with --place it goes there", route_)
    route.add_argument("route", metavar="ROUTE", help="of the configuration")
    route.add_argument("side", choices=list(map(str, Side)))
    route.add_argument("amount", type=decimal, metavar="AMOUNT", help="of the coin")
    route.add_argument("--place", action="store_true", help="place it; without --price a market order")
    route.add_argument("--price", type=decimal, metavar="P")
    route.add_argument("--reduce-only", action="store_true", help="never open or turn a position")
    route.add_argument("--key", dest="request_key", default="", metavar="KEY", help="the same key twice is one order")
    many = add("batch", "place the orders of a file, which have nothing to do with each other", batch)
    many.add_argument("file", metavar="FILE", help="a JSON array or one JSON object a line; - is the standard input")
    of_one = add("show", "one order as it is stored, and its fills", Remote("order.show", _views.order, _order_id))
    of_one.add_argument("order_id", metavar="ORDER_ID")
    monitor = add(
        "monitor", "one order: its record, its fills, and what it waits for", _one("monitor", _order_views.monitored)
    )
    monitor.add_argument("order_id", metavar="ORDER_ID")
    watched = add(
        "conditions", "how the conditions of an order stand, or its trail", _one("conditions", _order_views.watched)
    )
    watched.add_argument("order_id", metavar="ORDER_ID")
    cancel = add("cancel", "cancel an order; resent until the venue answers", _remote("cancel", _order_id))
    cancel.add_argument("order_id", metavar="ORDER_ID")
    cancel.add_argument("--reason", default="")
    amend = add("amend", "give an open order a new absolute amount or price", _remote("amend", _order_id))
    amend.add_argument("order_id", metavar="ORDER_ID")
    amend.add_argument("--amount", type=decimal, metavar="A")
    amend.add_argument("--price", type=decimal, metavar="P")
    add("review", "orders that wait for a person, and why", Remote("order.review", _order_views.records))
    resolve = add("resolve", "decide about an order that waits for a person", _remote("resolve", _order_id))
    resolve.add_argument("order_id", metavar="ORDER_ID")
    resolve.add_argument("verdict", choices=VERDICTS, help="let it be sent again, call it over, or look for it now")
    resolve.add_argument("--note", default="", help="why; it is kept with the order")
    _history(
        add(
            "history",
            "orders there were, newest first",
            Remote("order.history", _order_views.page, _order_params.history),
        )
    )
    queue = add("queue", "how the order queues stand", Remote("order.queue", _order_views.queue, _order_params.account))
    queue.add_argument("--account", default="", metavar="NAME")
    counted = add("stats", "how orders fared, those of the last day unless a time is said", _STATS)
    _filters(counted)
    counted.add_argument("--period", dest="period_s", type=seconds, metavar="SECONDS", help="default: 3600")


def _one(method: str, view: Callable[[Any], str]) -> Remote:
    return Remote(f"order.{method}", view, _order_id)


def _remote(method: str, params: Callable[[Options], dict[str, Any]]) -> Remote:
    return Remote(f"order.{method}", _views.accepted, params)


def _order_id(options: Options) -> dict[str, Any]:
    names = ("order_id", "reason", "amount", "price", "verdict", "note")
    return given(options, *(name for name in names if hasattr(options, name)))


def _what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("instrument", metavar="INSTRUMENT", help="venue:symbol, or a symbol of the default venue")
    parser.add_argument("side", choices=list(map(str, Side)))
    parser.add_argument("amount", type=decimal, metavar="AMOUNT", help="in the venue's unit")
    parser.add_argument("--account", default="", metavar="NAME")
    parser.add_argument("--strategy", default="", metavar="NAME", help="a tag to find the order by")


def _how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--type", dest="order_type", choices=list(map(str, OrderType)), help="default: limit")
    parser.add_argument("--price", type=decimal, metavar="P")
    parser.add_argument("--trigger", dest="trigger_price", type=decimal, metavar="P")
    parser.add_argument("--trigger-by", choices=list(map(str, TriggerBy)))
    parser.add_argument("--tif", dest="time_in_force", choices=list(map(str, TimeInForce)))
    parser.add_argument("--post-only", action="store_true", help="never take liquidity")
    parser.add_argument("--reduce-only", action="store_true", help="never open or turn a position")
    parser.add_argument("--key", dest="request_key", default="", metavar="KEY", help="the same key twice is one order")
    parser.add_argument("--good-for", type=seconds, metavar="SECONDS", help="give up if not sent by then (default: 10)")


def _when(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--priority", choices=list(map(str, Priority)))
    parser.add_argument("--delay", type=seconds, metavar="SECONDS", help="do not send it before")
    parser.add_argument("--expires", type=seconds, metavar="SECONDS", help="end it then, wherever it is")
    parser.add_argument("--auto-cancel", type=seconds, metavar="SECONDS", help="cancel what rests at the venue so long")
    parser.add_argument(
        "--when",
        action="append",
        metavar="CONDITION",
        help='wait for it: "mark>=65000", "funding@binance:BTCUSDT<0 | position==0"; several must hold together',
    )
    parser.add_argument("--partial", choices=list(map(str, PartialFill)), help="what becomes of the rest")
    parser.add_argument("--on-error", choices=list(map(str, ErrorPolicy)), help="what a refusal of the venue leads to")
    parser.add_argument("--metadata", action="append", type=pair, metavar="KEY=VALUE", help="kept with the order")


def _trailing(parser: argparse.ArgumentParser, help_text: str) -> None:
    parser.add_argument("--trail", type=trail, metavar="D|P%", help=help_text)
    parser.add_argument("--trail-by", choices=list(map(str, TriggerBy)), help="default: mark")
    parser.add_argument("--activate", type=decimal, metavar="P", help="follow once the price was there")
    _keeper(parser)


def _keeper(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kept-here",
        action="store_true",
        help="the node follows the price or keeps the set, even where the venue could",
    )


def _submit(parser: argparse.ArgumentParser) -> None:
    _what(parser)
    _how(parser)
    _when(parser)
    _trailing(parser, "a stop that follows the best price at a distance, or a part of it")
    parser.add_argument("--now", action="store_true", help="before all others, and waiting for nothing")
    parser.add_argument(
        "--style", nargs="+", metavar="STYLE", help="work it as progressive or twap, with KEY=VALUE for its parameters"
    )


def _linked(add: Add) -> None:
    both = add(
        "bracket",
        "an entry, and two exits of which one ends the other",
        Remote("order.bracket", _order_views.linked, _order_params.bracket),
    )
    _what(both)
    _how(both)
    _when(both)
    both.add_argument("--take-profit", type=decimal, metavar="P", required=True)
    both.add_argument("--stop-loss", type=decimal, metavar="P")
    _trailing(both, "a stop that follows the market, in place of --stop-loss")
    pair_ = add(
        "oco",
        "two orders of which the first that is filled ends the other",
        Remote("order.linked", _order_views.linked, _order_params.oco),
    )
    _what(pair_)
    pair_.add_argument("--take-profit", type=decimal, metavar="P", required=True)
    pair_.add_argument("--stop-loss", type=decimal, metavar="P", required=True)
    pair_.add_argument("--reduce-only", action="store_true", help="never open or turn a position")
    pair_.add_argument("--cancels-at", choices=list(map(str, TriggerFill)), default="first_hit")
    _keeper(pair_)
    then = add(
        "oto",
        "an entry, and an exit that its fills release",
        Remote("order.linked", _order_views.linked, _order_params.oto),
    )
    _what(then)
    _how(then)
    exit_ = then.add_mutually_exclusive_group(required=True)
    exit_.add_argument("--then-price", type=decimal, metavar="P", help="the exit is a limit order")
    exit_.add_argument("--then-stop", type=decimal, metavar="P", help="the exit is a stop")
    then.add_argument("--releases-at", choices=list(map(str, TriggerFill)), default="incremental")
    _keeper(then)


def _history(parser: argparse.ArgumentParser) -> None:
    _filters(parser)
    parser.add_argument("--limit", type=limit, metavar="N", help="at most this many (default: 100)")
    parser.add_argument("--cursor", default="", help="where the page before ended")


def _filters(parser: argparse.ArgumentParser) -> None:
    for name in ("instrument", "account", "strategy", "plan", "group"):
        parser.add_argument(f"--{name}", default="", metavar="NAME")
    parser.add_argument("--status", action="append", metavar="STATUS", help="one of several may be said")
    parser.add_argument("--side", dest="direction", choices=list(map(str, Side)))
    parser.add_argument("--from", dest="start_time", default="", metavar="TIME", help="2026-01-31T12:00:00Z")
    parser.add_argument("--to", dest="end_time", default="", metavar="TIME")
