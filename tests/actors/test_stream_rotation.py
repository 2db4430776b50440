"""A connection is replaced before it breaks: nothing is lost, nobody is told, and whatever goes wrong with the new one is its own affair."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from actors.stream import Frames, Stream, StreamChanged, StreamPlan, StreamSettings
from engine.kernel import ChildSpec, Entropy, Message, System
from engine.model import VenueState
from tests.support.markets import ear, eventually, tree
from tests.support.toy_stream import ToyServer, ToyStream, toy_server_in_memory

LIFE_S = 20.0
SETTINGS = StreamSettings(acknowledged_within_s=2, silent_after_s=4, settled_within_s=2, retry_min_s=0.1, retry_max_s=1)
soon = partial(eventually, every_s=0.1)


class Bench:
    def __init__(self, server: ToyServer, heard: list[Message], state: VenueState) -> None:
        self.server = server
        self.heard = heard
        self.state = state
        self.sent = 0

    @property
    def ups(self) -> list[bool]:
        return [message.up for message in self.heard if isinstance(message, StreamChanged)]

    @property
    def numbers(self) -> list[int]:
        frames = [frame for message in self.heard if isinstance(message, Frames) for frame in message.frames]
        return [int(frame.split(b" ")[2]) for frame in frames]

    async def talk(self, seconds: float, *, every_s: float = 0.25) -> None:
        """One more trade of A now and then."""
        for _ in range(int(seconds / every_s)):
            self.sent += 1
            await self.server.send(f"@A X {self.sent}")
            await trio.sleep(every_s)


@asynccontextmanager
async def bench(settings: StreamSettings = SETTINGS) -> AsyncIterator[Bench]:
    heard: list[Message] = []
    state = VenueState("sim")
    async with toy_server_in_memory() as server:

        def children(system: System) -> list[Any]:
            make = partial(ToyStream, server.url, life_s=LIFE_S)
            plan = StreamPlan(make, {"A": system.address("root/A")}, (), state)
            return [ear("A", heard), ChildSpec("stream:0", lambda: Stream(plan, settings))]

        async with tree(children):
            b = Bench(server, heard, state)
            await soon(lambda: b.ups == [False, True])
            yield b


async def test_a_connection_is_replaced_before_its_life_is_over_and_nobody_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as b:
        await b.talk(6 * LIFE_S)
        assert b.ups == [False, True]
        assert 6 <= b.server.connections <= 9
        assert (b.server.clients, b.server.most, b.state.reconnects) == (1, 2, 0)
        assert set(b.numbers) == set(range(1, b.sent + 1))


@pytest.mark.parametrize("trouble", ["greets", "tells", "acknowledges"])
async def test_a_replacement_that_fails_leaves_the_old_connection_alone_and_is_tried_again(
    autojump_clock: trio.testing.MockClock, trouble: str
) -> None:
    async with bench() as b:
        setattr(b.server, trouble, False)
        await b.talk(LIFE_S + 10)
        assert b.ups == [False, True]
        assert b.server.connections > 2
        assert b.server.most <= 2  # never two replacements at once
        setattr(b.server, trouble, True)
        before = b.server.connections
        await b.talk(8)
        assert b.server.connections > before
        assert (b.ups, b.server.clients) == ([False, True], 1)
        assert set(b.numbers) == set(range(1, b.sent + 1))


async def test_a_connection_that_breaks_while_it_is_replaced_is_followed_in_the_ordinary_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as b:
        b.server.acknowledges = False
        with trio.move_on_after(LIFE_S):
            while b.server.clients < 2:
                await b.talk(0.25)
        await b.server.drop_oldest()
        b.server.acknowledges = True
        await soon(lambda: b.ups == [False, True, False, True])
        await b.talk(5)
        assert (b.server.clients, b.state.reconnects) == (1, 1)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_to_connections_nothing_is_lost_while_the_stream_says_it_is_up(
    autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    entropy = Entropy(seed)
    async with bench() as b:
        for _ in range(12):
            what = entropy.choice(["greets", "tells", "acknowledges", "oldest", "nothing"])
            if what == "oldest":
                before = len(b.ups)
                await b.server.drop_oldest()
                await trio.sleep(0.5)
                if len(b.ups) > before:  # it was the present one
                    await soon(lambda: b.ups[-1])
                    b.heard.clear()
                    b.sent = 0
                    continue
            elif what != "nothing":
                setattr(b.server, what, False)
            await b.talk(entropy.uniform(2, 12))
            for knob in ("greets", "tells", "acknowledges"):
                setattr(b.server, knob, True)
            lost = set(range(1, b.sent + 1)) - set(b.numbers)
            assert not lost or False in b.ups
            if False in b.ups:
                await soon(lambda: b.ups[-1])
                b.heard.clear()
                b.sent = 0
            assert b.server.most <= 2
