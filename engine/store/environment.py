"""Rows, indexes, totals and journal in one LMDB environment, changed together or not at all.

It knows nothing of locks, versions or directories: `Store` opens one for the node, `creation` fills a new one aside,
`verify` replays a journal into a throw-away one. Its writer is one thread at a time; readers may be on any thread.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from engine.store import journal
from engine.store.errors import CommitRefused, StoreCorrupt, StoreForeign, translated
from engine.store.journal import LINK_BYTES, Body, Commit, Head, JournalEntry, Put, Row
from engine.store.points import AFTER_COMMIT, BEFORE_COMMIT, OnPoint, nowhere
from engine.store.tables import HEAD, JOURNAL, IndexSpec, Schema, TableSpec

__all__ = ["MAP_SIZE", "Environment", "Prepared"]

MAP_SIZE = 1 << 36  # 64 GiB of address space; the file takes only what it holds
MAX_DBS = 64
MAX_READERS = 510
HEAD_KEY = b"head"

Transaction = Any  # lmdb.Transaction[bytes]: its stub is generic, the class at run time is not


class Prepared:
    """A commit as bytes: everything that can be refused about it was checked. `seq` and `link` are set when it is written."""

    __slots__ = ("at_ms", "body", "link", "rows", "seq")

    def __init__(self, at_ms: int, body: bytes, rows: list[tuple[TableSpec[Any], bytes, bytes | None, Any]]) -> None:
        self.at_ms = at_ms
        self.body = body
        self.rows = rows
        self.seq = 0
        self.link = b""

    def entry(self, commit: Commit) -> JournalEntry:
        """The journal entry this became, given the commit it was made from."""
        assert self.seq > 0, "not written yet"
        return JournalEntry(self.seq, self.at_ms, commit.actor, commit.kind, commit.note, commit.changes, self.link)


def open_environment(directory: Path, *, map_size: int, read_only: bool, durable: bool = True) -> lmdb.Environment:
    """LMDB on `directory`. Only a writer names the engine version; readers take the file's own."""
    if read_only:
        return lmdb.open(
            str(directory), map_size=map_size, max_dbs=MAX_DBS, max_readers=MAX_READERS, readonly=True, create=False
        )
    return lmdb.open(
        str(directory),
        map_size=map_size,
        max_dbs=MAX_DBS,
        max_readers=MAX_READERS,
        max_spare_txns=1,
        mode=0o700,
        sync=durable,
        metasync=durable,
        writemap=False,
        lib_version=0,
    )


