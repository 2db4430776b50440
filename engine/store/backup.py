"""Copies of a store: a backup of a live one, and a store made from a backup.

Both are built beside their destination and moved there when they are complete and durable, so a destination is whole or
not there. A copy is one read transaction, hence one consistent state, while the writer goes on. Archives are copied
after it: those the state needs were written before it and never change.
"""

import shutil
from pathlib import Path

from engine.store import layout
from engine.store.archive import archives
from engine.store.environment import MAP_SIZE, Environment
from engine.store.errors import StoreError, StoreForeign, translated
from engine.store.journal import Commit, Put
from engine.store.lock import DirectoryLock
from engine.store.points import COPY_BUILT, OnPoint, nowhere
from engine.store.tables import HEAD, Schema
from engine.store.versions import NODE_PART, check_version

__all__ = ["copy_store", "restore_copy"]


def copy_store(environment: Environment, store: Path, destination: Path, on_point: OnPoint = nowhere) -> None:
    """Copy an open store to `destination`, which must be missing or empty."""
    with translated(destination):
        partial = _prepare(destination)
        _copy(environment, store, partial)
        _finish(partial, destination, on_point)


def restore_copy(
    source: Environment,
    store: Path,
    destination: Path,
    schema: Schema,
    *,
    now_ms: int,
    node_part: str,
    map_size: int = MAP_SIZE,
    on_point: OnPoint = nowhere,
) -> None:
    """Copy `source` to `destination` as a store of its own: ids made from now on carry a new node part."""
    with translated(destination):
        partial = _prepare(destination)
        _copy(source, store, partial)
        _rename_node(partial, schema, map_size, now_ms, node_part)
        _finish(partial, destination, on_point)


def _prepare(destination: Path) -> Path:
    """An empty directory beside `destination`, after checking that nothing is in the way."""
    if destination.exists():
        if not destination.is_dir():
            raise StoreForeign(destination, "an empty or missing directory", "a file")
        lock = destination / layout.LOCK
        if lock.exists():
            DirectoryLock(lock).release()  # names the process that holds it
        names = sorted(entry.name for entry in destination.iterdir())
        if names:
            raise StoreError(destination, "an empty or missing directory", ", ".join(names)[:200])
    layout.make_directory(destination.parent)
    partial = destination.with_name(f".{destination.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700)
    return partial


def _copy(environment: Environment, store: Path, partial: Path) -> None:
    environment.env.copy(str(partial), compact=True)
    (partial / layout.DATA).chmod(0o600)
    map_size = environment.env.info()["map_size"]
    copied = Environment.open(partial, environment.schema, map_size=map_size, read_only=True)
    try:
        copied.find_tables((HEAD,))
        first_seq = copied.load_head().first_seq
    finally:
        copied.close()
    for archive in archives(store):
        if archive.last_seq < first_seq:
            (partial / layout.ARCHIVE).mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(archive.path, partial / layout.ARCHIVE / archive.path.name)


def _rename_node(partial: Path, schema: Schema, map_size: int, now_ms: int, node_part: str) -> None:
    environment = Environment.open(partial, schema, map_size=map_size)
    try:
        environment.find_tables(("meta", HEAD))
        check_version(environment, exactly=True)
        environment.find_tables(schema.databases)
        environment.load_head()
        commit = Commit("store.restored", (Put("meta", NODE_PART, node_part),))
        environment.write([environment.prepare(commit, now_ms)])
    finally:
        environment.close()


def _finish(partial: Path, destination: Path, on_point: OnPoint) -> None:
    (partial / layout.READERS).unlink(missing_ok=True)
    for path in sorted(partial.rglob("*")):
        if path.is_file():
            layout.sync_file(path)
    for path in (*(path for path in sorted(partial.rglob("*")) if path.is_dir()), partial):
        layout.sync_directory(path)
    on_point(COPY_BUILT)
    partial.replace(destination)
    layout.sync_directory(destination.parent)
