"""`doctor`: what can be found out now about whether a node can run here. One row a check: ok, warn or fail.

First what this machine tells, then the configuration, then the venues. A node that runs in the directory is asked for what it knows
of them; nothing is logged in beside it. Every question has a deadline, and all of it ends within 20 seconds.
"""

import msgspec
import trio

from actors.cli._config import DEFAULT_PROFILE, load_settings
from actors.cli._doctor_here import CHECKS
from actors.cli._doctor_keys import portfolios, unreadable
from actors.cli._doctor_node import running
from actors.cli._doctor_rows import Row
from actors.cli._doctor_venues import of_node, of_settings
from actors.cli._exits import CommandFailed, Exit
from actors.cli._output import key, say, say_json, table
from actors.cli._remote import Options


def doctor(options: Options) -> int:
    rows = [row for check in CHECKS for row in check(options)]
    rows += _settings_and_venues(options)
    if options.json:
        say_json(rows)
    else:
        columns = [(name, key(name)) for name in ("result", "check", "found")]
        say(table([msgspec.to_builtins(row) for row in rows], columns))
    return Exit.REFUSED if any(row.result == "fail" for row in rows) else Exit.DONE


def _settings_and_venues(options: Options) -> list[Row]:
    try:
        settings = load_settings(options)
    except CommandFailed as error:
        return [Row("config", "fail", error.text), *unreadable(error.__cause__), *_venues_of_node(options)]
    first = [
        Row("config", "ok", str(options.config or options.profile or DEFAULT_PROFILE)),
        *portfolios(settings.portfolios),
    ]
    if options.offline:
        return [*first, *trio.run(of_settings, settings, True)]
    return [*first, *(_venues_of_node(options) or trio.run(of_settings, settings, False))]


def _venues_of_node(options: Options) -> list[Row]:
    """Nothing where no node runs, or it is not to be asked."""
    if options.offline:
        return []
    found, rows = trio.run(running, options)
    return rows if found is None else [*rows, *trio.run(of_node, found)]
