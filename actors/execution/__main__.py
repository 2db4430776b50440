"""`python -m actors.execution report --dir DIR`: whether learned execution parameters help, from a node's store.

Reads beside a running node or without one. Exit 0 with a report, whatever it says; 1 if there is no store to read; 2 for wrong usage.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.execution.desk import ExecutionSettings
from actors.execution.reporting import as_text, report
from engine.store import Store, StoreError

STORE_DIR = "store"


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    rules = ExecutionSettings()
    parser = argparse.ArgumentParser(prog="python -m actors.execution", description="Look at how plans were worked.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    told = commands.add_parser("report", help="whether learned parameters help, compared with the fixed rules")
    told.add_argument("--dir", required=True, type=Path, help="the node's directory")
    told.add_argument("--distance-ticks", type=int, default=rules.distance_ticks, help="of the rules (%(default)s)")
    told.add_argument("--step-s", type=float, default=rules.step_s, help="of the rules (%(default)s)")
    told.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def run(arguments: Sequence[str]) -> int:
    """The exit code."""
    options = options_of(arguments)
    settings = ExecutionSettings(distance_ticks=options.distance_ticks, step_s=options.step_s)
    try:
        with Store.open(options.dir / STORE_DIR, read_only=True) as store:
            found = report(store, settings)
    except StoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    text = msgspec.json.encode(found).decode() if options.json else as_text(found)
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
