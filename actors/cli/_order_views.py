"""How orders, sets of them and plans look to people."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from actors.cli._output import Column, amount, cell, key, pairs, table
from actors.cli._views import accepted

Answer = Any


def _time(name: str) -> Callable[[Any], Any]:
    """A time of a record to the second."""
    return lambda row: row[name] and f"{row[name][:19].replace('T', ' ')}Z"


COLUMNS: tuple[Column, ...] = (
    ("order", key("order_id")),
    ("instrument", key("instrument_name")),
    ("side", key("direction")),
    ("type", key("order_type")),
    ("amount", amount("amount")),
    ("price", amount("price")),
    ("filled", amount("filled_amount")),
    ("average", lambda row: amount("avg_price")(row) if Decimal(row["avg_price"]) else None),
    ("status", key("status")),
    ("strategy", key("strategy")),
    ("created", _time("created_at")),
    ("reason", lambda row: row["review"] or row["reason"]),
)


def records(answer: Answer) -> str:
    return table(answer, COLUMNS)


def page(answer: Answer) -> str:
    more = f"\n\nmore: --cursor {answer['next']}" if answer["next"] else ""
    return records(answer["orders"]) + more


def linked(answer: Answer) -> str:
    kept = "the venue" if answer["native"] else "this node"
    return f"{records(answer['orders'])}\n\nset {answer['group']}; what binds them is kept by {kept}"


def results(answer: Answer) -> str:
    columns: list[Column] = [
        ("accepted", lambda row: row["ok"]),
        ("order", lambda row: row["order"]["order_id"] if row["ok"] else None),
        ("why not", lambda row: None if row["ok"] else f"{row['error']['code']}: {row['error']['message']}"),
    ]
    return table(answer, columns)


def routed(answer: Answer) -> str:
    """What every instrument of a route would cost, the best first."""
    columns: list[Column] = [("instrument", key("instrument_name")), ("account", key("account_id"))]
    columns += [(name.replace("_", " "), amount(name)) for name in ("amount", "price", "taker_fee", "net_price")]
    considered = table(answer["considered"], [*columns, ("why not", key("reason"))]) if answer["considered"] else ""
    return f"{considered}\n\n{accepted(answer['order'])}".lstrip() if "order" in answer else considered


def watched(answer: Answer) -> str:
    """Every condition, what was seen of it, and how old that is."""
    columns: list[Column] = [
        ("condition", key("text")),
        ("group", key("group")),
        ("seen", key("seen")),
        ("age", lambda row: None if row["age_s"] is None else f"{row['age_s']:.1f}s{' STALE' if row['stale'] else ''}"),
        ("met", key("met")),
        ("problem", key("problem")),
    ]
    trailing = {name: answer[name] for name in ("best", "trigger") if answer[name] is not None}
    shown = (
        table(answer["conditions"], columns) if answer["conditions"] else pairs(trailing) or "it does not follow yet"
    )
    return f"{answer['problem'] or shown}\n\nmet: {cell(answer['met'])}"


def monitored(answer: Answer) -> str:
    record = {name: value for name, value in answer["order"].items() if value not in (None, "", [], {}, False)}
    told = [
        pairs({name: value for name, value in record.items() if name not in ("id", "conditions")}),
        f"waits for: {cell(answer['waits_for'])}",
    ]
    if answer["conditions"]:
        told.append(watched(answer["conditions"]))
    fills = [(name, key(name)) for name in ("executed_at", "amount", "price", "fee", "fee_currency", "trade_id")]
    return "\n\n".join([*told, f"fills:\n{table(answer['fills'], fills)}"])


_QUEUE = ("queue_length", "ready", "delayed", "conditional", "linked", "in_review", "in_flight", "open", "unknown")
_DID = ("orders_processed", "orders_failed", "retry_count")


def queue(answer: Answer) -> str:
    """A line for every account."""
    columns: list[Column] = [("account", key("account"))]
    columns += [(name.replace("_", " "), key(name)) for name in (*_QUEUE, *_DID)]
    columns += [
        ("seconds", lambda row: f"{row['avg_processing_time']:.3f}"),
        ("oldest", lambda row: f"{row['oldest_ready']:.1f}s"),
    ]
    return table(list(answer["accounts"].values()), columns)


_FIGURES: tuple[Column, ...] = (
    ("orders", key("orders")),
    ("processed", key("orders_processed")),
    ("failed", key("orders_failed")),
    ("success", lambda row: f"{row['success_rate']:.1%}"),
    ("seconds", lambda row: f"{row['avg_processing_time']:.3f}"),
    ("retries", key("retry_count")),
)
_DIMENSIONS = ("account", "instrument", "direction", "strategy")


def figures(answer: Answer) -> str:
    """The whole, then by everything it is told apart by."""
    told = [table([answer], _FIGURES), pairs(answer["by_status"])]
    for name in _DIMENSIONS:
        rows = [{"name": value} | found for value, found in answer[f"by_{name}"].items()]
        told.append(table(rows, ((name, key("name")), *_FIGURES)))
    told.append(table(answer["by_period"], (("from", _time("start")), *_FIGURES)))
    if not answer["complete"]:
        told.append("there were more orders than were looked at: these are the newest")
    return "\n\n".join(told)


PLAN_COLUMNS: tuple[Column, ...] = (
    ("plan", key("plan_id")),
    ("instrument", key("instrument_name")),
    ("side", key("direction")),
    ("style", key("style")),
    ("amount", amount("amount")),
    ("filled", amount("filled_amount")),
    ("average", lambda row: amount("avg_price")(row) if Decimal(row["avg_price"]) else None),
    ("status", key("status")),
    ("waits for", lambda row: row["waits_for"] or row["reason"]),
    ("created", _time("created_at")),
)


def plans(answer: Answer) -> str:
    return table(answer, PLAN_COLUMNS)


def placed(answer: Answer) -> str:
    """An order, or a plan that will be many."""
    return f"plan {answer['plan_id']}: {answer['status']}" if "plan_id" in answer else accepted(answer)


def published(answer: Answer) -> str:
    return f"told: {cell(answer['accounts'])}"
