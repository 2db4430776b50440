"""The store of a node: open it, commit to it, read from it.

One process writes (an `flock` says who), any number read. Inside the writing process everything reads through this object, since LMDB
must not be opened twice by one process; other processes use `Store.open(path, read_only=True)`. `commit` runs on one thread; reading
works on every thread, also during a commit, and shows the last durable state.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine.model import TERMINAL, Order, OrderState
from engine.store import layout
from engine.store.environment import MAP_SIZE, Environment, Prepared
from engine.store.errors import StoreError, StoreReadOnly, translated
from engine.store.journal import Commit, JournalEntry
from engine.store.lock import DirectoryLock
from engine.store.points import OnPoint, nowhere
from engine.store.reading import Begin, Index, Journal, Table
from engine.store.schema import TRADENODE
from engine.store.tables import HEAD, JOURNAL, Schema
from engine.store.usage import Usage, measure
from engine.store.versions import NODE_PART, bring_up_to_date, check_version, create

__all__ = ["Snapshot", "Store"]

TAIL_ENTRIES = 64  # checked at every start; `verify` checks all
LIVE_STATES = tuple(state for state in OrderState if state not in TERMINAL)


class WallClock(Protocol):
    """The part of the kernel's clock the store needs."""

    def wall_ms(self) -> int: ...


class Tokens(Protocol):
    """The part of the kernel's entropy the store needs."""

    def token(self, nchars: int) -> str: ...


class Reader:
    """Everything that can be read, through transactions that `begin` gives."""

    def __init__(self, environment: Environment, begin: Begin) -> None:
        self._environment = environment
        self._begin = begin

    def table(self, name: str) -> Table[Any, Any]:
        spec = self._environment.schema.table(name)
        return Table(self._begin, self._environment.databases[name], spec, self._environment.path)

    def index(self, name: str) -> Index:
        """An index such as `orders_by_state`: tuples that end in the row's key."""
        spec = self._environment.schema.indexes[name]
        return Index(self._begin, self._environment.databases[name], spec, self._environment.path)

    def journal(self, from_seq: int = 1, limit: int | None = None) -> Iterator[JournalEntry]:
        """Entries from `from_seq` on; those past retention are not here any more (see `first_seq`)."""
        env = self._environment
        return Journal(self._begin, env.databases[JOURNAL], env.schema, env.path).entries(from_seq, limit)

    def meta(self, key: str, value_type: Any) -> Any:
        """The row of `meta` under `key` as `value_type`, or None."""
        value = self.table("meta").get(key)
        return None if value is None else msgspec.convert(value, value_type, builtin_types=(bytes,))

    @property
    def last_seq(self) -> int:
        """The newest durable entry; 0 before the first."""
        with self._begin() as txn:
            return self._environment.head_in(txn).seq

    @property
    def first_seq(self) -> int:
        """The oldest entry still in the journal; one more than `last_seq` when it is empty."""
        with self._begin() as txn:
            return self._environment.head_in(txn).first_seq

    def counters(self) -> dict[str, int]:
        """Counts over the store's whole life: orders `accepted`, by each state they are in or ended in, and `fills`."""
        with self._begin() as txn:
            totals = self._environment.head_in(txn).totals
        names = ("accepted", *OrderState, "fills")
        return {str(name): totals.get(name, 0) for name in names}

    def last_order_number(self) -> int:
        """The highest number among all order ids ever stored, `<node part>-<number>`; 0 before the first."""
        with self._begin() as txn:
            return self._environment.head_in(txn).totals.get("last_order_number", 0)

    def orders_in(
        self, states: Iterable[OrderState], reverse: bool = False, limit: int | None = None
    ) -> Iterator[Order]:
        """Orders in these states, oldest (or newest) first, found through the index: others cost nothing."""
        index, orders = self.index("orders_by_state"), self.table("orders")
        runs = [index.iterate(prefix=(str(state),), reverse=reverse, limit=limit) for state in states]
        for count, (_, _, order_id) in enumerate(heapq.merge(*runs, key=lambda key: key[1:], reverse=reverse)):
            if limit is not None and count >= limit:
                return
            order = orders.get(order_id)
            if order is not None:  # gone since the index was read
                yield order

    def live_orders(self) -> Iterator[Order]:
        """All orders that have not ended, oldest first: what a start needs, whatever the history."""
        return self.orders_in(LIVE_STATES)

    def fills_of(self, order_id: str) -> Iterator[Any]:
        """The fills of one order."""
        fills = self.table("fills")
        for _, key in self.index("fills_by_order").iterate(prefix=(order_id,)):
            fill = fills.get(key)
            if fill is not None:
                yield fill


class Snapshot(Reader):
    """Reads that agree with each other. Keep it short: it pins every page it can see."""


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
        if self._clock is None:
            raise StoreReadOnly(self.path, "a store opened for writing", "one opened read_only")
        return self._environment.prepare(commit, self._clock.wall_ms() if at_ms is None else at_ms)

    def write(self, group: Sequence[Prepared]) -> list[int]:
        """Make prepared commits durable: one transaction, one flush, all or nothing; the journal's number of each.

        After a `StoreError` the store takes no further commit: what the disk holds is known only after a new start.
        """
        if self._failure is not None:
            raise self._failure
        if self.read_only:
            raise StoreReadOnly(self.path, "a store opened for writing", "one opened read_only")
        try:
            return self._environment.write(group)
        except StoreError as error:
            self._failure = error
            raise

    def commit(self, commits: Sequence[Commit]) -> list[int]:
        """`prepare` and `write` in one."""
        return self.write([self.prepare(commit) for commit in commits])

    # -- upkeep -------------------------------------------------------------------------------------------------------

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
