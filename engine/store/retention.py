"""Keeping the store small without forgetting anything.

Two things age. Rows that have ended (orders, plans, fills, statement lines, position changes and records, differences, notices, and
of portfolios) are deleted by ordinary journalled commits: their last values stay in the journal. Journal entries move to archive
files. Both go in bounded rounds, so that no commit waits long.

The period must be longer than any history a reconciliation asks a venue for: a fill that is reported again after its
row has gone would count as new.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from engine.model import TERMINAL, PlanState
from engine.store.archive import Archive, archives, read_archive, write_archive
from engine.store.errors import StoreCorrupt, translated
from engine.store.journal import LINK_BYTES, Commit, Delete, Head, Put, link_of, seq_key
from engine.store.points import ARCHIVE_DROPPED, ARCHIVE_WRITTEN
from engine.store.tables import JOURNAL

if TYPE_CHECKING:
    from pathlib import Path

    from engine.store.environment import Environment
    from engine.store.reader import Reader

MIN_ENTRIES, MAX_ENTRIES = 1_000, 20_000  # of one archive file
MAX_ROWS = 1_000  # deleted by one commit
MAX_LOOKED_AT = 20_000  # rows, to find those
ARCHIVED_THROUGH = "archived_through"


#: Tables whose rows age by themselves → the index that has them by time.
BY_TIME = (
    ("fills", "fills_by_time"),
    ("cash_flows", "cash_flows_by_time"),
    ("notices", "notices_by_time"),
    ("portfolio_orders", "portfolio_orders_ended"),
    ("portfolio_trades", "portfolio_trades_by_time"),
)


class Age(msgspec.Struct, frozen=True, array_like=True):
    """The first field of a journal entry's body."""

    at_ms: int


_age = msgspec.msgpack.Decoder(Age).decode


def archive_some(
    environment: "Environment", store: "Path", before_ms: int, min_entries: int, max_entries: int
) -> Archive | None:
    """Write the oldest entries made before `before_ms` to a file; None when there are too few. Changes nothing in the store."""
    with translated(store), environment.reading() as txn:
        head = environment.head_in(txn)
        for leftover in archives(store):
            if leftover.last_seq >= head.first_seq:  # written, but its entries never left
                leftover.path.unlink()
        journal = environment.databases[JOURNAL]
        enough = txn.get(seq_key(head.first_seq + min_entries - 1), db=journal)
        if enough is None or _at_ms(enough) >= before_ms:
            return None
        values = _older(txn.cursor(db=journal), head, before_ms, max_entries)
        first = next(values, None)
        if first is None:
            return None
        archive = write_archive(store, head.first_seq, _chained(first, values))
    environment.on_point(ARCHIVE_WRITTEN)
    return archive


def _at_ms(value: bytes) -> int:
    return _age(memoryview(value)[LINK_BYTES:]).at_ms


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _older(cursor: Any, head: Head, before_ms: int, limit: int) -> Iterator[bytes]:
    """Values from the first entry on, as long as they are old and the chain holds."""
    seq, link = head.first_seq, head.first_link
    for key, value in islice(cursor.iternext() if cursor.first() else (), limit):
        if key != seq_key(seq) or value[:LINK_BYTES] != link:
            raise StoreCorrupt("journal", f"entry {seq} with the link to the one before it", key.hex())
        if _at_ms(value) >= before_ms:
            return
        yield value
        seq, link = seq + 1, link_of(value)


def drop_archived(environment: "Environment", archive: Archive, now_ms: int) -> None:
    """Delete entries that are in a durable file, and say so in the journal."""
    link = b""
    for value in read_archive(archive):  # read back: what is deleted here must be there
        link = link_of(value)
    commit = Commit("store.archived", (Put("meta", ARCHIVED_THROUGH, archive.last_seq),), note=archive.path.name)
    prepared = environment.prepare(commit, now_ms)
    with translated(environment.path), environment.env.begin(write=True) as txn:
        head = environment.head
        if head.first_seq != archive.first_seq or archive.last_seq > head.seq:
            raise StoreCorrupt(archive.path, f"an archive that begins at entry {head.first_seq}", archive.path.name)
        for seq in range(archive.first_seq, archive.last_seq + 1):
            txn.delete(seq_key(seq), db=environment.databases[JOURNAL])
        moved = msgspec.structs.replace(head, first_seq=archive.last_seq + 1, first_link=link)
        head = environment.append(txn, moved, [prepared])
    environment.head = head
    environment.on_point(ARCHIVE_DROPPED)


