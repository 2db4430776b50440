"""No room left: in the map, on the disk, in the quota. An error, never a crash; what was acknowledged stays; a new start goes on."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.store import Commit, Put, Store, StoreFull
from engine.store.verify import examine_store
from tests.support.stores import MAP_SIZE, open_store, order, put

ROOT = Path(__file__).parents[2]
FILL = """
import resource, sys
from engine.store import StoreError
from tests.support.stores import open_store, order, put
acknowledged = 0
try:
    store = open_store(sys.argv[1])
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    while True:
        acknowledged = store.commit([put(order(acknowledged + n)) for n in range(1, 21)])[-1] - 1
except StoreError as error:
    print(acknowledged, type(error).__name__, error.exit_code, error)
"""


def fill(*args: str | Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", FILL, *map(str, args)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    count, *words = done.stdout.split()
    return int(count), words


def fill_up(store: Store, counts: list[int]) -> None:
    """Accept orders until there is no room, noting how many there are after each group."""
    while True:
        count = counts[-1] if counts else 0
        counts.append(store.commit([put(order(count + n)) for n in range(1, 21)])[-1] - 1)


def check_acknowledged(path: Path, count: int) -> None:
    assert count > 0
    with open_store(path) as store:
        assert store.counters()["accepted"] == count
        assert all(store.order(f"testnode-{number}") for number in range(1, count + 1))
    assert examine_store(path, map_size=MAP_SIZE).problems == ()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = Path(tempfile.mkdtemp())
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    mounted = os.getuid() == 0 and subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0
    try:
        if not mounted:
            pytest.skip("mounting a tmpfs needs rights this process does not have")
        yield path
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)
        path.rmdir()


def test_a_full_map_refuses_the_commit_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "store"
    counts: list[int] = []
    with open_store(path, map_size=1 << 20) as store:
        with pytest.raises(StoreFull, match="MAP_FULL") as caught:
            fill_up(store, counts)
        assert (caught.value.exit_code, caught.value.path) == (74, str(path))
        assert store.usage().fraction > 0.8
    check_acknowledged(path, counts[-1])


def test_a_file_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    count, words = fill(tmp_path / "store", "700000")
    assert words[:2] == ["StoreFull", "74"]
    check_acknowledged(tmp_path / "store", count)


def test_a_full_disk_refuses_the_commit_and_keeps_the_rest(small_disk: Path) -> None:
    count, words = fill(small_disk / "store")
    assert words[:2] == ["StoreFull", "74"]
    check_acknowledged(small_disk / "store", count)


def test_a_disk_too_full_to_begin_with_says_so(small_disk: Path) -> None:
    free = os.statvfs(small_disk).f_bavail * 4096
    for left in (0, 8192, 32_768, 45_056):
        (small_disk / "ballast").write_bytes(bytes(free - left))
        with pytest.raises(StoreFull, match=str(small_disk)):
            open_store(small_disk / "store")
    (small_disk / "ballast").unlink()
    open_store(small_disk / "store").close()


def test_an_archive_that_does_not_fit_changes_nothing(small_disk: Path) -> None:
    with open_store(small_disk / "store") as store:
        store.commit([Commit("x", (Put("tasks", str(n), {"data": os.urandom(2000)}),)) for n in range(60)])
        free = os.statvfs(small_disk).f_bavail * 4096
        (small_disk / "ballast").write_bytes(bytes(free - 8192))
        with pytest.raises(StoreFull):
            store.archive(1 << 62, min_entries=1)
        (small_disk / "ballast").unlink()
        assert (store.first_seq, store.last_seq) == (1, 61)
        assert store.retain(1 << 62, min_entries=1) == (0, 61)
    assert examine_store(small_disk / "store", map_size=MAP_SIZE).problems == ()


def test_usage_is_of_the_disk_where_that_is_smaller_than_the_map(small_disk: Path) -> None:
    with open_store(small_disk / "store") as store:
        assert store.usage().capacity_bytes < 1 << 20
        assert store.usage().fraction < 0.1
        free = os.statvfs(small_disk).f_bavail * 4096
        (small_disk / "ballast").write_bytes(bytes(free - 8192))
        assert store.usage().fraction > 0.5


def test_usage_falls_when_rows_go(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", map_size=1 << 22) as store:
        empty = store.usage().fraction
        store.commit([Commit("x", tuple(Put("tasks", str(n), {"data": "x" * 3000}) for n in range(300)))])
        full = store.usage().fraction
        assert full > empty + 0.3
        with store.snapshot():
            store.commit([put(order(1))])
            assert store.usage().reader_lag == 1
        store.retain(1 << 62, min_entries=1)
        assert store.usage().fraction < full - 0.2
