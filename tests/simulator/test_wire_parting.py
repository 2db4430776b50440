"""A client that says goodbye while it has not read for long hurts nobody but itself."""

import trio

from engine.simulator.wire.binance_usdm import BinanceSettings
from tests.support.sim_binance import BinanceWire, StreamClient

STREAM = "btcusdt@depth"


async def test_a_client_that_leaves_without_having_read_is_left_and_the_others_are_served():
    ours, theirs = trio.socket.socketpair()
    async with trio.open_nursery() as nursery:
        wire = BinanceWire(BinanceSettings(), nursery)
        nursery.start_soon(wire.server.serve_stream, trio.SocketStream(ours))
        client = StreamClient(trio.SocketStream(theirs), "ws://sim/public/ws")
        await client.handshake()
        await client.subscribe(STREAM)
        for _ in range(40):
            wire.venue.say(STREAM, {"much": "x" * 100_000})  # more than the way between holds
        client.protocol.send_close(1000)
        await client.stream.send_all(b"".join(client.protocol.data_to_send()))
        with trio.fail_after(10):
            while wire.stats["connections"]:
                await trio.sleep(0.05)
        assert (await wire.get("/fapi/v1/time")).status_code == 200
        theirs.close()
        nursery.cancel_scope.cancel()
