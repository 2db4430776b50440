"""What a journal entry means to subscribers: rows of which tables are events of which topic."""

from collections.abc import Iterator
from typing import Any

from engine.store import Delete, JournalEntry

JOURNAL_TOPICS = ("order", "plan", "fill", "position", "balance", "gate", "notice", "task", "actor")
MARKET_TOPICS = ("feed", "book", "bar", "trade", "mark")
LAGGED = "lagged"

GATE_PREFIX = "gate:"  # of keys in the meta table, followed by the account
_TABLE_TOPICS = {
    "orders": "order",
    "plans": "plan",
    "fills": "fill",
    "positions": "position",
    "balances": "balance",
    "notices": "notice",
    "tasks": "task",
}
_ACTOR_KIND = "actor."  # kinds of entries about the tree: restarts, parkings, moves on a ladder


def events_of(entry: JournalEntry) -> Iterator[tuple[str, Any]]:
    """(topic, data) of every event in an entry. Data is the row after the change; a deleted row is its key."""
    if entry.kind.startswith(_ACTOR_KIND):
        yield "actor", {"kind": entry.kind, "actor": entry.actor, "note": entry.note}
    for change in entry.changes:
        topic = _TABLE_TOPICS.get(change.table)
        if change.table == "meta" and str(change.key).startswith(GATE_PREFIX):
            account = str(change.key).removeprefix(GATE_PREFIX)
            yield "gate", {"account": account, "gate": None if isinstance(change, Delete) else change.value}
        elif topic is not None:
            yield topic, {"deleted": change.key} if isinstance(change, Delete) else change.value
