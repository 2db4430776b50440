"""Where log lines go. Both sinks are bounded, never raise, and never make the loop wait for someone who does not read.

A writer thread behind a queue was the other way: it needs a bound and a loss counter too, and loses the last lines of a
crash.
"""

import os
import select
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from actors._log_text import json_line, terminal_line

if TYPE_CHECKING:
    from loguru import Message

_CLEAR_LINE = "\r\x1b[K"
_COLUMNS = 80
CHUNK_BYTES = 4096  # what a pipe or terminal that polls as writable takes without blocking (PIPE_BUF)


class TerminalSink:
    """Lines for a person. When nobody reads (a stopped terminal, a full pipe) lines are dropped, and counted aloud later.

    A text may be pinned to the last line: what is said appears above it.
    """

    def __init__(self, fd: int, *, colour: bool) -> None:
        self._fd = fd
        self._colour = colour
        self._waits = not stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._poll = select.poll()
        if self._waits:
            self._poll.register(self._fd, select.POLLOUT)
        self._pinned = ""
        self.dropped = 0

    def __call__(self, message: "Message") -> None:
        """Write one record, or count it as dropped."""
        self.say(terminal_line(message.record, colour=self._colour))

    def say(self, text: str) -> None:
        """Write a text that ends its line, or count it as dropped."""
        if self.dropped:
            text = f"({self.dropped} log lines were not shown: the terminal was not reading)\n{text}"
        if self._pinned:
            text = f"{_CLEAR_LINE}{text}{self._pinned}"
        if self._write(text.encode(errors="backslashreplace")):
            self.dropped = 0
        else:
            self.dropped += 1

    def pin(self, text: str) -> None:
        """Keep `text`, of one line, below everything that is said; empty takes it away. For a terminal only."""
        if text != self._pinned:
            self._pinned = text[: self._columns() - 1]
            self._write(f"{_CLEAR_LINE}{self._pinned}".encode())

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._fd).columns or _COLUMNS
        except OSError:
            return _COLUMNS

    def _write(self, data: bytes) -> bool:
        """Whether the first chunk went out. A long traceback may be cut short where the reader stopped."""
        for start in range(0, len(data), CHUNK_BYTES):
            try:
                if not self._writable():
                    return start > 0
                os.write(self._fd, data[start : start + CHUNK_BYTES])
            except OSError:  # closed, hung up, or non-blocking and full: the same to us
                return start > 0
        return True

    def _writable(self) -> bool:
        return not self._waits or any(event & select.POLLOUT for _, event in self._poll.poll(0))


class FileSink:
    """JSON lines in `<name>.jsonl`, then `<name>.1.jsonl` and so on: at most `files` of `file_bytes` each.

    A disk that is full or gone loses lines, never the node: `complain` hears it once, and the count goes into the file
    when writing works again. Files are readable by their owner only.
    """

    def __init__(
        self, directory: Path, name: str, *, file_bytes: int, files: int, complain: Callable[[str], None]
    ) -> None:
        self._directory = directory
        self._name = name
        self._file_bytes = file_bytes
        self._files = files
        self._complain = complain
        self._fd = -1
        self._size = 0
        self._torn = False  # the last thing in the file is half a line
        self.lost = 0

    @property
    def path(self) -> Path:
        """The file being written."""
        return self._numbered(0)

    def __call__(self, message: "Message") -> None:
        """Append one record, or count it as lost."""
        line = json_line(message.record)
        if self.lost:
            line = b'{"level":"WARNING","message":"log lines were lost","lost":%d}\n' % self.lost + line
        try:
            self._append(line)
        except OSError as error:
            if not self.lost:
                self._complain(f"log lines are being lost, {self.path} cannot be written: {error.strerror}\n")
            self.lost += 1
        else:
            self.lost = 0

    def close(self) -> None:
        """Give the file back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, line: bytes) -> None:
        if self._fd < 0:
            self._open()
        if self._size and self._size + len(line) > self._file_bytes:
            self._rotate()
        if self._torn:
            line = b"\n" + line
        written = os.write(self._fd, line)
        self._size += written
        self._torn = not line[:written].endswith(b"\n")
        if written < len(line):
            os.write(self._fd, line[written:])  # raises what stopped the first write
            self._torn = False

    def _open(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size
        self._torn = self._size > 0 and os.pread(self._fd, 1, self._size - 1) != b"\n"

    def _rotate(self) -> None:
        self.close()
        for number in range(self._files - 1, 0, -1):
            newer = self._numbered(number - 1)
            if newer.exists():
                newer.replace(self._numbered(number))
        if self._files == 1:
            self.path.unlink()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._directory / (f"{self._name}.{number}.jsonl" if number else f"{self._name}.jsonl")
