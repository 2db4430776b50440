"""The store of a node: open it, commit to it, read from it.

One process writes (an `flock` says who), any number read. Inside the writing process everything reads through this
object, since LMDB must not be opened twice by one process; other processes use `Store.open(path, read_only=True)`.
`commit` runs on one thread; reading works on every thread, also during a commit, and shows the last durable state.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from engine.store import layout
from engine.store.archive import Archive
from engine.store.backup import copy_store, restore_copy
from engine.store.environment import MAP_SIZE, Environment, Prepared
from engine.store.errors import StoreError, StoreReadOnly, translated
from engine.store.journal import Commit
from engine.store.lock import DirectoryLock
from engine.store.points import OnPoint, nowhere
from engine.store.reader import Reader, Snapshot
from engine.store.retention import MAX_ENTRIES, MIN_ENTRIES, archive_some, drop_archived, expired_rows
from engine.store.schema import TRADENODE
from engine.store.tables import HEAD, JOURNAL, Schema
from engine.store.usage import Usage, measure
from engine.store.versions import NODE_PART, bring_up_to_date, check_version, create

__all__ = ["Store", "backup", "restore"]

T = TypeVar("T")
TAIL_ENTRIES = 64  # checked at every start; `verify` checks all


class WallClock(Protocol):
    """The part of the kernel's clock the store needs."""

    def wall_ms(self) -> int: ...


class Tokens(Protocol):
    """The part of the kernel's entropy the store needs."""

    def token(self, nchars: int) -> str: ...


class Store(Reader):
    """An open store."""

    def __init__(
        self, path: Path, environment: Environment, lock: DirectoryLock | None, clock: WallClock | None
    ) -> None:
        super().__init__(environment, environment.reading)
        self.path = path
        self.read_only = lock is None
        self._lock = lock
        self._clock = clock
        self._failure: StoreError | None = None
        self._closed = False
        self.node_part: str = self.meta(NODE_PART, str) or ""

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        clock: WallClock | None = None,
        entropy: Tokens | None = None,
        map_size: int = MAP_SIZE,
        read_only: bool = False,
        schema: Schema = TRADENODE,
        on_point: OnPoint = nowhere,
    ) -> "Store":
        """Open the store at `path`; a writer creates it when there is none. Raises a `StoreError`.

        A writer needs `clock` and `entropy`. `map_size` must be the same in every process.
        """
        path = Path(path)
        if read_only:
            return cls(path, _open_reader(path, schema, map_size), None, None)
        if clock is None or entropy is None:
            raise TypeError("a writer needs a clock and entropy")
        with translated(path):
            layout.make_directory(path)
            layout.check_writable(path)
        lock = DirectoryLock(path / layout.LOCK)
        try:
            if not layout.holds_store(path):
                create(path, schema, map_size, clock.wall_ms(), entropy.token(8), on_point)
            environment = _open_writer(path, schema, map_size, on_point, clock.wall_ms())
        except BaseException:
            lock.release()
            raise
        return cls(path, environment, lock, clock)

    def close(self) -> None:
        """Close the environment, then let the directory go. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._environment.close()
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def prepare(self, commit: Commit, at_ms: int | None = None) -> Prepared:
        """Check and encode a commit; `CommitRefused` leaves the store as it is. `at_ms` is now unless given."""
        return self._environment.prepare(commit, self._writer_clock().wall_ms() if at_ms is None else at_ms)

    def write(self, group: Sequence[Prepared]) -> list[int]:
        """Make prepared commits durable: one transaction, one flush, all or nothing; the journal's number of each.

        After a `StoreError` the store takes no further commit: what the disk holds is known only after a new start.
        """
        self._writer_clock()
        return self._guarded(lambda: self._environment.write(group))

    def _writer_clock(self) -> WallClock:
        if self._clock is None:
            raise StoreReadOnly(self.path, "a store opened for writing", "one opened read_only")
        return self._clock

    def _guarded(self, change: Callable[[], T]) -> T:
        """Run a change; the first failure is the last change."""
        if self._failure is not None:
            raise self._failure
        try:
            return change()
        except StoreError as error:
            self._failure = error
            raise

    def commit(self, commits: Sequence[Commit]) -> list[int]:
        """`prepare` and `write` in one."""
        return self.write([self.prepare(commit) for commit in commits])

    # -- upkeep -------------------------------------------------------------------------------------------------------

    def archive(
        self, before_ms: int, *, min_entries: int = MIN_ENTRIES, max_entries: int = MAX_ENTRIES
    ) -> Archive | None:
        """Copy the oldest entries made before `before_ms` to a durable file, unless they are fewer than `min_entries`.

        Only reads the store: any thread may do it, one at a time. `drop_archived` comes next, before another call.
        """
        return archive_some(self._environment, self.path, before_ms, min_entries, max_entries)

    def drop_archived(self, archive: Archive) -> None:
        """Delete from the journal what `archive` wrote. On the writing thread."""
        now_ms = self._writer_clock().wall_ms()
        self._guarded(lambda: drop_archived(self._environment, archive, now_ms))

    def expire(self, before_ms: int) -> int:
        """Delete some rows that ended before `before_ms`; how many, 0 when none are left. On the writing thread."""
        commit = expired_rows(self, before_ms)
        if commit is None:
            return 0
        self.commit([commit])
        return len(commit.changes)

    def retain(self, before_ms: int, *, min_entries: int = MIN_ENTRIES) -> tuple[int, int]:
        """All rounds of `expire`, `archive` and `drop_archived` at once; rows deleted and entries archived."""
        rows = entries = 0
        while expired := self.expire(before_ms):
            rows += expired
        last_seq = self.last_seq  # entries made from here on are the rounds' own
        while (left := last_seq - self.first_seq + 1) > 0:
            archive = self.archive(before_ms, min_entries=min_entries, max_entries=min(left, MAX_ENTRIES))
            if archive is None:
                break
            self.drop_archived(archive)
            entries += archive.last_seq - archive.first_seq + 1
        return rows, entries

    def backup(self, destination: Path | str) -> None:
        """Copy the store, as it is now, to `destination`, which must be missing or empty. The writer goes on meanwhile."""
        copy_store(self._environment, self.path, Path(destination), self._environment.on_point)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Several reads of one state."""
        with self._environment.reading() as txn:
            shared: AbstractContextManager[Any] = nullcontext(txn)
            yield Snapshot(self._environment, lambda: shared)

    def usage(self) -> Usage:
        """How much of the room there is in use."""
        return measure(self._environment, self.path)

    def reader_check(self) -> int:
        """Free the slots of readers that died; how many there were."""
        with translated(self.path):
            return self._environment.env.reader_check()


