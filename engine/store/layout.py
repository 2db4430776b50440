"""What lies where in a store's directory, and whether a directory is one.

``data.mdb`` the tables · ``lock.mdb`` LMDB's reader slots · ``writer.lock`` who writes · ``archive/`` journal entries
past retention · ``new/`` a store being created or restored, until it is complete.
"""

import os
import shutil
from pathlib import Path

from engine.store.environment import MAX_READERS
from engine.store.errors import StoreCorrupt, StoreForeign, StoreReadOnly, translated
from engine.store.pages import examine

DATA = "data.mdb"
READERS = "lock.mdb"
LOCK = "writer.lock"
ARCHIVE = "archive"
ASIDE = "new"
OURS = frozenset({DATA, READERS, LOCK, ARCHIVE, ASIDE, "probe"})

READERS_BYTES = 192 + (MAX_READERS - 1) * 64  # LMDB's header and one cache line per slot


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Make the bytes of `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: Path) -> None:
    """Create `path` and its parents, each made durable in the one above it."""
    if path.exists():
        if not path.is_dir():
            raise StoreForeign(path, "a directory", "a file")
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def holds_store(path: Path) -> bool:
    """Whether `path` has a sound-looking store (True) or nothing at all (False); a `StoreError` for anything else."""
    with translated(path):
        if not path.exists():
            return False
        if not path.is_dir():
            raise StoreForeign(path, "a directory", "a file")
        names = {entry.name for entry in path.iterdir()}
        if DATA in names:
            examine(path / DATA)
            return True
        if names - OURS:
            raise StoreForeign(path, "an empty directory or a store", ", ".join(sorted(names))[:200])
        if ARCHIVE in names and any((path / ARCHIVE).iterdir()):
            raise StoreCorrupt(path, f"{DATA} beside the archives", "archives alone")
        return False


def check_writable(path: Path) -> None:
    """`StoreReadOnly` unless files in `path` can be written; LMDB itself would only notice at the first commit."""
    if not os.access(path, os.W_OK | os.X_OK):
        raise StoreReadOnly(path, "a directory this process may write", "no permission to")
    data = path / DATA
    if data.exists() and not os.access(data, os.W_OK):
        raise StoreReadOnly(data, "a file this process may write", "no permission to")


def reserve_readers(path: Path) -> None:
    """Allocate LMDB's reader slots for real: it maps that file, and on a full disk a hole in it would end the process by a signal."""
    with translated(path):
        fd = os.open(path / READERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_blocks * 512 < READERS_BYTES:
                os.posix_fallocate(fd, 0, READERS_BYTES)
        finally:
            os.close(fd)


def clear_aside(path: Path) -> Path:
    """An empty directory inside `path` to build a store in."""
    aside = path / ASIDE
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir(mode=0o700)
    return aside


def publish(aside: Path, path: Path) -> None:
    """Put the complete store in `aside` in its place at once: there is no moment with half of one."""
    sync_file(aside / DATA)
    (aside / DATA).replace(path / DATA)
    sync_directory(path)
    shutil.rmtree(aside)
    sync_directory(path)
