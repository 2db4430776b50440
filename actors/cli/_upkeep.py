"""`verify`, `backup` and `restore`: on the files, whether a node runs or not."""

from pathlib import Path

import msgspec

from actors.cli._exits import CommandFailed, Exit
from actors.cli._output import pairs, say, say_json
from actors.cli._remote import Options
from engine import store as stores
from engine.kernel import Entropy, SystemClock

STORE_DIR = "store"


def store_path(options: Options) -> Path:
    return Path(options.dir) / STORE_DIR


def failed_store(error: stores.StoreError) -> CommandFailed:
    """The store's own error as ours; a directory that is in use is a refusal."""
    details = {"code": type(error).__name__, "expected": error.expected, "got": error.found}
    return CommandFailed(error.exit_code, str(error), details)


def verify(options: Options) -> int:
    """Walk the journal's chain and replay it: what is stored must be what the journal says."""
    try:
        report = stores.verify(store_path(options))
    except stores.StoreError as error:
        raise failed_store(error) from error
    if options.json:
        say_json(report)
    else:
        say(pairs(msgspec.to_builtins(report)))
    return Exit.DONE if report.ok else Exit.STORE


def backup(options: Options) -> int:
    """A whole copy of the store, live or not."""
    try:
        stores.backup(store_path(options), Path(options.dest))
    except stores.StoreError as error:
        raise failed_store(error) from error
    return _written(options, Path(options.dest))


def restore(options: Options) -> int:
    """A store made from a backup, where none is yet. Its ids carry a new node part, so none is used twice."""
    target = store_path(options)
    if target.exists() and any(target.iterdir()):
        raise CommandFailed(
            Exit.REFUSED, f"{target}: expected a missing or empty directory; move the old store away first"
        )
    try:
        stores.restore(Path(options.source), target, clock=SystemClock(), entropy=Entropy())
    except stores.StoreError as error:
        raise failed_store(error) from error
    return _written(options, target)


def _written(options: Options, path: Path) -> int:
    if options.json:
        say_json({"written": str(path)})
    else:
        say(f"written: {path}")
    return Exit.DONE
