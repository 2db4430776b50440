"""How the answers of the node look to people."""

from typing import Any

from actors.cli._output import Column, amount, key, pairs, table, time_of

Answer = Any


def status(answer: Answer) -> str:
    feeds, history, orders = answer["feeds"], answer["history"], answer["orders"]
    return "\n".join(
        (
            f"{answer['node']} ({answer['profile']}, {answer['mode']})  up {_duration(answer['uptime_s'])}  gate {answer['gate']}",
            f"actors     {answer['actors']} running, {answer['restarts']} restarts, {answer['dead_letters']} dead letters",
            f"feeds      {feeds['live']} live, {feeds['polling']} polling, {feeds['stale']} stale",
            f"history    {history['loaded']} of {history['wanted']} loaded",
            f"orders     {orders['open']} open, {orders['unknown']} unknown",
            f"of all     {orders['accepted']} accepted, {orders['filled']} filled, {orders['rejected']} rejected",
            f"queue      {_queue(answer['metrics'])}",
            f"fills      {answer['fills']}",
            f"positions  {answer['positions']}",
            f"to review  {answer['discrepancies']} discrepancies",
        )
    )


def _queue(metrics: Answer) -> str:
    took = f"{metrics['orders_processed']} processed in {metrics['avg_processing_time']:.3f} s each"
    return (
        f"{metrics['queue_length']} wait, {took}, {metrics['orders_failed']} failed, {metrics['retry_count']} retries"
    )


def _duration(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    return f"{f'{days}d ' if days else ''}{hours:02}:{rest // 60:02}:{rest % 60:02}"


def tree(answer: Answer) -> str:
    return table(
        _walk(answer, 0),
        (
            ("actor", key("name")),
            ("state", key("state")),
            ("mode", key("mode")),
            ("incarnation", key("incarnation")),
            ("restarts", key("restarts")),
            ("waiting", lambda row: (row["mailbox"] or {}).get("waiting")),
            ("handled", lambda row: (row["mailbox"] or {}).get("handled")),
            ("last error", lambda row: (row["last_error"] or "")[:80]),
        ),
    )


def _walk(node: Answer, depth: int) -> list[Answer]:
    name = "  " * depth + node["path"].rpartition("/")[2]
    return [{**node, "name": name}, *(row for child in node["children"] for row in _walk(child, depth + 1))]


def feeds(answer: Answer) -> str:
    return table(
        answer,
        (
            ("instrument", key("instrument")),
            ("mode", key("mode")),
            ("bid", key("bid")),
            ("ask", key("ask")),
            ("mark", key("mark")),
            ("updates", key("updates")),
            ("gaps", key("gaps")),
            ("source and age", lambda row: ", ".join(_age(name, found) for name, found in row["classes"].items())),
        ),
    )


def _age(name: str, found: Answer) -> str:
    came = "never" if found["age_s"] is None else f"{found['source']} {found['age_s']:.1f}s"
    return f"{name} {came}{' STALE' if found['stale'] else ''}"


def waits_for(row: Answer) -> str:
    """What keeps an order of the queue from leaving, and whose turn it is before others."""
    if row["state"] != "waiting" and not row["review"]:
        return ""
    entry = (row["link"] or {}).get("after", "")
    conditional = row["met_at_ms"] is None
    what = [
        "a person" if row["review"] else "",
        entry,
        "conditions" if conditional and (row["conditions"] or row["any_of"]) else "",
        "its trail" if conditional and row["trail"] and not row.get("native_trail") else "",
        time_of(row["due_at_ms"]) if row["due_at_ms"] else "",
    ]
    turn = "" if row["priority"] == "normal" else f"({row['priority']})"
    return " ".join(filter(None, [", ".join(filter(None, what)), turn]))


ORDER_COLUMNS: tuple[Column, ...] = (
    ("order", key("order_id")),
    ("instrument", key("instrument")),
    ("side", key("side")),
    ("type", key("order_type")),
    ("amount", amount("amount")),
    ("price", amount("price")),
    ("trigger", amount("trigger_price")),
    ("filled", amount("filled_amount")),
    ("state", lambda row: row["state"] + (" (cancelling)" if row["cancel"] == "requested" else "")),
    ("waits for", waits_for),
    ("strategy", key("strategy")),
    ("created", lambda row: time_of(row["created_at_ms"])),
    ("reason", key("reason")),
)


def orders(answer: Answer) -> str:
    return table(answer, ORDER_COLUMNS)


def order(answer: Answer) -> str:
    return f"{pairs(answer['order'])}\n\nfills:\n{fills(answer['fills'])}"


def fills(answer: Answer) -> str:
    return table(
        answer,
        (
            ("time", lambda row: time_of(row["filled_at_ms"])),
            ("account", key("account")),
            ("instrument", key("instrument")),
            ("side", key("side")),
            ("amount", amount("amount")),
            ("price", amount("price")),
            ("fee", lambda row: f"{amount('fee')(row)} {row['fee_currency']}"),
            ("as", key("liquidity")),
            ("order", key("order_id")),
            ("trade", key("trade_id")),
        ),
    )


def positions(answer: Answer) -> str:
    return table(
        answer,
        (
            ("account", key("account")),
            ("instrument", key("instrument")),
            ("side", key("side")),
            ("amount", amount("amount")),
            ("average", amount("average_price")),
            ("mark", amount("mark_price")),
            ("unrealised", amount("unrealised_pnl")),
            ("realised", amount("realised_pnl")),
            ("currency", key("currency")),
            ("updated", lambda row: time_of(row["updated_at_ms"])),
        ),
    )


def balances(answer: Answer) -> str:
    names = ("balance", "equity", "available", "initial_margin", "maintenance_margin")
    columns: list[Column] = [("account", key("account")), ("currency", key("currency"))]
    columns += [(name.replace("_", " "), amount(name)) for name in names]
    return table(answer, [*columns, ("updated", lambda row: time_of(row["updated_at_ms"]))])


def notices(answer: Answer) -> str:
    return table(
        answer,
        (
            ("time", lambda row: time_of(row["at_ms"])),
            ("severity", key("severity")),
            ("kind", key("kind")),
            ("text", lambda row: row["text"][:120]),
            ("order", key("order_id")),
            ("delivered to", key("delivered_to")),
        ),
    )


def strategies(answer: Answer) -> str:
    rows = answer if isinstance(answer, list) else [answer]
    names = ("name", "state", "restarts", "last_error")
    return table(rows, [(name.replace("_", " "), key(name)) for name in names])


def channels(answer: Answer) -> str:
    return table(answer, [(name, key(name)) for name in ("channel", "ok", "error")])


def accepted(answer: Answer) -> str:
    return f"accepted: {answer['order_id']}" + ("" if answer["status"] == "created" else f" ({answer['status']})")


def gates(answer: Answer) -> str:
    lines = [f"{account}: {gate}" for account, gate in answer["gates"].items()]
    return "\n".join(lines) or "no account is configured"


def cancelled(answer: Answer) -> str:
    lines = [f"{account}: {count} cancels on their way" for account, count in answer["cancelled"].items()]
    return "\n".join(lines) or "no account is configured"


def flattened(answer: Answer) -> str:
    return pairs(answer["accounts"]) or "no account is configured"
