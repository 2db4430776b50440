"""Client and venue in one process under one mock clock, without a socket: WebSocket and HTTP over memory."""

import pytest
import trio

from engine.kernel import Entropy, TrioClock
from engine.net import Endpoint, HttpClient, Library, ReplyLost, RequestNotSent, connect, dialing
from engine.simulator import DeribitSettings as Simulated
from engine.simulator import faults, open_simulator
from engine.venues.base import Connected, OutcomeUnknown
from engine.venues.deribit import DeribitSettings, DeribitVenue
from tests.support.deribit import Desk, Keys

EPOCH_MS = 1_790_000_000_000


@pytest.mark.parametrize("library", list(Library))
async def test_a_venue_in_memory_is_the_venue(library: Library, autojump_clock: trio.testing.MockClock) -> None:
    clock = TrioClock(EPOCH_MS)
    async with open_simulator(clock, Entropy(1), deribit=None, control=None, settings=Simulated.plain()) as sim:

        async def dial(_endpoint: Endpoint) -> trio.abc.Stream:
            return sim.deribit.connect()

        with dialing(dial):
            venue = DeribitVenue(
                "deribit",
                DeribitSettings(http_url="http://sim/api/v2", ws_url="ws://sim/ws/api/v2"),
                clock=clock,
                entropy=Entropy(2),
                credentials={"main": Keys(sim.deribit.client_id, sim.deribit.client_secret)},
            )
            desk = Desk(sim, venue)
            await desk.load()
            order = await desk.order()
            sim.faults.add(faults.LoseReply(method="private/buy", count=1))
            began_s = trio.current_time()
            with pytest.raises(OutcomeUnknown):
                await desk.rest.submit(order, desk.perpetual)
            assert trio.current_time() - began_s == pytest.approx(10.0, abs=0.01)
            assert (await desk.rest.find_order(order, desk.perpetual)).report is not None
            await _connects(venue, library)
            await desk.rest.close()


async def _connects(venue: DeribitVenue, library: Library) -> None:
    adapter = venue.private("main")
    with trio.fail_after(5):
        async with connect(adapter.url, library=library) as connection:
            for frame in adapter.greet():
                await connection.send(frame)
            connected = False
            while not connected:
                events, replies = adapter.receive(await connection.receive())
                connected = Connected() in events
                for reply in replies:
                    await connection.send(reply)


async def test_an_error_in_memory_says_what_it_says_over_tcp() -> None:
    async def nowhere(_endpoint: Endpoint) -> trio.abc.Stream:
        raise ConnectionRefusedError("nobody")

    async def hangs_up(_endpoint: Endpoint) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.aclose()
        return ours

    for dial, kind in ((nowhere, RequestNotSent), (hangs_up, ReplyLost)):
        with dialing(dial):
            client = HttpClient("http://venue")
        with pytest.raises(kind):
            await client.request("GET", "/", timeout_s=1)
        await client.close()
