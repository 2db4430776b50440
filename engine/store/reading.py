"""Reading tables, indexes and the journal without holding the store up.

An LMDB read transaction pins every page it can see. So rows are fetched a chunk at a time, each chunk in a transaction
of its own: a slow consumer holds nothing, and a loop over a million rows costs the memory of one chunk. What one chunk
shows is consistent; between chunks the writer may go on. Where several reads must agree, `Store.snapshot()` gives them
one transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice, takewhile
from typing import Any, Generic, TypeVar

from engine.store import journal
from engine.store.errors import StoreCorrupt
from engine.store.journal import Body, Change, Delete, JournalEntry, Put
from engine.store.tables import IndexSpec, Schema, TableSpec

__all__ = ["Index", "Table"]

K = TypeVar("K")
V = TypeVar("V")

CHUNK_ROWS = 256
UNBOUNDED = 1 << 62
Begin = Callable[[], AbstractContextManager[Any]]  # a read transaction, fresh or shared


class Scan:
    """Rows of one database as bytes, in key order."""

    __slots__ = ("_begin", "_database")

    def __init__(self, begin: Begin, database: Any) -> None:
        self._begin = begin
        self._database = database

    def get(self, key: bytes) -> bytes | None:
        with self._begin() as txn:
            value: bytes | None = txn.get(key, db=self._database)
            return value

    def count(self) -> int:
        with self._begin() as txn:
            entries: int = txn.stat(self._database)["entries"]
            return entries

    def rows(
        self, prefix: bytes, low: bytes, below: bytes | None, reverse: bool, limit: int | None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose key has `prefix` and lies in [low, below), at most `limit`."""
        left = UNBOUNDED if limit is None else limit
        low, below = max(prefix, low), _lower(after(prefix), below)
        while left > 0:
            size = min(left, CHUNK_ROWS)
            chunk = self._chunk(low, below, reverse, size)
            yield from chunk
            if len(chunk) < size:
                return
            left -= size
            if reverse:
                below = chunk[-1][0]
            else:
                low = chunk[-1][0] + b"\0"

    def _chunk(self, low: bytes, below: bytes | None, reverse: bool, size: int) -> list[tuple[bytes, bytes]]:
        with self._begin() as txn:
            cursor = txn.cursor(db=self._database)
            if reverse:
                at_row = cursor.prev() if below and cursor.set_range(below) else cursor.last()
                rows = islice(cursor.iterprev() if at_row else (), size)
                return list(takewhile(lambda row: row[0] >= low, rows))
            at_row = cursor.set_range(low) if low else cursor.first()
            rows = islice(cursor.iternext() if at_row else (), size)
            return list(rows if below is None else takewhile(lambda row: row[0] < below, rows))


def _lower(one: bytes | None, other: bytes | None) -> bytes | None:
    """The lower of two exclusive bounds, where None is no bound."""
    return min(one, other) if one is not None and other is not None else one or other


def after(prefix: bytes) -> bytes | None:
    """The smallest key above all keys with `prefix`; None when there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def _bounds(start: bytes | None, whole: bool, reverse: bool) -> tuple[bytes, bytes | None]:
    """[low, below) that begins with `start`, or ends with it (or with all keys it is the beginning of) when read backwards."""
    if start is None:
        return b"", None
    if not reverse:
        return start, None
    return b"", start + b"\0" if whole else after(start)


class Table(Generic[K, V]):
    """The rows of one table, decoded when they are asked for."""

    def __init__(self, begin: Begin, database: Any, spec: TableSpec[V], path: str) -> None:
        self._scan = Scan(begin, database)
        self._spec = spec
        self._path = path

    def get(self, key: K) -> V | None:
        data = self._scan.get(self._spec.codec.encode(key))
        return None if data is None else self._spec.decode(data, self._path)

    def count(self) -> int:
        return self._scan.count()

    def iterate(
        self, prefix: Any = None, start: K | None = None, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[K, V]]:
        """Rows in key order: those whose key begins with `prefix`, from `start` (inclusive) on, at most `limit`."""
        codec = self._spec.codec
        stem = b"" if prefix is None else codec.prefix(prefix)
        low, below = _bounds(None if start is None else codec.encode(start), True, reverse)
        for key, value in self._scan.rows(stem, low, below, reverse, limit):
            yield _decoded_key(codec.decode, key, self._spec.name, self._path), self._spec.decode(value, self._path)


class Index:
    """Other keys of a table's rows: tuples that end in the row's own key."""

    def __init__(self, begin: Begin, database: Any, spec: IndexSpec, path: str) -> None:
        self._scan = Scan(begin, database)
        self._spec = spec
        self._path = path

    def count(self) -> int:
        return self._scan.count()

    def iterate(
        self,
        prefix: tuple[Any, ...] = (),
        start: tuple[Any, ...] | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Tuples in order, with the same arguments as `Table.iterate`; `start` may leave out trailing parts."""
        codec = self._spec.codec
        low, below = _bounds(None if start is None else codec.prefix(start), False, reverse)
        for key, _ in self._scan.rows(codec.prefix(prefix), low, below, reverse, limit):
            yield _decoded_key(codec.decode, key, self._spec.name, self._path)


def _decoded_key(decode: Callable[[bytes], Any], data: bytes, name: str, path: str) -> Any:
    try:
        return decode(data)
    except ValueError as error:
        raise StoreCorrupt(path, f"a key of {name}", data.hex()) from error


class Journal:
    """The entries still in the store (older ones are in archives)."""

    def __init__(self, begin: Begin, database: Any, schema: Schema, path: str) -> None:
        self._scan = Scan(begin, database)
        self._schema = schema
        self._path = path

    def count(self) -> int:
        return self._scan.count()

    def values(self, from_seq: int, limit: int | None) -> Iterator[tuple[int, bytes]]:
        for key, value in self._scan.rows(b"", journal.seq_key(from_seq), None, False, limit):
            yield int.from_bytes(key, "big"), value

    def entries(self, from_seq: int, limit: int | None) -> Iterator[JournalEntry]:
        for seq, value in self.values(from_seq, limit):
            yield decode_entry(seq, value, self._schema, self._path)


def decode_entry(seq: int, value: bytes, schema: Schema, path: str) -> JournalEntry:
    """A stored entry with typed rows."""
    link, body = journal.decode_value(value, seq, path)
    return JournalEntry(seq, body.at_ms, body.actor, body.kind, body.note, _changes(body, schema, path), link)


def _changes(body: Body, schema: Schema, path: str) -> tuple[Change, ...]:
    changes: list[Change] = []
    for row in body.rows:
        spec = schema.table(row.table)
        key = _decoded_key(spec.codec.decode, row.key, row.table, path)
        changes.append(
            Delete(row.table, key) if row.value is None else Put(row.table, key, spec.decode(row.value, path))
        )
    return tuple(changes)