class Environment:
    """An open environment with the tables of `schema`."""

    def __init__(self, env: lmdb.Environment, schema: Schema, directory: Path, on_point: OnPoint = nowhere) -> None:
        self.env = env
        self.schema = schema
        self.path = str(directory)
        self.on_point = on_point
        self.databases: dict[str, Any] = {}
        self.head = Head()

    @classmethod
    def open(
        cls,
        directory: Path,
        schema: Schema,
        *,
        map_size: int = MAP_SIZE,
        read_only: bool = False,
        durable: bool = True,
        on_point: OnPoint = nowhere,
    ) -> "Environment":
        """Open the environment; tables come with `find_tables` or `add_tables`."""
        with translated(directory):
            env = open_environment(directory, map_size=map_size, read_only=read_only, durable=durable)
        return cls(env, schema, directory, on_point)

    def close(self) -> None:
        self.env.close()

    # -- databases ----------------------------------------------------------------------------------------------------

    def find_tables(self, names: Iterable[str]) -> None:
        """Open named databases that must exist; a missing one makes this somebody else's file."""
        with translated(self.path):
            for name in names:
                # Without a transaction of ours: LMDB forgets handles opened in a read transaction that is reused.
                try:
                    self.databases[name] = self.env.open_db(name.encode(), create=False)
                except (lmdb.NotFoundError, lmdb.IncompatibleError) as error:
                    raise StoreForeign(self.path, f"a table named {name}", self._names()) from error

    def _names(self) -> str:
        with self.env.begin() as txn:
            names = sorted(bytes(key).decode(errors="replace") for key, _ in txn.cursor())
        return ", ".join(names)[:200] or "no table at all"

    def add_tables(self) -> None:
        """Open every database of the schema, making those that are missing."""
        with translated(self.path), self.env.begin(write=True) as txn:
            for name in self.schema.databases:
                self.databases[name] = self.env.open_db(name.encode(), txn=txn)

    def load_head(self) -> Head:
        """Read where the chain stands."""
        with translated(self.path), self.env.begin(db=self.databases[HEAD]) as txn:
            self.head = self.head_in(txn)
        return self.head

    def head_in(self, txn: Transaction) -> Head:
        data = txn.get(HEAD_KEY, db=self.databases[HEAD])
        if data is None:
            return Head()
        try:
            return journal.decode_head(data)
        except ValueError as error:
            raise StoreCorrupt(self.path, "the head of the journal", str(error)) from error

    # -- writing ------------------------------------------------------------------------------------------------------

    def prepare(self, commit: Commit, at_ms: int) -> Prepared:
        """Check and encode a commit without touching the store; `CommitRefused` says what cannot be stored."""
        rows: list[tuple[TableSpec[Any], bytes, bytes | None, Any]] = []
        for change in commit.changes:
            spec = self.schema.table(change.table)
            key = spec.codec.encode(change.key)
            if isinstance(change, Put):
                rows.append((spec, key, spec.encode(change.key, change.value), change.value))
            else:
                rows.append((spec, key, None, None))
        if len(rows) > journal.MAX_CHANGES:
            raise CommitRefused(f"{commit.kind}: expected at most {journal.MAX_CHANGES} changes, got {len(rows)}")
        stored = tuple(Row(spec.name, key, value) for spec, key, value, _ in rows)
        body = Body(at_ms=at_ms, actor=commit.actor, kind=commit.kind, note=commit.note, rows=stored)
        return Prepared(at_ms, journal.encode_body(body), rows)

    def write(self, group: Sequence[Prepared]) -> list[int]:
        """Make all of `group` durable in one transaction; the journal's number of each. Raises `StoreError` with nothing done."""
        if not group:
            return []
        with translated(self.path), self.env.begin(write=True) as txn:
            head = self.append(txn, self.head, group)
            self.on_point(BEFORE_COMMIT)
        first = self.head.seq + 1
        self.head = head
        self.on_point(AFTER_COMMIT)
        return list(range(first, head.seq + 1))

    def append(self, txn: Transaction, head: Head, group: Iterable[Prepared]) -> Head:
        """Write entries and rows into an open transaction; where the chain stands then."""
        seq, link, totals = head.seq, head.link, dict(head.totals)
        entries, blake2b = self.databases[JOURNAL], hashlib.blake2b
        for prepared in group:
            seq += 1
            prepared.seq, prepared.link = seq, link
            value = link + prepared.body
            txn.put(seq.to_bytes(8, "big"), value, append=True, db=entries)
            link = blake2b(value, digest_size=LINK_BYTES).digest()
            for spec, key, data, after in prepared.rows:
                self._change(txn, totals, spec, key, data, after)
        head = Head(seq, link, head.first_seq, head.first_link, totals)
        self.put_head(txn, head)
        return head

    def put_head(self, txn: Transaction, head: Head) -> None:
        txn.put(HEAD_KEY, journal.encode_head(head), db=self.databases[HEAD])

    def _change(
        self, txn: Transaction, totals: dict[str, int], spec: TableSpec[Any], key: bytes, data: bytes | None, after: Any
    ) -> None:
        database = self.databases[spec.name]
        if not spec.derives:
            if data is None:
                txn.delete(key, db=database)
            else:
                txn.put(key, data, db=database)
            return
        old = txn.pop(key, db=database) if data is None else txn.replace(key, data, db=database)
        before = None if old is None else spec.view(old, self.path)
        for index in spec.indexes:
            self._reindex(txn, index, before, after)
        if spec.tally is not None:
            spec.tally(before, after, totals)

    def _reindex(self, txn: Transaction, index: IndexSpec, before: Any, after: Any) -> None:
        old, new = index.encoded(before), index.encoded(after)
        if old == new:
            return
        database = self.databases[index.name]
        if old is not None:
            txn.delete(old, db=database)
        if new is not None:
            txn.put(new, b"", db=database)

    def replay(self, txn: Transaction, totals: dict[str, int], rows: Iterable[Row]) -> None:
        """Apply the rows of a stored entry, deriving everything again."""
        for row in rows:
            spec = self.schema.tables.get(row.table)
            if spec is None:
                raise StoreCorrupt(self.path, "a table of this schema", row.table)
            after = None if row.value is None or not spec.derives else spec.view(row.value, self.path)
            self._change(txn, totals, spec, row.key, row.value, after)

    def rebuild_indexes(self, txn: Transaction) -> None:
        """Empty every index and fill it from the rows."""
        for spec in self.schema.tables.values():
            for index in spec.indexes:
                txn.drop(self.databases[index.name], delete=False)
            if spec.indexes:
                for _, value in txn.cursor(db=self.databases[spec.name]):
                    view = spec.view(value, self.path)
                    for index in spec.indexes:
                        self._reindex(txn, index, None, view)

    # -- reading the chain --------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A read-only transaction: a snapshot that pins its pages until it ends."""
        with translated(self.path), self.env.begin() as txn:
            yield txn

    def check_tail(self, count: int) -> None:
        """Check that the newest `count` entries are linked and that the head belongs to them."""
        with self.reading() as txn:
            head = self.head_in(txn)
            link, seq, cursor = head.link, head.seq, txn.cursor(db=self.databases[JOURNAL])
            for key, value in cursor.iterprev() if cursor.last() else ():
                if key != journal.seq_key(seq) or journal.link_of(value) != link:
                    raise StoreCorrupt(self.path, f"journal entry {seq} to match the link to it", "another value")
                link, seq, count = value[:LINK_BYTES], seq - 1, count - 1
                if count == 0:
                    return
            if (seq + 1, link) != (head.first_seq, head.first_link):
                raise StoreCorrupt(self.path, f"the journal to begin at entry {head.first_seq}", f"entry {seq + 1}")
