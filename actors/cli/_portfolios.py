"""`portfolios`, `portfolio sync|show|orders NAME`: accounts at other exchanges."""

import argparse
from collections.abc import Callable
from typing import Any

from actors.cli._output import amount, key, table, time_of
from actors.cli._remote import Options, Remote, ask, given, show
from actors.cli._values import limit

SYNC_TIMEOUT_S = 320.0  # an exchange that limits us takes its time

Answer = Any


def _money(name: str) -> Callable[[Answer], Any]:
    return lambda row: amount(name)(row["portfolio"]) if row["portfolio"] else None


def _state(row: Answer) -> str:
    if row["trouble"]:
        return "waits for keys" if row["waits_for_keys"] else "trouble"
    if row["portfolio"] is None:
        return "not looked at yet"
    return "halted" if row["portfolio"]["halted"] else "backtest" if row["backtest"] else "in step"


def _list_view(answer: Answer) -> str:
    return table(
        answer,
        (
            ("portfolio", key("name")),
            ("market", key("market")),
            ("currency", key("trading_symbol")),
            ("unallocated", _money("unallocated")),
            ("net size", _money("net_size")),
            ("gain", _money("total_net_gain")),
            ("orders", lambda row: len(row["open_orders"])),
            ("state", _state),
            ("looked", lambda row: time_of(row["report"]["ended_at_ms"] if row["report"] else None)),
            ("trouble", lambda row: row["trouble"][:80]),
        ),
    )


def _one_view(answer: Answer) -> str:
    held = [row for row in answer["positions"] if float(row["amount"])]
    names = ("symbol", "side", "amount", "free", "cost")
    positions = table(held, [(name, key(name) if name in ("symbol", "side") else amount(name)) for name in names])
    return f"{_list_view([answer])}\n\npositions:\n{positions}\n\nopen orders:\n{_orders_view(answer['open_orders'])}"


def _orders_view(answer: Answer) -> str:
    return table(
        answer,
        (
            ("order", key("external_id")),
            ("symbol", key("symbol")),
            ("side", key("side")),
            ("type", key("order_type")),
            ("amount", amount("amount")),
            ("price", amount("price")),
            ("filled", amount("filled_amount")),
            ("state", lambda row: row["state"] + (" (not known there)" if row["missing_since_ms"] else "")),
            ("created", lambda row: time_of(row["created_at_ms"])),
            ("reason", key("reason")),
        ),
    )


def _report_view(answer: Answer) -> str:
    results = table(
        answer["results"],
        (
            ("currency", key("currency")),
            ("kind", key("kind")),
            ("delta", amount("delta")),
            ("available", amount("broker_available")),
            ("in orders", amount("reserved_for_pending_orders")),
            ("before", amount("previous_unallocated")),
            ("unallocated", amount("new_unallocated")),
            ("in step", key("within_tolerance")),
        ),
    )
    told = [
        f"{row['kind']} {row['subject']}: expected {row['expected']}, got {row['got']}; {row['action']}"
        for row in answer["discrepancies"]
    ]
    return "\n".join([results, *told])


LIST = Remote("portfolio.list", _list_view)


def _sync(options: Options) -> int:
    """Waits for as long as the exchange takes; a portfolio that is out of step is a refusal."""
    params = {"name": options.name, **given(options, "accept")}
    answer = ask(options, lambda client: client.call("portfolio.sync", params, timeout_s=SYNC_TIMEOUT_S))
    show(options, answer, _report_view)
    return 0


def add_portfolio_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """The subcommands of `portfolio`."""
    sync = add("sync", "look at its exchange now", _sync)
    sync.add_argument("name", metavar="NAME")
    sync.add_argument("--accept", action="store_true", help="whatever is there is right; a halted portfolio goes on")
    one = add("show", "what it holds", Remote("portfolio.show", _one_view, lambda o: {"name": o.name}))
    one.add_argument("name", metavar="NAME")
    orders = add(
        "orders",
        "its open orders",
        Remote("portfolio.orders", _orders_view, lambda o: {"name": o.name, **given(o, "all", "limit")}),
    )
    orders.add_argument("name", metavar="NAME")
    orders.add_argument("--all", action="store_true", help="those that are over too")
    orders.add_argument("--limit", type=limit, metavar="N", help="at most this many (default: 100)")
