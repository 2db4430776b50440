"""How a store comes to be and how it follows the program's versions.

The version of the tables is a row in `meta`, written by the first entry of the journal and by every migration. A store
of a later version is refused: this program cannot know what its rows mean.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from engine.store import layout
from engine.store.environment import Environment
from engine.store.errors import StoreCorrupt, StoreError, StoreForeign, StoreNewer, translated
from engine.store.journal import Commit, Put
from engine.store.points import CREATED_ASIDE, OnPoint
from engine.store.tables import RowReader, Schema

FORMAT = "format"
FORMAT_NAME = "tradenode store"
SCHEMA = "schema"
NODE_PART = "node_part"
CREATED = "created_at_ms"


def create(path: Path, schema: Schema, map_size: int, now_ms: int, node_part: str, on_point: OnPoint) -> None:
    """Build a new store aside and move it to `path` when it is complete and durable."""
    first = Commit(
        "store.created",
        (
            Put("meta", FORMAT, FORMAT_NAME),
            Put("meta", SCHEMA, schema.version),
            Put("meta", NODE_PART, node_part),
            Put("meta", CREATED, now_ms),
        ),
    )
    with translated(path):
        aside = layout.clear_aside(path)
        layout.reserve_readers(aside)
        environment = Environment.open(aside, schema, map_size=map_size)
        try:
            environment.add_tables()
            environment.write([environment.prepare(first, now_ms)])
        finally:
            environment.close()
        on_point(CREATED_ASIDE)
        layout.publish(aside, path)


def check_version(environment: Environment, exactly: bool = False) -> int:
    """The version of the store's tables: this program's or, unless `exactly`, an older one it can migrate."""
    path = environment.path
    format_name = _meta(environment, FORMAT)
    if format_name != FORMAT_NAME:
        raise StoreForeign(path, f"meta row {FORMAT!r} to be {FORMAT_NAME!r}", repr(format_name))
    version, known = _meta(environment, SCHEMA), environment.schema.version
    if not isinstance(version, int) or version < 1:
        raise StoreCorrupt(path, "a schema version from 1 on", repr(version))
    if version > known:
        raise StoreNewer(path, f"schema version {known} or older", f"version {version}: use a newer program")
    if exactly and version < known:
        raise StoreNewer(path, f"schema version {known}", f"version {version}: start the node once, it migrates")
    return version


def _meta(environment: Environment, key: str) -> Any:
    with environment.reading() as txn:
        data = txn.get(key.encode(), db=environment.databases["meta"])
    with suppress(msgspec.DecodeError):
        return None if data is None else msgspec.msgpack.decode(data)
    raise StoreCorrupt(environment.path, f"a value under {key!r} in meta", data.hex())


def bring_up_to_date(environment: Environment, version: int, now_ms: int) -> None:
    """Run the missing migrations, each in one transaction with its journal entries, then open every table."""
    if version == environment.schema.version:
        environment.find_tables(environment.schema.databases)
        return
    environment.add_tables()
    for step in range(version, environment.schema.version):
        _migrate(environment, step, now_ms)


def _migrate(environment: Environment, step: int, now_ms: int) -> None:
    migration = environment.schema.migrations.get(step)
    if migration is None:
        raise StoreError(environment.path, f"a way from schema version {step}", "none in this program")
    with translated(environment.path), environment.env.begin(write=True) as txn:
        commits = [*migration(RowReader(lambda name: _rows(environment, txn, name)))]
        commits.append(Commit("store.migrated", (Put("meta", SCHEMA, step + 1),), note=f"from version {step}"))
        prepared = [environment.prepare(commit, now_ms) for commit in commits]
        head = environment.append(txn, environment.head, prepared)
        environment.rebuild_indexes(txn)
    environment.head = head


def _rows(environment: Environment, txn: Any, name: str) -> Iterable[tuple[Any, Any]]:
    """Rows as plain values: an old row need not fit its present type."""
    spec = environment.schema.table(name)
    for key, value in txn.cursor(db=environment.databases[name]):
        yield spec.codec.decode(key), msgspec.msgpack.decode(value)
