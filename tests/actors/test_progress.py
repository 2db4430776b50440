"""While history loads a person sees how far it is, no line of the log is spoilt by it, and the log tells when it is in."""

import os
import pty
import re
import select
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from loguru import logger

from actors.logs import open_logs
from actors.progress import follow_history, progress_line
from engine.kernel import TrioClock
from engine.model import MarketState, VenueState
from engine.settings import LogSettings

SETTLED_S = 0.1


class Screen:
    """What a terminal shows of the bytes it got: enough of one for `\\r`, `\\n` and clear-to-end."""

    def __init__(self) -> None:
        self.reader, self.writer = pty.openpty()
        self.lines = [""]

    def look(self) -> list[str]:
        said = b""
        while select.select([self.reader], [], [], SETTLED_S)[0]:  # what is written is there a moment later
            said += os.read(self.reader, 1_000_000)
        for piece in re.split(r"(\r\n|\r\x1b\[K)", said.decode()):
            if piece == "\r\n":
                self.lines.append("")
            elif piece == "\r\x1b[K":
                self.lines[-1] = ""
            else:
                self.lines[-1] += piece
        return self.lines


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen()
    yield screen
    os.close(screen.reader)
    os.close(screen.writer)


def venue(name: str, symbols: int = 2) -> VenueState:
    state = VenueState(name)
    for n in range(symbols):
        state.markets[f"S{n}"] = MarketState(f"{name}:S{n}", bounds_s={}, intervals=("1m", "1h"))
    return state


def parts(*states: VenueState) -> Any:
    clock = TrioClock(0)
    venues = {state.name: SimpleNamespace(name=state.name, state=state) for state in states}
    return SimpleNamespace(venues=venues, clock=clock, started_s=clock.monotonic_s())


def test_lines_are_whole_above_the_bar_and_the_bar_is_gone_at_the_end(screen: Screen, tmp_path: Path) -> None:
    with open_logs(LogSettings(colour="never"), tmp_path, "node", fd=screen.writer) as terminal:
        terminal.pin(progress_line(0, 8, 0.0))
        for n in range(5):
            logger.info("line {}", n)
            terminal.pin(progress_line(n, 8, 1.0 * n))
        *said, bar = screen.look()
        assert [line[-6:] for line in said] == [f"line {n}" for n in range(5)]
        assert bar == progress_line(4, 8, 4.0)
        terminal.pin("")
        logger.info("the end")
        *said, last = screen.look()
        assert said[-1].endswith("the end")
        assert last == ""


def test_a_bar_is_never_longer_than_a_line(screen: Screen, tmp_path: Path) -> None:
    with open_logs(LogSettings(), tmp_path, "node", fd=screen.writer) as terminal:
        terminal.pin("x" * 500)
        assert len(screen.look()[-1]) < 80


async def test_the_log_tells_once_for_each_venue_when_its_history_is_in(
    autojump_clock: trio.testing.MockClock, caplog: list[str]
) -> None:
    first, second, none = venue("first"), venue("second"), venue("none", symbols=0)
    pinned: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow_history, parts(first, second, none), pinned.append)
        await trio.sleep(2.05)
        for market in first.markets.values():
            market.loaded |= {"1m", "1h", "trades"}
        await trio.sleep(2)
        assert pinned[-1].startswith("history ███████████████░")
        assert "4/8  50%" in pinned[-1]
        for market in second.markets.values():
            market.loaded |= {"1m", "1h"}
        await trio.sleep(2)
    assert pinned[-1] == ""
    assert [text for text in caplog if "history" in text] == [
        "first: history is complete, 4 series in 2.2 s",
        "second: history is complete, 4 series in 4.2 s",
    ]


@pytest.fixture
def caplog() -> Iterator[list[str]]:
    heard: list[str] = []
    sink = logger.add(lambda message: heard.append(message.record["message"]), level="INFO")
    yield heard
    logger.remove(sink)


async def test_without_a_terminal_only_the_log_tells(autojump_clock: trio.testing.MockClock, caplog: list[str]) -> None:
    state = venue("quiet", symbols=1)
    state.markets["S0"].loaded |= {"1m", "1h"}
    await follow_history(parts(state))
    assert caplog == ["quiet: history is complete, 2 series in 0.0 s"]
