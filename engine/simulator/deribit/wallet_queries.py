"""Queries about money that came and went: deposits, withdrawals, transfers. Newest first, by offset."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from engine.simulator.accounts import LogEntry
from engine.simulator.deribit.method import Call, method, takes
from engine.simulator.deribit.params import CURRENCY, Param, integer, required

READ = "wallet:read"
OTHER_SIDE = "treasury"  # the account of the same owner that transfers come from and go to
PAGE: dict[str, Param] = {
    "currency": required(CURRENCY),
    "count": integer(1, 1000, default=10),
    "offset": integer(0, 10**9, default=0),
}


@method("private/get_deposits", takes(**PAGE), scope=READ)
def get_deposits(call: Call) -> Any:
    return _page(call, "deposit", _deposit)


@method("private/get_withdrawals", takes(**PAGE), scope=READ)
def get_withdrawals(call: Call) -> Any:
    return _page(call, "withdrawal", _withdrawal)


@method("private/get_transfers", takes(**PAGE), scope=READ)
def get_transfers(call: Call) -> Any:
    return _page(call, "transfer", _transfer)


def _page(call: Call, kind: str, row: Callable[[LogEntry], dict[str, Any]]) -> Any:
    rows = [
        entry
        for entry in reversed(call.account.log)
        if entry.kind == kind and entry.change and call["currency"] in ("any", entry.currency)
    ]
    page = rows[call["offset"] : call["offset"] + call["count"]]
    return {"count": len(rows), "data": [row(entry) for entry in page]}


def _deposit(entry: LogEntry) -> dict[str, Any]:
    return {
        "address": _drawn("address", entry)[:34],
        "amount": entry.change,
        "currency": entry.currency,
        "received_timestamp": entry.at_ms,
        "state": "completed",
        "transaction_id": _drawn("transaction", entry),
        "updated_timestamp": entry.at_ms,
    }


def _withdrawal(entry: LogEntry) -> dict[str, Any]:
    """`amount` is what left; this venue takes no fee for it."""
    return {
        "address": _drawn("address", entry)[:34],
        "amount": -entry.change,
        "confirmed_timestamp": entry.at_ms,
        "created_timestamp": entry.at_ms,
        "currency": entry.currency,
        "fee": 0,
        "id": entry.entry_id,
        "priority": 0,
        "state": "completed",
        "transaction_id": _drawn("transaction", entry),
        "updated_timestamp": entry.at_ms,
    }


def _transfer(entry: LogEntry) -> dict[str, Any]:
    return {
        "amount": abs(entry.change),
        "created_timestamp": entry.at_ms,
        "currency": entry.currency,
        "direction": "income" if entry.change > 0 else "payment",
        "id": entry.entry_id,
        "other_side": OTHER_SIDE,
        "state": "confirmed",
        "type": "subaccount",
        "updated_timestamp": entry.at_ms,
    }


def _drawn(what: str, entry: LogEntry) -> str:
    """A name on some chain that is nobody's."""
    return sha256(f"{what} {entry.currency} {entry.entry_id} {entry.at_ms}".encode()).hexdigest()
