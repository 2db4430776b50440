"""Backup and restore: whole or not there, consistent while the writer goes on, never the same id twice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.kernel import Entropy
from engine.store import Store, StoreError, StoreForeign, StoreLocked, backup, restore, verify
from engine.store.verify import examine_store
from tests.support.stores import MAP_SIZE, SetClock, open_reader, open_store, order, put

ROOT = Path(__file__).parents[2]
BACKUP = """
import sys
from engine.store import backup
for number in range(int(sys.argv[3])):
    backup(sys.argv[1], f"{sys.argv[2]}{number}", map_size=int(sys.argv[4]))
"""


def restored(source: Path, destination: Path, seed: int = 9) -> None:
    restore(source, destination, clock=SetClock(), entropy=Entropy(seed), map_size=MAP_SIZE)


def filled(path: Path) -> Store:
    store = open_store(path)
    store.commit([put(order(number)) for number in range(1, 101)])
    store.retain(1 << 62, min_entries=10)
    store.commit([put(order(101))])
    return store


def test_a_backup_is_the_store_as_it_was(tmp_path: Path) -> None:
    with filled(tmp_path / "store") as store:
        store.backup(tmp_path / "backups" / "first")
        at_backup = (store.last_seq, store.counters(), store.node_part)
        store.commit([put(order(102))])
    report = examine_store(tmp_path / "backups" / "first", map_size=MAP_SIZE)
    assert (report.problems, report.archives, report.last_seq) == ((), 1, at_backup[0])
    with open_reader(tmp_path / "backups" / "first") as copy:
        assert (copy.last_seq, copy.counters(), copy.node_part) == at_backup


def test_backups_of_a_live_store_are_consistent(tmp_path: Path) -> None:
    with filled(tmp_path / "store") as store:
        child = subprocess.Popen(
            [sys.executable, "-c", BACKUP, str(tmp_path / "store"), str(tmp_path / "copy"), "5", str(MAP_SIZE)],
            cwd=ROOT,
        )
        number = 1000
        while child.poll() is None:
            store.commit([put(order(number + n)) for n in range(5)])
            store.retain(1 << 62, min_entries=20)
            number += 5
        assert child.returncode == 0
        last_seq = store.last_seq
    reports = [examine_store(tmp_path / f"copy{n}", map_size=MAP_SIZE) for n in range(5)]
    assert [report.problems for report in reports] == [()] * 5
    assert reports[0].last_seq < reports[-1].last_seq <= last_seq


def test_a_restored_store_goes_on_under_a_new_node_part(tmp_path: Path) -> None:
    with filled(tmp_path / "store") as store:
        store.backup(tmp_path / "copy")
        node_part, last_seq = store.node_part, store.last_seq
    restored(tmp_path / "copy", tmp_path / "again")
    with open_store(tmp_path / "again") as store:
        assert store.node_part != node_part
        assert len(store.node_part) == 8
        assert (store.last_seq, store.last_order_number()) == (last_seq + 1, 101)
        assert next(store.journal(store.last_seq)).kind == "store.restored"
        assert store.commit([put(order(103))]) == [last_seq + 2]
    assert verify(tmp_path / "again", map_size=MAP_SIZE).problems == ()
    with open_reader(tmp_path / "copy") as copy:
        assert (copy.node_part, copy.last_seq) == (node_part, last_seq)


def test_two_restores_of_one_backup_differ(tmp_path: Path) -> None:
    with filled(tmp_path / "store") as store:
        store.backup(tmp_path / "copy")
    restored(tmp_path / "copy", tmp_path / "a", seed=1)
    restored(tmp_path / "copy", tmp_path / "b", seed=2)
    with open_reader(tmp_path / "a") as a, open_reader(tmp_path / "b") as b:
        assert a.node_part != b.node_part


def test_a_copy_never_covers_what_is_there(tmp_path: Path) -> None:
    with filled(tmp_path / "store") as store:
        store.backup(tmp_path / "copy")
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / "thesis.txt").write_text("mine")
        (tmp_path / "file").write_text("mine")
        for copying in (store.backup, lambda to: restored(tmp_path / "copy", to)):
            with pytest.raises(StoreError, match="an empty or missing directory, found thesis"):
                copying(tmp_path / "taken")
            with pytest.raises(StoreForeign, match="a file"):
                copying(tmp_path / "file")
            with pytest.raises(StoreLocked, match=str(os.getpid())):
                copying(tmp_path / "store")
        (tmp_path / "empty").mkdir()
        store.backup(tmp_path / "empty")
    assert examine_store(tmp_path / "empty", map_size=MAP_SIZE).ok


def test_there_must_be_something_to_copy(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="found nothing"):
        backup(tmp_path / "nothing", tmp_path / "copy")
    with pytest.raises(StoreError, match="found nothing"):
        restored(tmp_path / "nothing", tmp_path / "again")
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "again").exists()


def test_what_a_broken_attempt_left_is_not_in_the_way(tmp_path: Path) -> None:
    with filled(tmp_path / "store") as store:
        (tmp_path / ".copy.partial").mkdir()
        (tmp_path / ".copy.partial" / "data.mdb").write_bytes(b"half")
        store.backup(tmp_path / "copy")
    assert not (tmp_path / ".copy.partial").exists()
    assert examine_store(tmp_path / "copy", map_size=MAP_SIZE).ok
