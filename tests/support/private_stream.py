"""A private stream that a test plays: each connection is a script of events, waits and breakages."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from itertools import chain, repeat
from typing import Any

import trio

from engine.net import Disconnected
from engine.venues.base import Connected, PrivateEvent

Step = PrivateEvent | float | Exception | Callable[[], Awaitable[None]]
Script = tuple[Step, ...]
FOR_EVER = 1e9
HEALTHY: Script = (Connected(), FOR_EVER)


class Stage:
    """Hands out one script after the other, the last one for ever; counts connections."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts: Iterator[Script] = chain(scripts, repeat(scripts[-1]))
        self.opened_s: list[float] = []

    @asynccontextmanager
    async def connect(self, _url: str, **_options: Any) -> AsyncIterator["Played"]:
        """In the place of `engine.net.connect`."""
        await trio.sleep(0.01)
        self.opened_s.append(trio.current_time())
        yield Played(next(self._scripts))


class Played:
    """One connection: a number waits, an exception breaks it, an event arrives."""

    def __init__(self, script: Script) -> None:
        self._steps = iter(script)

    async def send(self, _frame: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self) -> PrivateEvent:
        for step in self._steps:
            if isinstance(step, int | float):
                await trio.sleep(step)
            elif isinstance(step, Exception):
                raise step
            elif callable(step):
                await step()
            else:
                return step
        raise Disconnected(1006, "the script is over")


class Reader:
    """The adapter to it: a frame is an event already."""

    url = "played"
    life_s: float | None = None
    renew_every_s: float | None = None
    guard_every_s: float | None = None
    quiet = False

    async def renew(self, rest: Any) -> None:
        """Nothing to ask for."""

    async def guard(self, rest: Any, symbols: Collection[str]) -> None:
        """Nothing to put off."""

    def greet(self) -> tuple[bytes, ...]:
        return (b"login",)

    def receive(self, frame: PrivateEvent) -> tuple[tuple[PrivateEvent, ...], tuple[bytes, ...]]:
        return (frame,), ()
