"""Directories that are no store, not ours, of another version, in use, read-only or damaged: a typed error that names the path."""

import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import lmdb
import pytest

from engine.store import (
    Commit,
    DirectoryLock,
    KeyCodec,
    Put,
    RowReader,
    Schema,
    StoreCorrupt,
    StoreError,
    StoreForeign,
    StoreLocked,
    StoreNewer,
    StoreReadOnly,
    TableSpec,
)
from engine.store.schema import META, TRADENODE
from engine.store.verify import examine_store
from tests.support.stores import MAP_SIZE, copied, open_reader, open_store, order, put

ROOT = Path(__file__).parents[2]


def filled(path: Path, orders: int = 200) -> Path:
    with open_store(path) as store:
        for number in range(1, orders, 20):
            store.commit([put(order(n)) for n in range(number, number + 20)])
    return path


def spoil(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def run(code: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


# -- creation ---------------------------------------------------------------------------------------------------------


def test_a_store_is_made_with_its_parents_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "store"
    with open_store(path, seed=1) as store:
        node_part = store.node_part
        store.commit([put(order(1))])
    assert (len(node_part), node_part.isalnum(), node_part.islower() or node_part.isdigit()) == (8, True, True)
    assert sorted(entry.name for entry in path.iterdir()) == ["data.mdb", "lock.mdb", "writer.lock"]
    assert path.stat().st_mode & 0o077 == 0
    with open_store(path, seed=2) as store:
        assert (store.node_part, store.last_seq) == (node_part, 2)


def test_a_creation_that_was_cut_short_is_started_over(tmp_path: Path) -> None:
    path = tmp_path / "store"
    (path / "new").mkdir(parents=True)
    (path / "new" / "data.mdb").write_bytes(b"half")
    with open_store(path) as store:
        assert store.last_seq == 1
    assert not (path / "new").exists()


def test_a_reader_does_not_create(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a store, found nothing"):
        open_reader(tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_writer_needs_a_clock(tmp_path: Path) -> None:
    from engine.store import Store

    with pytest.raises(TypeError, match="clock"):
        Store.open(tmp_path / "store")


# -- in use -----------------------------------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_is_first(tmp_path: Path) -> None:
    with open_store(tmp_path / "store"):
        with pytest.raises(StoreLocked, match=str(os.getpid())) as caught:
            open_store(tmp_path / "store")
        assert (caught.value.exit_code, caught.value.holder_pid) == (1, os.getpid())
    open_store(tmp_path / "store").close()


def test_the_lock_of_a_dead_process_is_no_lock(tmp_path: Path) -> None:
    lock = tmp_path / "node.lock"
    code = (
        "import os, sys; from engine.store import DirectoryLock; "
        "lock = DirectoryLock(sys.argv[1]); print(os.getpid(), flush=True); os.kill(os.getpid(), 9)"
    )
    dead = int(run(code, lock).stdout)
    assert lock.read_text() == f"{dead}\n"
    DirectoryLock(lock).release()
    assert lock.read_text() == f"{os.getpid()}\n"


def test_a_lock_says_so_when_its_holder_left_no_number(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "node.lock")
    (tmp_path / "node.lock").write_text("")
    with pytest.raises(StoreLocked, match="unnamed process") as caught:
        DirectoryLock(tmp_path / "node.lock")
    assert caught.value.holder_pid is None
    lock.release()
    lock.release()


# -- not ours ---------------------------------------------------------------------------------------------------------


def random_file(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(random.Random(1).randbytes(20_000))


def text_file(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(b"hello " * 5000)


def documents(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("do not overwrite")


def plain_file(path: Path) -> None:
    path.write_text("I am a file")


def other_lmdb(path: Path) -> None:
    with lmdb.open(str(path), max_dbs=4) as env, env.begin(write=True) as txn:
        txn.put(b"k", b"v", db=env.open_db(b"theirs", txn=txn))


def plain_lmdb(path: Path) -> None:
    with lmdb.open(str(path)) as env, env.begin(write=True) as txn:
        for number in range(5000):
            txn.put(b"%d" % number, b"v" * 40)


def empty_lmdb(path: Path) -> None:
    lmdb.open(str(path)).close()


@pytest.mark.parametrize(
    "make",
    [random_file, text_file, documents, plain_file, other_lmdb, plain_lmdb, empty_lmdb],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], read_only: bool
) -> None:
    path = tmp_path / "store"
    make(path)
    before = {
        file: file.read_bytes() for file in [path, *path.rglob("*")] if file.is_file() and file.name != "lock.mdb"
    }
    with pytest.raises(StoreForeign, match=str(path)) as caught:
        open_reader(path) if read_only else open_store(path)
    assert caught.value.exit_code == 74
    assert {file: file.read_bytes() for file in before} == before


def test_a_file_of_a_newer_lmdb_is_newer(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path / "store"), lib_version=1).close()
    with pytest.raises(StoreNewer, match="format 3"):
        open_store(tmp_path / "store")


# -- versions ---------------------------------------------------------------------------------------------------------


NAMES = TableSpec[dict[str, str]]("names", KeyCodec(str), dict[str, str])
OLD = Schema(1, (META, NAMES))
AGES = TableSpec[int]("ages", KeyCodec(str), int)


def add_ages(reader: RowReader) -> Iterable[Commit]:
    yield Commit("ages", tuple(Put("ages", key, len(value["name"])) for key, value in reader.rows("names")))


def rename(reader: RowReader) -> Iterable[Commit]:
    yield Commit("names", tuple(Put("names", key, {"full": value["name"]}) for key, value in reader.rows("names")))


NEW = Schema(3, (META, NAMES, AGES), {1: add_ages, 2: rename})


def test_migrations_run_once_in_order_and_are_journalled(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with open_store(path, schema=OLD) as store:
        store.commit([Commit("x", (Put("names", "a", {"name": "Ann"}),))])
    with open_store(path, schema=NEW) as store:
        assert dict(store.table("ages").iterate()) == {"a": 3}
        assert dict(store.table("names").iterate()) == {"a": {"full": "Ann"}}
        assert [entry.kind for entry in store.journal(3)] == ["ages", "store.migrated", "names", "store.migrated"]
    with open_store(path, schema=NEW) as store:
        assert store.last_seq == 6
    assert examine_store(path, NEW, MAP_SIZE).problems == ()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with open_store(path, schema=OLD) as store:
        store.commit([Commit("x", (Put("names", "a", {"wrong": "Ann"}),))])
    with pytest.raises(KeyError):
        open_store(path, schema=NEW)
    with open_store(path, schema=OLD) as store:
        assert store.last_seq == 2


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store"
    open_store(path, schema=NEW).close()
    for opened in (open_store, open_reader):
        with pytest.raises(StoreNewer, match="schema version 1 or older, found version 3"):
            opened(path, schema=OLD)


def test_a_reader_waits_for_the_writer_to_migrate(tmp_path: Path) -> None:
    open_store(tmp_path / "store", schema=OLD).close()
    with pytest.raises(StoreNewer, match="start the node once"):
        open_reader(tmp_path / "store", schema=NEW)


def test_a_version_nobody_can_migrate_is_an_error(tmp_path: Path) -> None:
    open_store(tmp_path / "store", schema=OLD).close()
    with pytest.raises(StoreError, match="a way from schema version 1"):
        open_store(tmp_path / "store", schema=Schema(2, (META, NAMES)))


# -- damaged ----------------------------------------------------------------------------------------------------------


def cut_to(size: int) -> Callable[[Path], None]:
    return lambda data: os.truncate(data, size)


def spoilt(at: int, junk: bytes) -> Callable[[Path], None]:
    return lambda data: spoil(data, at, junk)


def root_page(data: Path) -> None:
    """Garbage in the root of the main tree, where the newest meta page points."""
    raw = data.read_bytes()
    metas = [struct.unpack_from("=Q", raw, page * 4096 + 16 + 24 + 96 + 8)[0] for page in (0, 1)]
    newest = metas.index(max(metas))
    (root,) = struct.unpack_from("=Q", raw, newest * 4096 + 16 + 24 + 48 + 40)
    spoil(data, root * 4096, b"\xde\xad" * 2048)


DAMAGE = {
    "empty": cut_to(0),
    "cut in the first page": cut_to(100),
    "cut after the meta pages": cut_to(8192),
    "magic gone": spoilt(16, b"\0\0\0\0"),
    "second meta page gone": spoilt(4096, bytes(4096)),
    "page size absurd": spoilt(16 + 24, struct.pack("=I", 1000)),
    "root far away": spoilt(16 + 24 + 48 + 40, struct.pack("=Q", 1 << 40)),
    "transaction parity": spoilt(16 + 24 + 96 + 8, struct.pack("=Q", (1 << 40) + 1)),
    "root page garbage": root_page,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("read_only", [False, True])
def test_damage_on_the_way_in_is_found_before_lmdb_sees_it(
    tmp_path: Path, damage: Callable[[Path], None], read_only: bool
) -> None:
    path = filled(tmp_path / "store")
    damage(path / "data.mdb")
    with pytest.raises(StoreCorrupt, match=str(path)) as caught:
        open_reader(path) if read_only else open_store(path)
    assert caught.value.exit_code == 74


def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    size = (path / "data.mdb").stat().st_size
    for cut in range(8192, size, 3 * 4096 + 1000):
        with copied(path) as copy:
            os.truncate(copy / "data.mdb", cut)
            with pytest.raises(StoreCorrupt):
                open_store(copy)


def test_archives_without_a_journal_are_no_new_store(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    with open_store(path) as store:
        store.retain(1 << 62, min_entries=1)
    (path / "data.mdb").unlink()
    with pytest.raises(StoreCorrupt, match="archives alone"):
        open_store(path)


def test_a_journal_that_does_not_end_where_the_head_says_is_corrupt(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    with lmdb.open(str(path), max_dbs=64, map_size=MAP_SIZE) as env, env.begin(write=True) as txn:
        journal = env.open_db(b"journal", txn=txn)
        cursor = txn.cursor(db=journal)
        cursor.last()
        cursor.delete()
    with pytest.raises(StoreCorrupt, match="journal entry 201"):
        open_store(path)


def test_a_missing_table_makes_it_foreign(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    with lmdb.open(str(path), max_dbs=64, map_size=MAP_SIZE) as env:
        fills = env.open_db(b"fills")
        with env.begin(write=True) as txn:
            txn.drop(fills)
    with pytest.raises(StoreForeign, match="a table named fills"):
        open_store(path)
    assert "fills" in TRADENODE.tables


# -- read-only --------------------------------------------------------------------------------------------------------

OPEN = """
import os, sys, tempfile
import lmdb
from tests.support.stores import open_reader, open_store
from engine.store import StoreError
with tempfile.TemporaryDirectory() as anywhere:
    lmdb.open(anywhere).close()  # it loads a part of itself then, which nobody else may be allowed to read
if os.getuid() == 0:
    os.setuid(65534)  # root may write everywhere
try:
    (open_reader if sys.argv[2] == "read" else open_store)(sys.argv[1])
except StoreError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory anybody may enter and only we may write."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    for directory in (path, *path.iterdir()):
        directory.chmod(0o755)
    shutil.rmtree(path)


@pytest.mark.parametrize("mode", ["write", "read"])
def test_without_write_permission_the_store_is_read_only(home: Path, mode: str) -> None:
    path = filled(home / "store")
    for file in path.iterdir():
        file.chmod(0o444)
    path.chmod(0o555)
    done = run(OPEN, path, mode)
    assert done.stdout.startswith("StoreReadOnly"), done
    assert str(path) in done.stdout


def test_a_store_cannot_be_made_where_nothing_may_be_written(home: Path) -> None:
    home.chmod(0o555)
    done = run(OPEN, home / "store", "write")
    assert done.stdout.startswith("StoreReadOnly"), done


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert StoreLocked.exit_code == 1
    assert {kind.exit_code for kind in (StoreError, StoreForeign, StoreNewer, StoreReadOnly, StoreCorrupt)} == {74}
