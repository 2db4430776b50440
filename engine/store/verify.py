"""Does the store say what its journal says?

Walk every entry from the first one on, through the archives and then the journal, checking each link; replay it into an
empty store in a temporary directory, deriving indexes and totals again; compare that with the stored tables row by row.
One read transaction, so a node may go on writing meanwhile. Memory stays small whatever the history.

The walk happens in a process of its own. LMDB trusts its pages, and a page damaged badly enough ends the process that
reads it by a signal: then that is the finding.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import msgspec

import engine
from engine.store import layout
from engine.store.archive import archives, read_archive
from engine.store.environment import MAP_SIZE, Environment
from engine.store.errors import StoreError, translated
from engine.store.journal import GENESIS, LINK_BYTES, Head, decode_value, link_of
from engine.store.pages import examine, page_problems
from engine.store.schema import TRADENODE
from engine.store.tables import HEAD, JOURNAL, Schema
from engine.store.versions import check_version

__all__ = ["VerifyReport", "verify"]

MAX_PROBLEMS = 100
BATCH_ENTRIES = 10_000
TIMEOUT_S = 3600.0


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """`first_bad_seq` is the first entry nothing vouches for, if the chain is broken. `problems` are at most 100 sentences.

    `pages_checked` is False for a store in use: its pages can only be walked at rest.
    """

    path: str
    ok: bool
    entries: int
    archives: int
    last_seq: int
    rows: dict[str, int]
    first_bad_seq: int | None
    pages_checked: bool
    problems: tuple[str, ...]


def verify(path: Path | str, *, map_size: int = MAP_SIZE, timeout_s: float = TIMEOUT_S) -> VerifyReport:
    """Examine the store at `path`, live or not. Raises a `StoreError` if there is none; what is wrong with one is in the report.

    Takes time and, for a copy of the tables, room in the temporary directory.
    """
    path = Path(path).absolute()
    if not _look(path):
        raise StoreError(path, "a store", "nothing")
    command = [sys.executable, "-m", "engine.store", str(path), str(map_size)]
    home = str(Path(engine.__file__).parents[1])
    known = {**os.environ, "PYTHONPATH": os.pathsep.join((home, *filter(None, (os.environ.get("PYTHONPATH"),))))}
    try:
        done = subprocess.run(command, env=known, capture_output=True, timeout=timeout_s, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return _failed(path, f"verification did not end within {timeout_s} s")
    try:
        return msgspec.json.decode(done.stdout, type=VerifyReport)
    except msgspec.DecodeError:
        end = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        return _failed(path, f"reading it ended the process with status {done.returncode}: {end[0][:300]}")


def _look(path: Path) -> bool:
    """Whether there is a store; damage to it is for the report, so only what is no store at all raises."""
    try:
        return layout.holds_store(path)
    except StoreError:
        if (path / layout.DATA).is_file():
            return True
        raise


def _failed(path: Path, problem: str) -> VerifyReport:
    return VerifyReport(
        path=str(path),
        ok=False,
        entries=0,
        archives=0,
        last_seq=0,
        rows={},
        first_bad_seq=None,
        pages_checked=False,
        problems=(problem,),
    )


def examine_store(path: Path, schema: Schema = TRADENODE, map_size: int = MAP_SIZE) -> VerifyReport:
    """What `verify` runs in its child. The process must not have the store open."""
    try:
        examine(path / layout.DATA)
        pages_checked, problems = _walk_pages(path)
        with Environments(path, schema, map_size) as (stored, replica):
            return Examination(path, stored, replica, problems).report(pages_checked)
    except StoreError as error:
        return _failed(path, str(error))


def _walk_pages(path: Path) -> tuple[bool, list[str]]:
    """Check every page, if nobody changed the file meanwhile."""
    before = examine(path / layout.DATA).transaction
    problems = page_problems(path / layout.DATA)
    if examine(path / layout.DATA).transaction != before:
        return False, []
    return True, [f"{layout.DATA}: {problem}" for problem in problems[:MAX_PROBLEMS]]


class Environments:
    """The store, read-only, and an empty one to replay into, which is gone afterwards."""

    def __init__(self, path: Path, schema: Schema, map_size: int) -> None:
        self._path, self._schema, self._map_size = path, schema, map_size

    def __enter__(self) -> tuple[Environment, Environment]:
        self._directory = Path(tempfile.mkdtemp(prefix="tradenode-verify-"))
        self._open: list[Environment] = []
        try:
            stored = Environment.open(self._path, self._schema, map_size=self._map_size, read_only=True)
            self._open.append(stored)
            stored.find_tables(("meta", HEAD))
            check_version(stored, exactly=True)
            stored.find_tables(self._schema.databases)
            replica = Environment.open(self._directory, self._schema, map_size=self._map_size, durable=False)
            self._open.append(replica)
            replica.add_tables()
        except BaseException:
            self.__exit__()
            raise
        return stored, replica

    def __exit__(self, *exc_info: object) -> None:
        for environment in self._open:
            environment.close()
        shutil.rmtree(self._directory)


class Examination:
    """One pass over one store."""

    def __init__(self, path: Path, stored: Environment, replica: Environment, problems: list[str]) -> None:
        self.path = path
        self.stored = stored
        self.replica = replica
        self.problems = problems
        self.first_bad: int | None = None
        self.entries = 0
        self.archives = 0
        self.totals: dict[str, int] = {}

    def problem(self, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)

    def bad(self, seq: int, text: str) -> None:
        """The chain breaks at `seq`."""
        self.first_bad = seq if self.first_bad is None else min(seq, self.first_bad)
        self.problem(text)

    def report(self, pages_checked: bool) -> VerifyReport:
        with self.stored.reading() as txn:
            head = self.stored.head_in(txn)
            self._replay(txn, head)
            rows = self._compare(txn, head)
        return VerifyReport(
            path=str(self.path),
            ok=not self.problems,
            entries=self.entries,
            archives=self.archives,
            last_seq=head.seq,
            rows=rows,
            first_bad_seq=self.first_bad,
            pages_checked=pages_checked,
            problems=tuple(self.problems),
        )

    # -- the chain ----------------------------------------------------------------------------------------------------

    def _values(self, txn: Any, head: Head) -> Iterator[tuple[int, bytes]]:
        """Every entry there is, archives first."""
        for archive in archives(self.path):
            if archive.last_seq >= head.first_seq:
                continue  # its entries are still in the journal
            self.archives += 1
            try:
                for seq, value in enumerate(read_archive(archive), archive.first_seq):
                    yield seq, value
            except StoreError as error:
                self.bad(archive.first_seq, str(error))
        for key, value in txn.cursor(db=self.stored.databases[JOURNAL]):
            yield int.from_bytes(key, "big"), value

    def _replay(self, txn: Any, head: Head) -> None:
        due, link = 1, GENESIS
        batch: list[tuple[int, bytes]] = []
        for seq, value in self._values(txn, head):
            if seq == head.first_seq and link != head.first_link:
                self.bad(seq, f"entry {seq}: the archives end with another link than the store kept")
            if seq != due:
                self.bad(due, f"entry {due}: expected next, found {seq}")
            elif value[:LINK_BYTES] != link:
                self.bad(max(1, seq - 1), f"entry {max(1, seq - 1)} does not match the link to it in entry {seq}")
            due, link = seq + 1, link_of(value)
            batch.append((seq, value))
            if len(batch) >= BATCH_ENTRIES:
                self._apply(batch)
                batch = []
        self._apply(batch)
        if due != head.seq + 1:
            self.bad(min(due, head.seq + 1), f"entry {due}: expected the last to be {head.seq}")
        elif link != head.link:
            self.bad(head.seq, f"entry {head.seq} does not match the link to it in the head")

    def _apply(self, batch: list[tuple[int, bytes]]) -> None:
        with translated(self.replica.path), self.replica.env.begin(write=True) as txn:
            for seq, value in batch:
                self.entries += 1
                try:
                    _, body = decode_value(value, seq, str(self.path))
                    self.replica.replay(txn, self.totals, body.rows)
                except (StoreError, lmdb.BadValsizeError) as error:
                    self.bad(seq, f"entry {seq}: {error}")

    # -- the tables ---------------------------------------------------------------------------------------------------

    def _compare(self, txn: Any, head: Head) -> dict[str, int]:
        """Stored against replayed, both in key order."""
        rows: dict[str, int] = {}
        with self.replica.reading() as replayed:
            for name in self.stored.schema.databases:
                if name in (JOURNAL, HEAD):
                    continue
                stored_rows = iter(txn.cursor(db=self.stored.databases[name]))
                replayed_rows = iter(replayed.cursor(db=self.replica.databases[name]))
                rows[name] = self._compare_rows(name, stored_rows, replayed_rows)
        for name in sorted(self.totals.keys() | head.totals.keys()):
            stored_total, replayed_total = head.totals.get(name, 0), self.totals.get(name, 0)
            if stored_total != replayed_total:
                self.problem(f"total {name}: stored {stored_total}, replayed {replayed_total}")
        return rows

    def _compare_rows(
        self, name: str, stored: Iterator[tuple[bytes, bytes]], replayed: Iterator[tuple[bytes, bytes]]
    ) -> int:
        count = 0
        one, other = next(stored, None), next(replayed, None)
        while one is not None or other is not None:
            if other is None or (one is not None and one[0] < other[0]):
                self.problem(f"{name}[{self._key(name, one)}]: stored, but not in the journal")
                count, one = count + 1, next(stored, None)
            elif one is None or other[0] < one[0]:
                self.problem(f"{name}[{self._key(name, other)}]: in the journal, but not stored")
                other = next(replayed, None)
            else:
                if one[1] != other[1]:
                    self.problem(f"{name}[{self._key(name, one)}]: the stored value differs from the journal's")
                count, one, other = count + 1, next(stored, None), next(replayed, None)
        return count

    def _key(self, name: str, row: tuple[bytes, bytes] | None) -> str:
        schema = self.stored.schema
        codec = schema.tables[name].codec if name in schema.tables else schema.indexes[name].codec
        data = row[0] if row is not None else b""
        try:
            return repr(codec.decode(data))
        except ValueError:
            return data.hex()
