"""What the program says while it runs: readable lines on the terminal, JSON lines in a bounded set of files.

Actors log through `self.log`, which has their path bound; whoever handles an order binds `order_id`. Libraries that use
the standard library's logging come in from WARNING upwards: below that httpx writes whole URLs, and some venues and
chat robots keep their key in one.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from loguru import logger

from actors._log_sinks import FileSink, TerminalSink
from engine.settings import LogLevel, LogSettings

if TYPE_CHECKING:
    from loguru import Record

_LEVELS = get_args(LogLevel)
_QUIET = ("httpcore", "httpx", "pykka", "trio-websocket", "websockets")


@contextlib.contextmanager
def open_logs(settings: LogSettings, directory: Path, name: str, fd: int = 2) -> Iterator[TerminalSink]:
    """Inside the block logs go to the terminal `fd` and to `directory/<name>.jsonl`; afterwards loguru is without sinks.

    The terminal is handed out for whoever has to show something between the lines.
    `name` is the program's: processes that share a directory must not share a file.
    """
    coloured = settings.colour == "always" or (settings.colour == "auto" and os.isatty(fd))
    terminal = TerminalSink(fd, colour=coloured)
    file = FileSink(directory, name, file_bytes=settings.file_bytes, files=settings.files, complain=terminal.say)
    logger.remove()
    _add(terminal, settings.terminal_level)
    _add(file, settings.file_level)
    try:
        with _standard_logging():
            yield terminal
    finally:
        logger.remove()
        file.close()


def _add(sink: TerminalSink | FileSink, level: LogLevel) -> None:
    """catch: a fault in a sink is printed, never raised. diagnose: a traceback must not show the values of variables."""
    logger.add(sink, level=level, format=_unused, catch=True, diagnose=False, backtrace=False)


def _unused(_record: "Record") -> str:
    """The sinks make their own text from the record."""
    return ""


@contextlib.contextmanager
def _standard_logging() -> Iterator[None]:
    """The standard library's logging, and Python's warnings, speak through loguru inside the block."""
    root, relay = logging.getLogger(), _Relay()
    level = root.level
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    root.addHandler(relay)
    root.setLevel(logging.WARNING)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
        root.setLevel(level)
        root.removeHandler(relay)


class _Relay(logging.Handler):
    """Hands a standard record to loguru, with the place it was logged at."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the arguments do not fit the text
            message = f"{record.msg} {record.args!r}"

        def place(said: "Record") -> None:
            said["name"], said["function"], said["line"] = record.name, record.funcName, record.lineno

        level = record.levelname if record.levelname in _LEVELS else "WARNING"
        logger.patch(place).opt(exception=record.exc_info).log(level, "{}", message)