def expired_rows(reader: "Reader", before_ms: int) -> Commit | None:
    """A commit that deletes some rows that ended before `before_ms`; None when there are none."""
    found = islice(_expired(reader, before_ms), MAX_ROWS)
    deletes = tuple(found)
    return Commit("store.expired", deletes) if deletes else None


def _expired(reader: "Reader", before_ms: int) -> Iterator[Delete]:
    yield from _expired_orders(reader, before_ms)
    yield from _expired_plans(reader, before_ms)
    yield from _expired_discrepancies(reader, before_ms)
    for table, index in BY_TIME:
        for at_ms, key in reader.index(index).iterate(limit=MAX_LOOKED_AT):
            if at_ms >= before_ms:
                break
            yield Delete(table, key)
    for at_ms, key in reader.index("position_changes_by_time").iterate(limit=MAX_LOOKED_AT):
        if at_ms >= before_ms:
            break
        yield Delete("position_changes", (key, at_ms))


def expired_records(reader: "Reader", positions: Iterable[str], before_ms: int) -> Commit | None:
    """A commit that deletes some records of these positions from before `before_ms`; None when there are none.

    How long they are kept is for each account to say, so its order queue commits this, and not the upkeep of the whole store.
    """
    deletes = tuple(islice(_expired_records(reader, positions, before_ms), MAX_ROWS))
    return Commit("positions.expired", deletes) if deletes else None


def _expired_records(reader: "Reader", positions: Iterable[str], before_ms: int) -> Iterator[Delete]:
    table = reader.table("position_records")
    for name in positions:
        for key, _ in table.iterate(prefix=(name,), limit=MAX_ROWS):
            if key[1] >= before_ms:
                break
            yield Delete("position_records", key)


def _expired_orders(reader: "Reader", before_ms: int) -> Iterator[Delete]:
    """All but those that a living one of their set has still to be judged by."""
    orders, needed = reader.table("orders"), _in_living_sets(reader)
    for state in sorted(TERMINAL):
        for _, created_ms, _, order_id in reader.index("orders_by_state").iterate((str(state),), limit=MAX_LOOKED_AT):
            if created_ms >= before_ms:
                break
            order = None if order_id in needed else orders.get(order_id)
            if order is not None and order.updated_at_ms < before_ms:
                yield Delete("orders", order_id)


def _in_living_sets(reader: "Reader") -> frozenset[str]:
    """The orders that those name which are not over."""
    links = (order.link for order in reader.live_orders() if order.link is not None)
    return frozenset(name for link in links for name in (link.group, link.entry, *link.exits, *link.rivals))


def _expired_discrepancies(reader: "Reader", before_ms: int) -> Iterator[Delete]:
    """What a person should look at stays until somebody has."""
    table = reader.table("discrepancies")
    for found_ms, discrepancy_id in reader.index("discrepancies_by_time").iterate(limit=MAX_LOOKED_AT):
        if found_ms >= before_ms:
            break
        found = table.get(discrepancy_id)
        if found is not None and not found.open and (found.settled_at_ms or found_ms) < before_ms:
            yield Delete("discrepancies", discrepancy_id)


def _expired_plans(reader: "Reader", before_ms: int) -> Iterator[Delete]:
    for state in (state for state in PlanState if state.terminal):
        for _, updated_ms, plan_id in reader.index("plans_by_state").iterate((str(state),), limit=MAX_LOOKED_AT):
            if updated_ms >= before_ms:
                break
            yield Delete("plans", plan_id)
