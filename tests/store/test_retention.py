"""What has ended leaves, in order and without a trace lost."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.model import (
    CashFlow,
    Discrepancy,
    DiscrepancyKind,
    Executed,
    FlowKind,
    Link,
    LinkKind,
    OpenBook,
    OrderState,
    PositionBook,
)
from engine.store import Commit, Delete, Put, Store, StoreCorrupt, expired_records
from engine.store import archive as archive_module
from engine.store.archive import archives, read_archive
from engine.store.verify import examine_store
from tests.support.stores import EPOCH_MS, MAP_SIZE, SetClock, fill, notice, open_store, order, put, put_fill

LONG_AGO = EPOCH_MS - 1_000_000


def verified(path: Path) -> tuple[str, ...]:
    return examine_store(path, map_size=MAP_SIZE).problems


def everything(store: Store) -> list[str]:
    """Kinds of all entries, archived or not."""
    old = [value for archive in archives(store.path) for value in read_archive(archive)]
    assert len(old) == store.first_seq - 1
    return [entry.kind for entry in store.journal()]


def test_rows_leave_once_they_ended_long_enough_ago(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        old = order(1, OrderState.FILLED, at_ms=LONG_AGO)
        late = order(2, OrderState.FILLED, at_ms=LONG_AGO, updated_at_ms=EPOCH_MS)  # rested for long
        alive = order(3, OrderState.OPEN, at_ms=LONG_AGO)
        unknown = order(4, OrderState.UNKNOWN, at_ms=LONG_AGO)
        new = order(5, OrderState.CANCELLED)
        store.commit([put(made) for made in (old, late, alive, unknown, new)])
        store.commit([put_fill(fill(1, old, at_ms=LONG_AGO)), put_fill(fill(2, new))])
        notices = [notice(1, at_ms=LONG_AGO), notice(2)]
        store.commit([Commit("n", tuple(Put("notices", made.notice_id, made) for made in notices))])
        counters = store.counters()
        assert store.expire(EPOCH_MS) == 3
        assert store.expire(EPOCH_MS) == 0
        assert [key for key, _ in store.table("orders").iterate()] == [f"testnode-{n}" for n in (2, 3, 4, 5)]
        assert [made.trade_id for _, made in store.table("fills").iterate()] == ["t2"]
        assert [key for key, _ in store.table("notices").iterate()] == ["n2"]
        assert store.counters() == counters
        entry = next(store.journal(store.last_seq))
        assert (entry.kind, Delete("orders", old.order_id) in entry.changes) == ("store.expired", True)
    assert verified(tmp_path / "store") == ()


def test_an_order_stays_while_one_of_its_set_lives(tmp_path: Path) -> None:
    """An exit that ends is judged by its entry: whether it leaves a position bare."""
    with open_store(tmp_path / "store") as store:
        link = Link(group="testnode-1", kind=LinkKind.OTOCO, entry="testnode-1", rivals=("testnode-3",))
        entry = order(1, OrderState.FILLED, at_ms=LONG_AGO)
        stop = order(2, OrderState.OPEN, at_ms=LONG_AGO, link=link)
        rival, alone = (order(number, OrderState.CANCELLED, at_ms=LONG_AGO) for number in (3, 4))
        store.commit([put(made) for made in (entry, stop, rival, alone)])
        assert store.expire(EPOCH_MS) == 1
        assert [key for key, _ in store.table("orders").iterate()] == [f"testnode-{n}" for n in (1, 2, 3)]
        store.commit([put(msgspec.structs.replace(stop, state=OrderState.FILLED))])
        assert store.expire(EPOCH_MS) == 3


def test_differences_leave_when_nobody_has_to_look_at_them_any_more(tmp_path: Path) -> None:
    def found(name: str, *, at_ms: int = LONG_AGO, review: bool, settled_ms: int | None = None) -> Discrepancy:
        return Discrepancy(
            discrepancy_id=name, account="deribit:main", kind=DiscrepancyKind.FILL_EXTERNAL, subject="t", expected="", got="",
            action="", review=review, found_at_ms=at_ms, settled_at_ms=settled_ms,
        )  # fmt: skip

    kept = [
        found("open", review=True),
        found("new", at_ms=EPOCH_MS, review=False),
        found("just closed", review=True, settled_ms=EPOCH_MS),
    ]
    gone = [found("told", review=False), found("closed", review=True, settled_ms=LONG_AGO + 1)]
    with open_store(tmp_path / "store") as store:
        rows = tuple(Put("discrepancies", one.discrepancy_id, one) for one in (*kept, *gone))
        store.commit([Commit("found", rows)])
        assert store.expire(EPOCH_MS) == len(gone)
        assert {key for key, _ in store.table("discrepancies").iterate()} == {one.discrepancy_id for one in kept}
    assert verified(tmp_path / "store") == ()


def test_lines_of_a_statement_leave_with_their_time(tmp_path: Path) -> None:
    def line(name: str, at_ms: int) -> CashFlow:
        return CashFlow(
            account="deribit:main", flow_id=name, kind=FlowKind.FEE, currency="BTC", amount=Decimal(1), at_ms=at_ms
        )

    with open_store(tmp_path / "store") as store:
        lines = [line("old", LONG_AGO), line("new", EPOCH_MS)]
        store.commit([Commit("flows", tuple(Put("cash_flows", one.key, one) for one in lines))])
        assert store.expire(EPOCH_MS) == 1
        assert [one.flow_id for _, one in store.table("cash_flows").iterate()] == ["new"]


def test_old_entries_move_to_archives_and_stay_in_the_chain(tmp_path: Path) -> None:
    clock = SetClock(LONG_AGO)
    with open_store(tmp_path / "store", clock=clock) as store:
        store.commit([put(order(number)) for number in range(1, 51)])
        clock.now_ms = EPOCH_MS
        store.commit([put(order(number)) for number in range(51, 61)])
        assert store.retain(EPOCH_MS, min_entries=1) == (0, 51)
        assert (store.first_seq, store.last_seq) == (52, 62)
        assert everything(store) == ["order.saved"] * 10 + ["store.archived"]
        assert store.meta("archived_through", int) == 51
        assert store.retain(EPOCH_MS, min_entries=1) == (0, 0)
    assert verified(tmp_path / "store") == ()
    with open_store(tmp_path / "store") as store:
        assert store.commit([put(order(99))]) == [63]


def test_few_entries_wait_for_more(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put(order(number)) for number in range(1, 51)])
        assert store.archive(1 << 62) is None
        assert store.archive(1 << 62, min_entries=52) is None
        assert store.archive(1 << 62, min_entries=51) is not None


def test_a_journal_may_be_archived_to_its_last_entry(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with open_store(path) as store:
        archive = store.archive(1 << 62, min_entries=1)
        assert archive is not None
        store.drop_archived(archive)
        assert [entry.seq for entry in store.journal()] == [2]
    assert verified(path) == ()
    open_store(path).close()


def test_an_archive_whose_entries_never_left_is_written_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put(order(number)) for number in range(1, 51)])
        store.archive(1 << 62, min_entries=1, max_entries=10)
    assert verified(tmp_path / "store") == ()
    with open_store(tmp_path / "store") as store:
        second = store.archive(1 << 62, min_entries=1, max_entries=20)
        assert second is not None
        assert [archive.last_seq for archive in archives(store.path)] == [20]
        store.drop_archived(second)
    assert verified(tmp_path / "store") == ()


def test_entries_do_not_leave_unless_they_are_in_the_file(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put(order(number)) for number in range(1, 51)])
        archive = store.archive(1 << 62, min_entries=1)
        assert archive is not None
        archive.path.write_bytes(archive.path.read_bytes()[:-50])
        with pytest.raises(StoreCorrupt):
            store.drop_archived(archive)
        assert store.first_seq == 1


def test_an_entry_longer_than_a_block_comes_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "READ_BYTES", 1000)
    with open_store(tmp_path / "store") as store:
        sizes = (5, 50_000, 999, 1000, 1001)
        store.commit([Commit("x", (Put("tasks", str(size), {"data": "ab" * size}),)) for size in sizes])
        stored = list(store.journal())
        archive = store.archive(1 << 62, min_entries=1)
        assert archive is not None
        assert sum(1 for _ in read_archive(archive)) == len(stored)
        store.drop_archived(archive)
    assert verified(tmp_path / "store") == ()


def test_a_clock_that_was_set_back_archives_no_more_than_the_oldest_run(tmp_path: Path) -> None:
    clock = SetClock(LONG_AGO)
    with open_store(tmp_path / "store", clock=clock) as store:
        store.commit([put(order(1))])
        clock.now_ms = EPOCH_MS
        store.commit([put(order(2))])
        clock.now_ms = LONG_AGO
        store.commit([put(order(3))])
        assert store.retain(EPOCH_MS, min_entries=1) == (0, 2)
        assert store.first_seq == 3
    assert verified(tmp_path / "store") == ()


def test_position_records_leave_by_their_own_period_and_stay_in_the_archives(tmp_path: Path) -> None:
    clock = SetClock(LONG_AGO)
    path = tmp_path / "store"
    with open_store(path, clock=clock) as store:
        book = OpenBook(PositionBook(account="deribit:main", instrument=order(1).instrument, inverse=True))
        for number in range(1, 21):
            made = fill(number, order(number), at_ms=LONG_AGO + number if number <= 15 else EPOCH_MS + number)
            rows = [Put("fills", made.key, made)]
            for row in book.take_fill(made, now_ms=LONG_AGO):
                rows.append(Put("position_records", (row.position_key, row.at_ms, row.record_id), row))
            store.commit([Commit("order.fill", (*rows, Put("position_books", book.book.key, book.book)))])
        clock.now_ms = EPOCH_MS
        assert expired_records(store, ["another|one|net"], EPOCH_MS) is None
        expired = expired_records(store, [book.book.key], EPOCH_MS)
        assert expired is not None
        store.commit([expired])
        assert expired_records(store, [book.book.key], EPOCH_MS) is None
        rows_left, entries = store.retain(EPOCH_MS, min_entries=1)
        assert (rows_left, entries) == (15, 21)
        records = [row for _, row in store.table("position_records").iterate()]
        assert [row.trade_id for row in records] == ["t16", "t17", "t18", "t19", "t20"]
        assert store.index("position_records_by_time").count() == 5
        kept = store.table("position_books").get(book.book.key)
        assert kept is not None
        again = OpenBook(
            kept, [Executed(row.trade_id, row.change_amount, Decimal(50000), row.at_ms) for row in records]
        )
        assert not again.whole
        assert again.held == book.held
    assert verified(path) == ()
