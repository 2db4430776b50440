"""One process per directory, said by the kernel: the lock dies with its holder, so a stale one cannot exist."""

import fcntl
import os
from pathlib import Path

from engine.store.errors import StoreLocked, translated

__all__ = ["DirectoryLock"]


class DirectoryLock:
    """An exclusive `flock` on a file that holds its owner's process id."""

    def __init__(self, path: Path | str) -> None:
        """Take the lock or raise `StoreLocked` naming the process that has it; never waits."""
        self.path = Path(path)
        with translated(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._take()
            except BaseException:
                os.close(self._fd)
                raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreLocked(self.path, self._holder()) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def _holder(self) -> int | None:
        text = os.pread(self._fd, 32, 0).strip()
        return int(text) if text.isdigit() else None

    def release(self) -> None:
        """Give the lock back. A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
