"""`sync`, `flows`, `discrepancies`: how accounts stand to their venues."""

import argparse
from collections.abc import Callable
from typing import Any

from actors.cli._exits import Exit
from actors.cli._output import Column, amount, key, table, time_of
from actors.cli._remote import Options, Remote, ask, given, show
from actors.cli._values import limit
from engine.model import FlowKind

Add = Callable[..., argparse.ArgumentParser]
SYNC_PATIENCE_S = 70.0

_RESULTS: tuple[Column, ...] = (
    ("account", key("market")),
    ("currency", key("currency")),
    ("came or went", amount("delta")),
    ("available", amount("broker_available")),
    ("before", amount("previous_unallocated")),
    ("kept for orders", amount("reserved_for_pending_orders")),
    ("in step", key("within_tolerance")),
    ("unexplained", amount("difference")),
)
_DISCREPANCIES: tuple[Column, ...] = (
    ("id", key("discrepancy_id")),
    ("found", lambda row: time_of(row["found_at_ms"])),
    ("account", key("account")),
    ("what", key("kind")),
    ("of", key("subject")),
    ("expected", key("expected")),
    ("got", key("got")),
    ("so", key("action")),
    ("settled", lambda row: row["settled_at_ms"] and f"{time_of(row['settled_at_ms'])} {row['note']}"),
)
_FLOWS: tuple[Column, ...] = (
    ("time", lambda row: time_of(row["at_ms"])),
    ("account", key("account")),
    ("kind", key("kind")),
    ("amount", amount("amount")),
    ("currency", key("currency")),
    ("balance", amount("balance")),
    ("instrument", key("instrument")),
    ("as the venue says", key("text")),
)
_EXTERNAL: tuple[Column, ...] = (
    ("venue's id", key("venue_order_id")),
    ("account", key("account")),
    ("instrument", lambda row: row["report"]["instrument"]),
    ("side", lambda row: row["report"]["side"]),
    ("type", lambda row: row["report"]["order_type"]),
    ("amount", lambda row: amount("amount")(row["report"])),
    ("price", lambda row: amount("price")(row["report"])),
    ("filled", lambda row: amount("filled_amount")(row["report"])),
    ("first seen", lambda row: time_of(row["first_seen_at_ms"])),
)


def add_sync_commands(add: Add) -> None:
    """Commands of their own."""
    sync = add("sync", "compare an account with its venue now, and show what was found", _sync)
    sync.add_argument("account", nargs="?", default="", metavar="ACCOUNT", help="default: all")
    sync.add_argument("--last", action="store_true", help="show what the last pass found, and make none")
    flows = add("flows", "what changed the balances, as the venues' statements say, newest first", _FLOWS_OF)
    flows.add_argument("--account", default="", metavar="NAME")
    flows.add_argument("--currency", default="", metavar="NAME")
    flows.add_argument("--kind", default="", choices=list(map(str, FlowKind)))
    flows.add_argument("--limit", type=limit, metavar="N", help="at most this many (default: 100)")
    found = add("discrepancies", "differences with a venue that a person should look at", _FOUND)
    found.add_argument("--all", action="store_true", help="every one, also those that are settled")
    found.add_argument("--account", default="", metavar="NAME")
    found.add_argument("--limit", type=limit, metavar="N", help="at most this many (default: 100)")


def add_discrepancy_commands(add: Add) -> None:
    """The subcommands of `discrepancy`."""
    close = add(
        "close", "say that one was seen to", Remote("discrepancy.close", lambda row: discrepancies([row]), _close)
    )
    close.add_argument("discrepancy_id", metavar="ID")
    close.add_argument("--note", required=True, help="what was found out; it is kept")


def _sync(options: Options) -> int:
    """An account that could not be compared is a failure."""
    method = "account.report" if options.last else "account.sync"
    params = given(options, "account")
    answer = ask(options, lambda client: client.call(method, params, timeout_s=SYNC_PATIENCE_S))
    show(options, answer, reports)
    return Exit.DONE if all(not row["error"] for row in answer["items"]) else Exit.REFUSED


def reports(answer: Any) -> str:
    told = [table([result for row in answer for result in row["results"]], _RESULTS)]
    told += [f"{row['account']}: {row['error']}" for row in answer if row["error"]]
    told += [f"{row['account']}: balances are not checked: {row['unchecked']}" for row in answer if row["unchecked"]]
    found = [one for row in answer for one in row["discrepancies"]]
    if found:
        told.append(discrepancies(found))
    return "\n\n".join(told)


def discrepancies(answer: Any) -> str:
    return table(answer, _DISCREPANCIES)


def _close(options: Options) -> dict[str, Any]:
    return {"discrepancy_id": options.discrepancy_id, "note": options.note}


_FLOWS_OF = Remote(
    "account.flows", lambda answer: table(answer, _FLOWS), lambda o: given(o, "account", "currency", "kind", "limit")
)
_FOUND = Remote("discrepancies", discrepancies, lambda o: given(o, "all", "account", "limit"))
EXTERNAL = Remote("orders.external", lambda answer: table(answer, _EXTERNAL), lambda o: given(o, "account"))
