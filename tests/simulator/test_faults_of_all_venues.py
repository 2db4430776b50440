"""Faults that are the same at every venue: for sockets alone, where HTTP is answered as ever, and for messages on their way."""

import pytest
import trio

from engine.simulator.wire import faults
from tests.support.sim_binance import Requests
from tests.support.sim_client import SocketClosed, sim_client
from tests.support.sim_venue import sim_in_memory

TICKER = "ticker.BTC-PERPETUAL.100ms"
TEST = "/api/v2/public/test"


async def test_a_drop_of_sockets_spares_requests():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        http = Requests(sim.deribit.connect())
        assert (await http.get(TEST)).status_code == 200
        sim.faults.add(faults.Drop(sockets_only=True))
        assert await client.closed() is None
        assert (await http.get(TEST)).status_code == 200
        assert sim.faults.struck["drop"] == 1


async def test_a_lasting_drop_of_sockets_strikes_once_a_handshake(autojump_clock):
    async with sim_in_memory() as sim:
        sim.faults.add(faults.Drop(sockets_only=True, duration_s=5))
        with pytest.raises((SocketClosed, EOFError)):
            async with sim_client(sim.deribit):
                pass
        assert sim.faults.struck["drop"] == 1
        assert (await Requests(sim.deribit.connect()).get(TEST)).status_code == 200


@pytest.mark.parametrize("kind", [faults.Stall, faults.HalfOpen, faults.HttpStatus])
async def test_what_holds_sockets_does_not_hold_requests(autojump_clock, kind):
    async with sim_in_memory() as sim:
        sim.faults.add(kind(sockets_only=True, duration_s=60))
        start_s = trio.current_time()
        assert (await Requests(sim.deribit.connect()).get(TEST)).status_code == 200
        assert trio.current_time() - start_s < 1


async def test_messages_are_lost_at_deribit_too(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        sim.faults.add(faults.LoseFrames(channel="ticker.", count=3))
        await client.request("public/subscribe", channels=[TICKER])
        await client.data(TICKER)
        assert (sim.faults.struck["lose_frames"], sim.faults.active()) == (3, [])
