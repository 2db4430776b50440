"""Verification finds every kind of tampering, in tables, indexes, totals, journal, archives and pages."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest

from engine.model import OrderState
from engine.store import Commit, Delete, StoreError, StoreForeign, backup, verify
from engine.store.journal import seq_key
from engine.store.verify import VerifyReport, examine_store
from tests.support.stores import MAP_SIZE, copied, fill, open_store, order, put, put_fill

ROOT = Path(__file__).parents[2]
ENTRIES = 62  # 1 creation, 40 orders, 10 fills, 10 updates, 1 delete


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verify") / "store"
    with open_store(path) as store:
        store.commit([put(order(number)) for number in range(1, 41)])
        store.commit([put_fill(fill(number, order(number))) for number in range(1, 11)])
        store.commit([put(order(number, OrderState.FILLED)) for number in range(1, 11)])
        store.commit([Commit("x", (Delete("orders", "testnode-40"),))])
    return path


@pytest.fixture
def store(sound: Path) -> Iterator[Path]:
    with copied(sound) as copy:
        yield copy


def tamper(path: Path, database: bytes, change: Callable[[Any, Any], object]) -> None:
    with lmdb.open(str(path), max_dbs=64, map_size=MAP_SIZE) as env:
        handle = env.open_db(database, create=False)
        with env.begin(write=True, db=handle) as txn:
            change(txn, handle)


def flip(key: bytes, at: int = -1) -> Callable[[Any, Any], object]:
    def change(txn: Any, _: Any) -> None:
        value = bytearray(txn.get(key))
        value[at] ^= 0x01
        txn.put(key, bytes(value))

    return change


def examined(path: Path) -> VerifyReport:
    return examine_store(path, map_size=MAP_SIZE)


def test_a_sound_store_is_sound(store: Path) -> None:
    report = examined(store)
    assert (report.ok, report.entries, report.last_seq, report.first_bad_seq) == (True, ENTRIES, ENTRIES, None)
    assert (report.rows["orders"], report.rows["fills"], report.rows["orders_by_state"]) == (39, 10, 39)
    assert report.pages_checked


def test_verification_in_a_child_says_the_same(store: Path) -> None:
    assert verify(store, map_size=MAP_SIZE) == examined(store)


@pytest.mark.parametrize("seq", [1, 2, 30, ENTRIES - 1, ENTRIES])
@pytest.mark.parametrize("at", [20, -1])
def test_a_flipped_bit_in_an_entry_is_found(store: Path, seq: int, at: int) -> None:
    tamper(store, b"journal", flip(seq_key(seq), at))
    report = examined(store)
    assert (report.ok, report.first_bad_seq) == (False, seq)


@pytest.mark.parametrize("seq", [2, 30, ENTRIES])
def test_a_flipped_bit_in_a_link_is_found(store: Path, seq: int) -> None:
    tamper(store, b"journal", flip(seq_key(seq), 0))
    report = examined(store)
    assert not report.ok
    assert report.first_bad_seq in (seq - 1, seq)


@pytest.mark.parametrize("seq", [1, 2, 30, ENTRIES])
def test_a_missing_entry_is_found(store: Path, seq: int) -> None:
    tamper(store, b"journal", lambda txn, _: txn.delete(seq_key(seq)))
    report = examined(store)
    assert (report.ok, report.first_bad_seq) == (False, seq)


def test_entries_that_changed_places_are_found(store: Path) -> None:
    def swap(txn: Any, _: Any) -> None:
        one, other = txn.get(seq_key(20)), txn.get(seq_key(21))
        txn.put(seq_key(20), other)
        txn.put(seq_key(21), one)

    tamper(store, b"journal", swap)
    report = examined(store)
    assert (report.ok, report.first_bad_seq) == (False, 19)


def test_an_entry_too_many_is_found(store: Path) -> None:
    tamper(store, b"journal", lambda txn, _: txn.put(seq_key(ENTRIES + 1), txn.get(seq_key(ENTRIES))))
    assert examined(store).first_bad_seq == ENTRIES


@pytest.mark.parametrize("database", [b"orders", b"fills"])
def test_a_flipped_bit_in_a_row_is_found(store: Path, database: bytes) -> None:
    with lmdb.open(str(store), max_dbs=64, map_size=MAP_SIZE) as env:
        handle = env.open_db(database, create=False)
        with env.begin(write=True, db=handle) as txn:
            cursor = txn.cursor()
            cursor.first()
            key, value = cursor.item()
            txn.put(key, value[:-1] + bytes((value[-1] ^ 1,)))
    assert examined(store).problems == (
        f"{database.decode()}[{key.decode()!r}]: the stored value differs from the journal's",
    )


@pytest.mark.parametrize("database", [b"orders", b"orders_by_state", b"fills_by_time", b"meta"])
def test_a_row_too_few_or_too_many_is_found(sound: Path, database: bytes) -> None:
    def drop_first(txn: Any, _: Any) -> None:
        cursor = txn.cursor()
        cursor.first()
        cursor.delete()

    for change, words in ((drop_first, "in the journal"), (lambda txn, _: txn.put(b"~" * 30, b"\xc0"), "stored, but")):
        with copied(sound) as copy:
            tamper(copy, database, change)
            (problem,) = examined(copy).problems
            assert words in problem
            assert problem.startswith(database.decode())


def test_a_wrong_total_is_found(store: Path) -> None:
    def change(txn: Any, _: Any) -> None:
        head = msgspec.msgpack.decode(txn.get(b"head"))
        head[4]["filled"] += 1
        txn.put(b"head", msgspec.msgpack.encode(head))

    tamper(store, b"head", change)
    assert examined(store).problems == ("total filled: stored 11, replayed 10",)


def test_a_damaged_page_is_found_whatever_it_does_to_the_reader(store: Path, tmp_path: Path) -> None:
    compact = tmp_path / "compact"  # without free pages, where damage is none
    backup(store, compact, map_size=MAP_SIZE)
    pages = (compact / "data.mdb").stat().st_size // 4096
    for page in range(2, pages, max(1, pages // 6)):
        with copied(compact) as copy:
            with (copy / "data.mdb").open("r+b") as file:
                file.seek(page * 4096)
                file.write(b"\xa5" * 4096)
            assert not verify(copy, map_size=MAP_SIZE).ok


def test_a_file_cut_short_is_reported(store: Path) -> None:
    with (store / "data.mdb").open("r+b") as file:
        file.truncate(8192)
    assert not verify(store, map_size=MAP_SIZE).ok


def archived(path: Path) -> list[Path]:
    with open_store(path) as store:
        archive = store.archive(1 << 62, min_entries=1, max_entries=25)
        assert archive is not None
        store.drop_archived(archive)
        store.retain(1 << 62, min_entries=10)
    return sorted((path / "archive").iterdir())


def test_archives_and_journal_are_one_chain(store: Path) -> None:
    assert len(archived(store)) == 2
    report = examined(store)
    assert (report.problems, report.archives, report.entries) == ((), 2, ENTRIES + 3)


def test_a_spoilt_archive_is_found(store: Path) -> None:
    for index in (0, 1):
        for at in (3, 40, -20, -1):
            with copied(store) as copy:
                file = archived(copy)[index]
                data = bytearray(file.read_bytes())
                data[at] ^= 1
                file.write_bytes(data)
                report = examined(copy)
                assert (report.ok, report.first_bad_seq) == (False, 1 if index == 0 else 26)


def test_a_missing_archive_is_found(store: Path) -> None:
    for index, first_bad in ((0, 1), (1, 26)):
        with copied(store) as copy:
            archived(copy)[index].unlink()
            assert examined(copy).first_bad_seq == first_bad


def test_another_stores_archive_is_found(store: Path, tmp_path: Path) -> None:
    mine = archived(store)[0]
    with open_store(tmp_path / "other") as other:
        other.commit([put(order(number)) for number in range(100, 200)])
        archive = other.archive(1 << 62, max_entries=25, min_entries=1)
        assert archive is not None
        shutil.copyfile(archive.path, mine)
    assert examined(store).first_bad_seq == 25


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="found nothing"):
        verify(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreForeign):
        verify(tmp_path / "file")


def test_a_live_store_can_be_verified(store: Path) -> None:
    with open_store(store) as live:
        done = subprocess.Popen(
            [sys.executable, "-m", "engine.store", str(store), str(MAP_SIZE)], cwd=ROOT, stdout=subprocess.PIPE
        )
        number = 1000
        while done.poll() is None:
            live.commit([put(order(number))])
            number += 1
        output, _ = done.communicate()
    report = msgspec.json.decode(output, type=VerifyReport)
    assert report.problems == ()
    assert ENTRIES <= report.entries <= ENTRIES + number
