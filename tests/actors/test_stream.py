"""One socket, many feeds: each gets its own raw frames, and losing the socket is a state."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from actors.stream import (
    ChannelRefused,
    Frames,
    FramesLost,
    Resnapshot,
    Resubscribe,
    Stream,
    StreamChanged,
    StreamPlan,
    StreamSettings,
)
from engine.kernel import ChildSpec, Message, System, on
from engine.model import VenueState
from tests.support.markets import Ear, ear, eventually, restarts, tree
from tests.support.toy_stream import ToyServer, ToyStream, toy_server

SETTINGS = StreamSettings(acknowledged_within_s=2, silent_after_s=4, retry_min_s=0.1, retry_max_s=1)


@pytest.fixture
def impatient_clock() -> trio.testing.MockClock:
    """Jumps over waits once loopback has been quiet for 20 ms."""
    return trio.testing.MockClock(autojump_threshold=0.02)


soon = partial(eventually, every_s=0.1)


class Bench:
    def __init__(self, server: ToyServer, system: System, heard: dict[str, list[Message]]) -> None:
        self.server = server
        self.system = system
        self.heard = heard

    def states(self, name: str = "A") -> list[bool]:
        return [message.up for message in self.heard[name] if isinstance(message, StreamChanged)]

    def frames(self, name: str = "A") -> list[bytes]:
        return [frame for message in self.heard[name] if isinstance(message, Frames) for frame in message.frames]

    def tell(self, message: Message) -> None:
        self.system.address("root/stream:0").tell(message)


@asynccontextmanager
async def bench(settings: StreamSettings = SETTINGS, url: str = "") -> AsyncIterator[Bench]:
    heard: dict[str, list[Message]] = {"A": [], "B": []}
    async with toy_server() as server:

        def children(system: System) -> list[Any]:
            feeds = {name: system.address(f"root/{name}") for name in heard}
            plan = StreamPlan(lambda: ToyStream(url or server.url), feeds, ("1m",), VenueState("sim"))
            return [*(ear(name, heard[name]) for name in heard), ChildSpec("stream:0", lambda: Stream(plan, settings))]

        async with tree(children) as system:
            yield Bench(server, system, heard)


async def test_each_feed_gets_its_own_frames_raw_and_in_order(impatient_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        await soon(lambda: b.server.heard[:2] == ["HELLO", "SUB A,B"])
        sent = [f"@{'AB'[n % 2]} T {n}" for n in range(100)]
        await b.server.send(*sent, "@UNKNOWN T 1")
        await soon(lambda: len(b.frames("A")) + len(b.frames("B")) == 100)
        assert b.frames("A") == [frame.encode() for frame in sent[::2]]
        assert b.frames("B") == [frame.encode() for frame in sent[1::2]]
        assert b.states() == [False, True]


async def test_control_frames_are_answered_and_garbage_is_passed_over(impatient_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        await soon(lambda: b.server.clients)
        await b.server.send("PING", "\x00 not a frame", "@A T 1")
        await soon(lambda: "PONG" in b.server.heard and b.frames())
        assert b.server.connections == 1


async def test_a_flood_of_garbage_ends_the_connection(impatient_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        await soon(lambda: b.server.clients)
        await b.server.send(*["what"] * 101)
        await soon(lambda: b.server.connections == 2)


async def test_a_lost_connection_is_told_and_opened_again_without_a_restart(
    impatient_clock: trio.testing.MockClock,
) -> None:
    async with bench() as b:
        for n in range(1, 8):
            await soon(lambda n=n: b.states().count(True) == n, within_s=10)
            await b.server.send("@A T 1")
            await b.server.drop()
        await soon(lambda: b.states() == [False, True] * 8, within_s=10)
        assert restarts(b.system) == 0
        stamps = [message.at_s for message in b.heard["A"] if isinstance(message, StreamChanged)]
        assert stamps == sorted(stamps)
        made = {message.since_s for message in b.heard["A"] if isinstance(message, Frames)}
        assert made <= set(stamps[1::2])


async def test_a_venue_that_is_not_there_is_tried_for_ever_at_a_bounded_pace(
    impatient_clock: trio.testing.MockClock,
) -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with bench(url=f"ws://127.0.0.1:{port}") as b:
        await trio.sleep(60)
        attempts = b.states().count(False)
        assert 60 / 1.5 <= attempts <= 60 / 1.0 + 6
        assert restarts(b.system) == 0


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_acknowledged_or_not_a_connection_without_data_is_replaced(
    impatient_clock: trio.testing.MockClock, acknowledges: bool
) -> None:
    async with bench() as b:
        b.server.acknowledges = acknowledges
        await soon(lambda: b.server.clients)
        began_s = trio.current_time()
        await soon(lambda: b.server.connections == 2, within_s=10)
        assert trio.current_time() - began_s < (SETTINGS.silent_after_s if acknowledges else 3.0) + 2.0


async def test_a_connection_with_data_is_kept(impatient_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        await soon(lambda: b.server.clients)
        for n in range(10):
            await trio.sleep(2)
            await b.server.send(f"@B T {n}")
        assert b.server.connections == 1


async def test_what_the_venue_says_ends_the_connection_does(impatient_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        await soon(lambda: b.server.clients)
        await b.server.send("BYE too slow")
        await soon(lambda: b.server.connections == 2)
        assert [m.reason for m in b.heard["A"] if isinstance(m, StreamChanged)][2] == "too slow"


async def test_a_refused_channel_is_told_to_its_feed_alone(impatient_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        b.server.refused = ("book.B.100ms",)
        await b.server.drop()
        await soon(lambda: ChannelRefused("book.B.100ms") in b.heard["B"])
        assert not any(isinstance(message, ChannelRefused) for message in b.heard["A"])


async def test_a_feed_may_have_its_symbol_sent_again(impatient_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        b.tell(Resnapshot("A"))  # before there is a connection: everything is about to be asked for anyway
        await soon(lambda: b.server.clients)
        b.tell(Resnapshot("B"))
        b.tell(Resubscribe("A"))
        await soon(lambda: "UNSUB A" in b.server.heard)
        assert "SUB A" not in b.server.heard
        await soon(lambda: "SUB A" in b.server.heard)
        assert b.server.heard == ["HELLO", "SUB A,B", "AGAIN B", "UNSUB A", "SUB A"]


async def test_a_feed_that_cannot_keep_up_loses_its_own_frames_only(impatient_clock: trio.testing.MockClock) -> None:
    heard: dict[str, list[Message]] = {"A": [], "B": []}

    class Slow(Ear):
        mailbox_capacity = 2

        @on(Frames)
        async def work(self, message: Frames) -> None:
            self.heard.append(message)
            await trio.sleep(1.0)

    async with toy_server() as server:

        def children(system: System) -> list[Any]:
            plan = StreamPlan(
                lambda: ToyStream(server.url),
                {name: system.address(f"root/{name}") for name in heard},
                (),
                VenueState("sim"),
            )
            slow = ChildSpec("A", lambda: Slow(heard["A"]))
            return [slow, ear("B", heard["B"]), ChildSpec("stream:0", lambda: Stream(plan, SETTINGS))]

        async with tree(children):
            await soon(lambda: server.clients)
            for n in range(6):
                await server.send(f"@A T {n}", f"@B T {n}")
                await trio.sleep(0.1)
            await soon(lambda: FramesLost() in heard["A"])
            got = {name: [m.frames[0] for m in told if isinstance(m, Frames)] for name, told in heard.items()}
            assert got["B"] == [f"@B T {n}".encode() for n in range(6)]
            await soon(lambda: sum(isinstance(m, Frames) for m in heard["A"]) == 3)
            assert FramesLost() not in heard["B"]
            assert server.connections == 1
