"""A WebSocket's life: subscriptions, heartbeats, cancel-on-disconnect, limits, and its end."""

import pytest
import trio
from websockets.exceptions import InvalidStatus

from engine.simulator import DeribitSettings
from engine.simulator.wire import CreditLimits, Pool, QuirkSettings
from tests.support.sim_client import RpcFailed, SocketClosed, sim_client
from tests.support.sim_venue import sim_in_memory

RESTING = {"instrument_name": "BTC-PERPETUAL", "amount": 10, "price": 82500}


async def eventually(condition):
    with trio.fail_after(5):
        while not condition():
            await trio.sleep(0.01)


def states(sim):
    return sorted(order["state"] for order in sim.truth()["orders"].values())


async def test_subscribe_lists_only_what_was_accepted():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.login(sim.deribit)
        wanted = ["ticker.BTC-PERPETUAL.raw", "ticker.NOPE-PERPETUAL.raw", "user.portfolio.any", "nonsense"]
        assert await client.request("private/subscribe", channels=wanted) == [wanted[0], wanted[2]]
        assert await client.request("public/subscribe", channels=["user.portfolio.BTC"]) == []


async def test_a_raw_channel_needs_a_login():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        with pytest.raises(RpcFailed) as refused:
            await client.request("public/subscribe", channels=["ticker.BTC-PERPETUAL.100ms", "book.BTC-PERPETUAL.raw"])
        assert refused.value.code == 13778
        assert sim.stats()["deribit"]["channels"] == 0


