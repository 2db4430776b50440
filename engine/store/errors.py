"""Why a store cannot be used. Each error names the path, what was expected there and what was found.

`StoreError` and its kinds mean that the process cannot go on with this directory; `exit_code` is what it ends with.
`CommitRefused` is different: the caller handed over something that cannot be stored, nothing was written and the store
is as good as before.
"""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import lmdb

__all__ = [
    "CommitRefused",
    "StoreCorrupt",
    "StoreError",
    "StoreForeign",
    "StoreFull",
    "StoreLocked",
    "StoreNewer",
    "StoreReadOnly",
    "translated",
]


class StoreError(Exception):
    """The directory cannot serve as this node's store."""

    exit_code: ClassVar[int] = 74

    def __init__(self, path: Path | str, expected: str, found: str) -> None:
        super().__init__(f"{path}: expected {expected}, found {found}")
        self.path = str(path)
        self.expected = expected
        self.found = found


class StoreLocked(StoreError):
    """Another process writes here. `holder_pid` is None when it has not written its number yet."""

    exit_code: ClassVar[int] = 1

    def __init__(self, path: Path | str, holder_pid: int | None) -> None:
        holder = "an unnamed process" if holder_pid is None else f"process {holder_pid}"
        super().__init__(path, "no other process using the directory", f"{holder} holding the lock")
        self.holder_pid = holder_pid


class StoreForeign(StoreError):
    """Not ours: another program's file, a file where a directory should be, a directory full of something else."""


class StoreNewer(StoreError):
    """Written by a later version of the program, or not yet brought up to this one (for readers)."""


class StoreReadOnly(StoreError):
    """The directory or its files may not be written."""


class StoreCorrupt(StoreError):
    """Damaged: truncated, overwritten, or rows that no longer decode."""


class StoreFull(StoreError):
    """The reserved map, the disk or the quota is used up."""


class CommitRefused(ValueError):
    """A commit that cannot be stored: unknown table, wrong type, a key that does not belong to its value."""


PROBE_BYTES = 65_536
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_NO_DIRECTORY = (errno.ENOTDIR, errno.EEXIST)
_DAMAGED = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.InvalidError,
    lmdb.BadTxnError,
    lmdb.VersionMismatchError,
)


def translate(error: lmdb.Error | OSError, path: Path | str) -> StoreError:
    """The typed error for what LMDB or the operating system said."""
    code = (error.errno or 0) if isinstance(error, OSError) else error.code
    if isinstance(error, lmdb.MapFullError) or code in _FULL or (code == errno.EIO and _no_room(Path(path))):
        return StoreFull(path, "room for one more transaction", str(error))
    if isinstance(error, lmdb.ReadonlyError) or code in _READ_ONLY:
        return StoreReadOnly(path, "a directory this process may write", str(error))
    if code in _NO_DIRECTORY:
        return StoreForeign(path, "a directory", str(error))
    if isinstance(error, _DAMAGED):
        return StoreCorrupt(path, "a sound LMDB file", str(error))
    return StoreError(path, "LMDB to do its work", str(error))


def _no_room(directory: Path) -> bool:
    """Whether an I/O error was a write cut short for want of room: LMDB gives both the same name."""
    try:
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if limit != resource.RLIM_INFINITY:
            return any(file.stat().st_size + PROBE_BYTES >= limit for file in directory.glob("*.mdb"))
        with (directory / "probe").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, PROBE_BYTES)
    except OSError as error:
        return error.errno in _FULL
    finally:
        with suppress(OSError):
            (directory / "probe").unlink()
    return False


@contextmanager
def translated(path: Path | str) -> Iterator[None]:
    """Run a block that talks to LMDB or the file system; what it raises comes out as a `StoreError`."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        raise translate(error, path) from error
