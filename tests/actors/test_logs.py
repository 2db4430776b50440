"""Logs are readable on a terminal and JSON in bounded files; they show no secret, never raise and never make anyone wait."""

import contextlib
import fcntl
import json
import logging
import os
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from loguru import logger

from actors.logs import open_logs
from engine.settings import LogSettings, Secret

VALUE = "hunter2-0123456789"


class Terminal:
    """A pipe in the place of a terminal; read without waiting."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, 8192)
        os.set_blocking(self.reader, False)

    def read(self) -> str:
        with contextlib.suppress(BlockingIOError):
            return os.read(self.reader, 1_000_000).decode()
        return ""

    def close(self) -> None:
        for fd in (self.reader, self.writer):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture
def logs(terminal: Terminal, tmp_path: Path) -> Iterator[Path]:
    with open_logs(LogSettings(file_level="TRACE"), tmp_path, "node", fd=terminal.writer):
        yield tmp_path / "node.jsonl"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_terminal_line_shows_time_level_actor_order_and_message(logs, terminal):
    logger.bind(actor="root/venues/deribit/session", order_id="o-1", attempt=2).warning("refused: {}", "no margin")
    time, _, rest = terminal.read().partition(" ")
    assert len(time) == len("12:34:56.789")
    assert rest == "WARNING  root/venues/deribit/session order=o-1 refused: no margin attempt=2\n"


def test_a_file_line_is_json_with_actor_and_order_bound(logs):
    logger.bind(actor="root/recorder", order_id="o-1", price=Decimal("1.50")).info("kept")
    (line,) = lines(logs)
    assert line.pop("at").endswith("Z")
    assert "test_logs:" in line.pop("from")
    assert line == {
        "level": "INFO",
        "actor": "root/recorder",
        "order_id": "o-1",
        "message": "kept",
        "extra": {"price": "1.50"},
    }


def test_the_terminal_leaves_out_what_the_file_keeps(logs, terminal):
    logger.debug("detail")
    assert terminal.read() == ""
    assert [line["message"] for line in lines(logs)] == ["detail"]


def test_a_traceback_is_kept_without_the_values_of_variables(logs, terminal):
    revealed = Secret(VALUE).reveal()
    try:
        raise ValueError(f"length {len(revealed)}")
    except ValueError:
        logger.exception("failed")
    assert "ValueError: length 18" in terminal.read()
    assert lines(logs)[0]["exception"].endswith("ValueError: length 18\n")
    assert VALUE not in logs.read_text()


class Account(msgspec.Struct):
    secret: Secret


def test_a_secret_shows_nowhere(logs, terminal):
    secret = Secret(VALUE)
    logger.bind(secret=secret, inside=[secret], account=Account(secret), keyed={"a": {"b": secret}}).info(
        "secret {} {!r} {}", secret, secret, [secret]
    )
    logging.getLogger("lib").warning("secret %s %r", secret, secret)
    shown = terminal.read() + logs.read_text()
    assert VALUE not in shown
    assert "***" in shown
    assert lines(logs)[0]["extra"]["account"] == {"secret": "***"}


def test_escape_codes_and_line_ends_are_shown_not_obeyed(logs, terminal):
    logger.bind(actor="a\x1b[31m", reason="x\ny").warning("one\ntwo\x1b[2J\x9b")
    text = terminal.read()
    assert text.count("\n") == 1
    assert "one\\ntwo\\x1b[2J\\x9b reason=x\\ny" in text
    assert "\x1b" not in text


def test_colour_is_for_terminals_or_on_request(terminal, tmp_path):
    with open_logs(LogSettings(colour="always"), tmp_path, "node", fd=terminal.writer):
        logger.error("red")
    assert "\x1b[31mERROR" in terminal.read()


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


CIRCLE: list = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "value",
    [
        Broken(),
        CIRCLE,
        10**40,
        float("nan"),
        {1: 2, (1, 2): 3},
        "half \ud800",
        b"\xff",
        "x" * 100_000,
        ValueError("v"),
        object,
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_makes_a_log_call_fail_or_a_line_endless(logs, terminal, value):
    logger.bind(value=value).warning("kept")
    (line,) = lines(logs)
    assert line["message"] == "kept"
    assert len(logs.read_bytes()) < 120_000
    assert "kept" in terminal.read()


def test_a_terminal_nobody_reads_drops_lines_and_says_so_later(logs, terminal):
    for number in range(500):
        logger.info("line {}", number)
    before = terminal.read()
    assert "line 499" not in before
    logger.info("back")
    after = terminal.read()
    dropped = 500 - before.count("line ")
    assert after.startswith(f"({dropped} log lines were not shown: the terminal was not reading)\n")
    assert after.endswith("back\n")
    assert len(lines(logs)) == 501


def test_a_terminal_that_is_gone_changes_nothing(logs, terminal):
    os.close(terminal.reader)
    logger.info("into the void")
    os.close(terminal.writer)
    logger.info("again")
    assert len(lines(logs)) == 2


def test_files_rotate_within_their_bound_and_lose_nothing_that_is_kept(terminal, tmp_path):
    settings = LogSettings(file_bytes=64 * 1024, files=3)
    with open_logs(settings, tmp_path, "node", fd=terminal.writer):
        for number in range(3000):
            logger.debug("line {} {}", number, "x" * 100)
    names = ["node.2.jsonl", "node.1.jsonl", "node.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert all((tmp_path / name).stat().st_size <= 64 * 1024 for name in names)
    numbers = [int(line["message"].split()[1]) for name in names for line in lines(tmp_path / name)]
    assert numbers == list(range(numbers[0], 3000))


def test_one_file_alone_starts_over_at_its_bound(terminal, tmp_path):
    with open_logs(LogSettings(file_bytes=64 * 1024, files=1), tmp_path, "node", fd=terminal.writer):
        for number in range(1000):
            logger.debug("line {} {}", number, "x" * 100)
    assert [path.name for path in tmp_path.iterdir()] == ["node.jsonl"]
    assert lines(tmp_path / "node.jsonl")[-1]["message"].startswith("line 999 ")


def test_a_file_goes_on_where_it_ended_even_in_the_middle_of_a_line(terminal, tmp_path):
    path = tmp_path / "node.jsonl"
    path.write_text('{"message":"old"}\n{"mess')
    with open_logs(LogSettings(), tmp_path, "node", fd=terminal.writer):
        logger.info("new")
    old, torn, new = path.read_text().splitlines()
    assert (old, torn) == ('{"message":"old"}', '{"mess')
    assert json.loads(new)["message"] == "new"


def test_log_files_are_for_their_owner_only(logs):
    logger.info("x")
    assert logs.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_said_once_and_counted_when_it_can_again(terminal, tmp_path):
    directory = tmp_path / "log"
    directory.write_text("a file in the way")
    with open_logs(LogSettings(), directory, "node", fd=terminal.writer):
        for _ in range(3):
            logger.info("x")
        assert terminal.read().count("log lines are being lost") == 1
        directory.unlink()
        logger.info("back")
    assert [(line["message"], line.get("lost")) for line in lines(directory / "node.jsonl")] == [
        ("log lines were lost", 3),
        ("back", None),
    ]


def test_a_line_cut_short_by_a_full_disk_does_not_spoil_the_next(logs, terminal, monkeypatch):
    logger.info("one")
    write = os.write
    room = [20, 0]

    def full(fd: int, data: bytes) -> int:
        if fd == terminal.writer:
            return write(fd, data)
        left = room.pop(0)
        if not left:
            raise OSError(28, "No space left on device")
        return write(fd, data[:left])

    monkeypatch.setattr(os, "write", full)
    logger.info("two")
    monkeypatch.undo()
    logger.info("three")
    one, torn, lost, three = logs.read_text().splitlines()
    assert len(torn) == 20
    assert [json.loads(line)["message"] for line in (one, lost, three)] == ["one", "log lines were lost", "three"]


def test_the_standard_library_speaks_from_warning_upwards(logs, terminal):
    logging.getLogger("httpx").info("GET https://host/?key=%s", VALUE)
    logging.getLogger("httpx").warning("slow")
    logging.getLogger("pykka").error("failed", exc_info=ValueError("v"))
    assert [(line["level"], line["message"]) for line in lines(logs)] == [
        ("WARNING", "slow"),
        ("ERROR", "failed"),
    ]
    assert lines(logs)[1]["exception"] == "ValueError: v\n"
    assert lines(logs)[0]["from"].startswith("httpx:")


def test_a_standard_record_whose_arguments_do_not_fit_is_logged_as_it_came(logs):
    relay = next(handler for handler in logging.getLogger().handlers if type(handler).__module__ == "actors.logs")
    relay.handle(logging.LogRecord("lib", logging.WARNING, "lib.py", 1, "bad %d", ("arguments",), None))
    assert lines(logs)[0]["message"] == "bad %d ('arguments',)"


def test_python_warnings_are_logged(logs):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old call", stacklevel=1)
    assert "old call" in lines(logs)[0]["message"]


def test_afterwards_standard_logging_is_as_before(terminal, tmp_path):
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("httpx").level)
    with open_logs(LogSettings(), tmp_path, "node", fd=terminal.writer):
        assert root.handlers != before[0]
    assert (root.handlers[:], root.level, logging.getLogger("httpx").level) == before
