"""`credentials …`: the keys of the accounts."""

import argparse
from collections.abc import Callable
from typing import Any

from actors.cli._exits import Exit
from actors.cli._output import key, table, time_of
from actors.cli._remote import Options, Remote, ask, given, patience, show

Rows = list[dict[str, Any]]
_DONE = ("replaced", "unchanged")


def add_credential_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """The subcommands of `credentials`."""
    add(
        "list",
        "every account's key: where it is kept, what it may do, when it was last used",
        Remote("credentials.list", rows),
    )
    check = add("check", "ask the venues what the keys may do", check_now)
    reload = add("reload", "read key pairs again from where they are kept, and use what is new", reload_now)
    for parser in (check, reload):
        parser.add_argument("account", nargs="?", default="", metavar="ACCOUNT", help="only this one")
    reload.add_argument(
        "--trust", action="store_true", help="use the new pair also if it does not look like one of the same account"
    )


def check_now(options: Options) -> int:
    """A key that needs somebody's attention is a failure."""
    answer = _call(options, "credentials.check", "account")
    show(options, answer, rows)
    return Exit.REFUSED if any(row["problem"] for row in answer["items"]) else Exit.DONE


def reload_now(options: Options) -> int:
    """A pair that is not the one its place holds is a failure, and so is a place that cannot change."""
    answer = _call(options, "credentials.reload", "account", "trust")
    show(options, answer, reloaded)
    return Exit.DONE if all(row["outcome"] in _DONE for row in answer["items"]) else Exit.REFUSED


def _call(options: Options, method: str, *names: str) -> Any:
    return ask(options, lambda client: client.call(method, given(options, *names), timeout_s=patience(options)))


def rows(found: Rows) -> str:
    columns = [
        ("account", key("account")),
        ("key", key("key")),
        ("kept in", lambda row: row["kept"]),
        ("may", may),
        ("checked", lambda row: time_of(row["checked_at_ms"])),
        ("used", lambda row: time_of(row["used_at_ms"])),
        ("refused", lambda row: time_of(row["refused_at_ms"])),
        ("problem", key("problem")),
    ]
    return table(found, columns)


def may(row: dict[str, Any]) -> str:
    """`read, trade, no withdraw`; a right the venue did not speak of has a question mark."""
    marks = {True: "{}", False: "no {}", None: "{}?"}
    return ", ".join(marks[row[right]].format(right) for right in ("read", "trade", "withdraw"))


def reloaded(found: Rows) -> str:
    return table(found, [(name, key(name)) for name in ("account", "outcome", "key", "text")])