async def test_a_book_begins_with_a_snapshot_and_goes_on_without_a_gap(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.request("public/subscribe", channels=["book.BTC-PERPETUAL.100ms"])
        book = await client.data("book.BTC-PERPETUAL.100ms")
        assert book["type"] == "snapshot"
        assert "prev_change_id" not in book
        for _ in range(20):
            change = await client.data("book.BTC-PERPETUAL.100ms")
            assert (change["type"], change["prev_change_id"]) == ("change", book["change_id"])
            book = change


async def test_a_second_subscriber_gets_his_own_snapshot_and_the_first_none(autojump_clock):
    channel = "book.BTC-PERPETUAL.100ms"
    async with sim_in_memory() as sim, sim_client(sim.deribit) as one, sim_client(sim.deribit) as two:
        await one.request("public/subscribe", channels=[channel])
        assert (await one.data(channel))["type"] == "snapshot"
        await trio.sleep(0.35)
        await two.request("public/subscribe", channels=[channel])
        snapshot = await two.data(channel)
        assert snapshot["type"] == "snapshot"
        assert (await two.data(channel))["prev_change_id"] == snapshot["change_id"]
        assert [(await one.data(channel))["type"] for _ in range(10)] == ["change"] * 10


async def test_subscribing_again_brings_no_second_snapshot_but_leaving_first_does(autojump_clock):
    channel = "book.BTC-PERPETUAL.100ms"
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        for _ in range(2):
            assert await client.request("public/subscribe", channels=[channel, channel]) == [channel]
        assert [(await client.data(channel))["type"] for _ in range(3)] == ["snapshot", "change", "change"]
        assert await client.request("public/unsubscribe", channels=[channel, "other"]) == [channel]
        client.notices.clear()
        await client.request("public/subscribe", channels=[channel])
        assert (await client.data(channel))["type"] == "snapshot"


async def test_after_unsubscribe_all_nothing_comes_and_nothing_is_built(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.request("public/subscribe", channels=["ticker.BTC-PERPETUAL.100ms", "trades.future.any.100ms"])
        assert await client.request("public/unsubscribe_all") == "ok"
        client.notices.clear()
        assert sim.stats()["deribit"]["channels"] == 0
        with trio.move_on_after(2) as wait:
            await client.receive()
        assert wait.cancelled_caught


async def test_a_label_comes_with_the_notifications_of_its_subscriber_only():
    channel = "user.orders.BTC-PERPETUAL.raw"
    async with sim_in_memory() as sim, sim_client(sim.deribit) as one, sim_client(sim.deribit) as two:
        for client, label in ((one, {"label": "mine"}), (two, {})):
            await client.login(sim.deribit)
            await client.request("private/subscribe", channels=[channel], **label)
        await one.request("private/buy", **RESTING)
        assert (await one.notice())["params"]["label"] == "mine"
        assert "label" not in (await two.notice())["params"]


async def test_more_than_500_channels_a_request_are_refused():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        with pytest.raises(RpcFailed) as refused:
            await client.request("public/subscribe", channels=["ticker.BTC-PERPETUAL.100ms"] * 501)
        assert refused.value.data["param"] == "channels"


async def test_a_heartbeat_below_ten_seconds_is_refused():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        with pytest.raises(RpcFailed) as refused:
            await client.request("public/set_heartbeat", interval=5)
        assert refused.value.code == -32602
        assert refused.value.data == {"reason": "value must be >= 10", "param": "interval"}


async def beat(client):
    return (await client.notice(lambda m: m["method"] == "heartbeat"))["params"]["type"]


async def test_an_answered_test_request_keeps_the_socket(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        assert await client.request("public/set_heartbeat", interval=10) == "ok"
        started = trio.current_time()
        for _ in range(3):
            with trio.fail_after(60):
                while "test_request" not in (await client.receive()).get("params", {}).values():
                    pass
            await client.request("public/test")
        assert trio.current_time() - started >= 30
        assert await client.request("public/disable_heartbeat") == "ok"
        client.notices.clear()
        with trio.move_on_after(40) as wait:
            await client.receive()
        assert wait.cancelled_caught


async def test_an_unanswered_test_request_closes_the_socket(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.request("public/set_heartbeat", interval=10)
        await trio.sleep(25)
        await client.request("public/get_time")  # no answer to a test_request
        await trio.sleep(10)
        assert await client.closed() == 1001
        assert sim.stats()["deribit"]["socket_ends"] == {"unanswered": 1}


async def test_a_socket_without_heartbeat_and_without_requests_ends(autojump_clock):
    async with sim_in_memory(DeribitSettings(inactivity_s=12)) as sim, sim_client(sim.deribit) as client:
        for _ in range(3):
            await trio.sleep(9)
            await client.request("public/test")
        await trio.sleep(13)
        assert await client.closed() == 1001


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_cancel_on_disconnect_cancels_what_this_socket_created(end):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as watcher:
        await watcher.login(sim.deribit)
        await watcher.request("private/buy", **RESTING)
        async with sim_client(sim.deribit) as client:
            await client.login(sim.deribit)
            assert await client.request("private/get_cancel_on_disconnect") == {"scope": "connection", "enabled": False}
            assert await client.request("private/enable_cancel_on_disconnect") == "ok"
            assert await client.request("private/get_cancel_on_disconnect") == {"scope": "connection", "enabled": True}
            await client.request("private/buy", **RESTING)
            if end == "close":
                await client.aclose()
        await eventually(lambda: states(sim) == ["cancelled", "open"])
        assert "cancel_on_disconnect" in [order["cancel_reason"] for order in sim.truth()["orders"].values()]


async def test_without_asking_nothing_is_cancelled_on_disconnect():
    async with sim_in_memory() as sim:
        async with sim_client(sim.deribit) as client:
            await client.login(sim.deribit)
            await client.request("private/buy", **RESTING)
        await eventually(lambda: sim.stats()["deribit"]["sockets"] == 0)
        assert states(sim) == ["open"]


async def test_account_wide_cancel_on_disconnect_is_for_sockets_that_come_later():
    async with sim_in_memory() as sim:
        async with sim_client(sim.deribit) as first:
            await first.login(sim.deribit)
            await first.request("private/enable_cancel_on_disconnect", scope="account")
            await first.request("private/buy", **RESTING)
        await eventually(lambda: sim.stats()["deribit"]["sockets"] == 0)
        async with sim_client(sim.deribit) as second:
            await second.login(sim.deribit)
            assert (await second.request("private/get_cancel_on_disconnect"))["enabled"] is True
            await second.request("private/buy", **RESTING)
        await eventually(lambda: states(sim) == ["cancelled", "open"])


async def test_logout_closes_without_a_reply_and_cancels_nothing():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        token = (await client.login(sim.deribit, scope="session:s"))["access_token"]
        await client.request("private/enable_cancel_on_disconnect")
        await client.request("private/buy", **RESTING)
        await client.post("private/logout")
        with pytest.raises(SocketClosed) as closed:
            await client.receive()
        assert closed.value.code == 1000
        await eventually(lambda: sim.stats()["deribit"]["sockets"] == 0)
        assert states(sim) == ["open"]
        async with sim_client(sim.deribit) as other:
            with pytest.raises(RpcFailed):
                await other.request("private/get_open_orders", access_token=token)


async def test_too_many_requests_end_the_session(autojump_clock):
    settings = DeribitSettings(credits=CreditLimits(trading=Pool(1, 3, 1)), quirks=QuirkSettings.none())
    async with sim_in_memory(settings) as sim, sim_client(sim.deribit) as client:
        await client.login(sim.deribit)
        await client.request("private/enable_cancel_on_disconnect")
        for _ in range(3):
            await client.request("private/buy", **RESTING)
        with pytest.raises(RpcFailed) as refused:
            await client.request("private/buy", **RESTING)
        assert refused.value.code == 10028
        assert await client.closed() == 1008
        await eventually(lambda: states(sim) == ["cancelled"] * 3)


async def test_the_account_is_told_the_limits_it_is_held_to():
    limits = CreditLimits()
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.login(sim.deribit)
        told = (await client.request("private/get_account_summary", currency="BTC"))["limits"]
    for pool, said in (
        (limits.default, told["non_matching_engine"]),
        (limits.trading, told["matching_engine"]["trading"]["total"]),
        (limits.cancel_all, told["matching_engine"]["cancel_all"]),
    ):
        assert (pool.size / pool.cost, pool.refill / pool.cost) == (said["burst"], said["rate"])


async def test_credits_refill_and_belong_to_the_account_not_the_socket(autojump_clock):
    settings = DeribitSettings(credits=CreditLimits(trading=Pool(1, 2, 1)), quirks=QuirkSettings.none())
    async with sim_in_memory(settings) as sim, sim_client(sim.deribit) as one, sim_client(sim.deribit) as two:
        for client in (one, two):
            await client.login(sim.deribit)
            await client.request("private/buy", **RESTING)
        await trio.sleep(1.1)
        await one.request("private/buy", **RESTING)
        with pytest.raises(RpcFailed):
            await two.request("private/buy", **RESTING)


async def test_a_client_that_does_not_read_is_dropped_and_delays_nobody():
    settings = DeribitSettings(credits=CreditLimits.generous(), quirks=QuirkSettings.none(), max_outbound_bytes=100_000)
    async with sim_in_memory(settings) as sim, sim_client(sim.deribit) as good:
        slow_end, fast_end = trio.testing.lockstep_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sim.deribit.server.serve_stream, fast_end)
            slow = type(good)(slow_end)
            await slow.handshake()
            for _ in range(200):
                await slow.post("public/get_instruments", currency="any")
            await eventually(lambda: sim.stats()["deribit"]["socket_ends"] == {"too slow": 1})
            assert await good.request("public/test")
            await eventually(lambda: sim.stats()["deribit"]["sockets"] == 1)


async def test_pings_are_answered_and_fragments_are_put_together():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        client.protocol.send_ping(b"hi")
        await client._flush()
        text = b'{"jsonrpc":"2.0","id":"f","method":"public/test"}'
        client.protocol.send_text(text[:10], fin=False)
        client.protocol.send_continuation(text[10:], fin=True)
        await client._flush()
        assert (await client.receive())["id"] == "f"


async def test_a_frame_with_invalid_utf8_ends_its_socket_only():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as bad, sim_client(sim.deribit) as good:
        await bad.send(b'{"id":"\xff"}')
        assert await bad.closed() == 1007
        assert await good.request("public/test")


async def test_the_33rd_socket_is_refused():
    async with sim_in_memory(DeribitSettings(max_connections=2)) as sim:
        async with sim_client(sim.deribit), sim_client(sim.deribit):
            with pytest.raises(InvalidStatus) as refused:
                async with sim_client(sim.deribit):
                    pass
        assert refused.value.response.status_code == 429
        await eventually(lambda: sim.stats()["deribit"]["sockets"] == 0)
        async with sim_client(sim.deribit) as client:
            assert await client.request("public/test")