def _open_reader(path: Path, schema: Schema, map_size: int) -> Environment:
    if not layout.holds_store(path):
        raise StoreError(path, "a store", "nothing")
    with suppress(StoreReadOnly):  # LMDB knows best where it can do without
        layout.reserve_readers(path)
    environment = Environment.open(path, schema, map_size=map_size, read_only=True)
    try:
        environment.find_tables(("meta", HEAD))
        check_version(environment, exactly=True)
        environment.find_tables(schema.databases)
        environment.load_head()
    except BaseException:
        environment.close()
        raise
    return environment


def _open_writer(path: Path, schema: Schema, map_size: int, on_point: OnPoint, now_ms: int) -> Environment:
    layout.reserve_readers(path)
    environment = Environment.open(path, schema, map_size=map_size, on_point=on_point)
    try:
        with translated(path):
            environment.env.reader_check()
        environment.find_tables(("meta", HEAD, JOURNAL))
        version = check_version(environment)
        environment.load_head()
        environment.check_tail(TAIL_ENTRIES)
        bring_up_to_date(environment, version, now_ms)
    except BaseException:
        environment.close()
        raise
    return environment


def backup(path: Path | str, destination: Path | str, schema: Schema = TRADENODE, map_size: int = MAP_SIZE) -> None:
    """Copy the store at `path`, live or not, from another process; see `Store.backup`."""
    with Store.open(path, read_only=True, schema=schema, map_size=map_size) as store:
        store.backup(destination)


def restore(
    source: Path | str,
    destination: Path | str,
    *,
    clock: WallClock,
    entropy: Tokens,
    schema: Schema = TRADENODE,
    map_size: int = MAP_SIZE,
    on_point: OnPoint = nowhere,
) -> None:
    """Make a store at `destination`, missing or empty, from a backup. It gets a new node part: no id is made twice."""
    source, destination = Path(source), Path(destination)
    environment = _open_reader(source, schema, map_size)
    try:
        restore_copy(
            environment,
            source,
            destination,
            schema,
            now_ms=clock.wall_ms(),
            node_part=entropy.token(8),
            map_size=map_size,
            on_point=on_point,
        )
    finally:
        environment.close()
