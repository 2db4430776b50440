"""Every fault does what it says, where it says, as often as it says, and nothing once it is lifted."""

from collections.abc import Callable
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
import trio
from websockets.exceptions import InvalidHandshake, InvalidStatus, PayloadTooBig

from engine.kernel import Entropy, SystemClock
from engine.simulator import DeribitSettings, FaultPlan, faults, open_simulator
from engine.simulator.wire import FAULT_KINDS
from tests.support.sim_client import RpcFailed, SocketClosed, sim_client
from tests.support.sim_venue import EPOCH_MS, sim_in_memory

BOOK = "book.BTC-PERPETUAL.100ms"
TICKER = "ticker.BTC-PERPETUAL.100ms"
ORDERS = "user.orders.BTC-PERPETUAL.raw"
RESTING = {"instrument_name": "BTC-PERPETUAL", "amount": 10, "price": 82500}


@asynccontextmanager
async def venue_and_client():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.login(sim.deribit)
        yield sim, client


async def says_nothing(client, seconds):
    """Whether nothing at all comes for a while."""
    with trio.move_on_after(seconds) as wait:
        await client.receive()
    return wait.cancelled_caught


# -- sockets


async def test_drop_closes_all_sockets_without_a_word():
    async with venue_and_client() as (sim, one), sim_client(sim.deribit) as two:
        sim.faults.add(faults.Drop())
        assert (await one.closed(), await two.closed()) == (None, None)
        assert sim.faults.active() == []
        async with sim_client(sim.deribit) as three:
            assert await three.request("public/test")


async def test_drop_can_be_for_one_socket_and_for_a_number_of_them():
    async with sim_in_memory() as sim, sim_client(sim.deribit), sim_client(sim.deribit) as two, sim_client(sim.deribit):
        sim.faults.add(faults.Drop(connection=2))
        assert await two.closed() is None
        assert sim.stats()["deribit"]["sockets"] == 2
        sim.faults.add(faults.Drop(count=1))
        await trio.sleep(0.05)
        assert sim.stats()["deribit"]["sockets"] == 1


async def test_a_lasting_drop_refuses_new_connections(autojump_clock):
    async with sim_in_memory() as sim:
        sim.faults.add(faults.Drop(duration_s=5))
        with pytest.raises((SocketClosed, EOFError)):
            async with sim_client(sim.deribit):
                pass
        await trio.sleep(5.1)
        async with sim_client(sim.deribit) as client:
            assert await client.request("public/test")


async def test_a_reset_is_a_reset():
    async with open_simulator(SystemClock(), Entropy(1), control=None) as sim, sim_client(sim.deribit) as client:
        sim.faults.add(faults.Drop(reset=True))
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(5):
            await client.stream.receive_some()


async def test_drop_on_a_method_loses_that_request_and_its_socket():
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.Drop(method="private/buy"))
        assert await client.request("private/get_open_orders") == []
        await client.post("private/buy", **RESTING)
        assert await client.closed() is None
        assert sim.truth()["orders"] == {}


async def test_a_stalled_socket_reads_and_executes_but_says_nothing_until_it_is_lifted(autojump_clock):
    async with venue_and_client() as (sim, client):
        stall = sim.faults.add(faults.Stall())
        request = await client.post("private/buy", **RESTING)
        assert await says_nothing(client, 5)
        assert len(sim.truth()["orders"]) == 1
        sim.faults.lift(stall)
        assert (await client.reply(request))["result"]["order"]["order_state"] == "open"


async def test_a_stalled_socket_that_lost_messages_is_dropped_when_the_stall_ends(autojump_clock):
    settings = msgspec.structs.replace(DeribitSettings.plain(), max_outbound_bytes=50_000)
    async with sim_in_memory(settings) as sim, sim_client(sim.deribit) as client:
        stall = sim.faults.add(faults.Stall())
        for _ in range(60):
            await client.post("public/get_instruments", currency="any")
        assert await says_nothing(client, 5)
        assert sim.stats()["deribit"]["sockets"] == 1
        sim.faults.lift(stall)
        assert await client.closed() is None


async def test_a_half_open_socket_neither_reads_nor_sends_and_stays_open(autojump_clock):
    async with venue_and_client() as (sim, client):
        await client.request("public/subscribe", channels=[TICKER])
        await client.data(TICKER)
        half = sim.faults.add(faults.HalfOpen(connection=client_number(sim)))
        client.notices.clear()
        request = await client.post("private/buy", **RESTING)
        await trio.sleep(1)
        assert sim.truth()["orders"] == {}
        assert await says_nothing(client, 5)
        sim.faults.lift(half)
        assert "result" in await client.reply(request)


def client_number(sim) -> int:
    return next(iter(sim.deribit.server.sites())).connection


async def test_a_half_open_socket_fails_its_heartbeat_and_cancels_its_orders_without_a_sign(autojump_clock):
    async with venue_and_client() as (sim, client):
        await client.request("private/enable_cancel_on_disconnect")
        await client.request("private/buy", **RESTING)
        await client.request("public/set_heartbeat", interval=10)
        sim.faults.add(faults.HalfOpen(duration_s=60))
        assert await says_nothing(client, 55)
        assert [order["state"] for order in sim.truth()["orders"].values()] == ["cancelled"]
        assert await client.closed() == 1001


# -- messages


async def test_silence_acknowledges_and_sends_no_data(autojump_clock):
    async with venue_and_client() as (sim, client):
        silence = sim.faults.add(faults.Silence(channel="book."))
        assert await client.request("public/subscribe", channels=[BOOK, TICKER]) == [BOOK, TICKER]
        assert await client.request("public/test")
        channels = {(await client.notice())["params"]["channel"] for _ in range(20)}
        assert channels == {TICKER}
        sim.faults.lift(silence)
        assert (await client.data(BOOK))["type"] == "change"


@pytest.mark.parametrize("close", [False, True])
async def test_a_lost_reply_is_of_an_order_that_was_placed(close, autojump_clock):
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.LoseReply(method="private/buy", count=1, close=close))
        await client.post("private/buy", **RESTING, label="lost")
        if close:
            assert await client.closed() is None
        else:
            assert await says_nothing(client, 5)
            assert (await client.request("private/buy", **RESTING))["order"]["order_state"] == "open"
        assert "lost" in [order["label"] for order in sim.truth()["orders"].values()]


@pytest.mark.parametrize("close", [False, True])
async def test_a_lost_request_was_never_executed(close, autojump_clock):
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.LoseRequest(method="private/", count=1, close=close))
        await client.post("private/buy", **RESTING)
        assert (await client.closed() is None) if close else await says_nothing(client, 5)
        assert sim.truth()["orders"] == {}


async def test_the_venue_does_not_tell_two_orders_with_one_label_apart():
    async with venue_and_client() as (sim, client):
        for _ in range(2):
            await client.request("private/buy", **RESTING, label="same")
        assert [order["label"] for order in sim.truth()["orders"].values()] == ["same", "same"]


async def test_a_delay_is_overtaken_by_what_does_not_match(autojump_clock):
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.Delay(method="private/buy", delay_s=3))
        started = trio.current_time()
        slow, quick = await client.post("private/buy", **RESTING), await client.post("public/test")
        assert (await client.receive())["id"] == quick
        assert (await client.receive())["id"] == slow
        assert trio.current_time() - started == pytest.approx(3, abs=0.2)


async def test_a_duplicate_comes_twice():
    async with venue_and_client() as (sim, client):
        await client.request("private/subscribe", channels=[ORDERS])
        sim.faults.add(faults.Duplicate(channel="user.orders", count=1))
        await client.request("private/buy", **RESTING)
        first, second = [(await client.notice())["params"]["data"]["order_id"] for _ in range(2)]
        assert first == second


async def test_a_reordered_message_comes_after_the_next_one(autojump_clock):
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.Reorder(method="public/test", count=1))
        first, second = await client.post("public/test"), await client.post("public/get_time")
        assert [(await client.receive())["id"] for _ in range(2)] == [second, first]


async def test_a_reordered_message_with_nothing_behind_it_comes_late(autojump_clock):
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.Reorder(method="public/test", count=1, hold_s=2))
        started = trio.current_time()
        await client.request("public/test")
        assert trio.current_time() - started == pytest.approx(2, abs=0.2)


async def test_a_skipped_sequence_is_a_gap_in_that_book_alone(autojump_clock):
    other = "book.ETH-PERPETUAL.100ms"
    async with venue_and_client() as (sim, client):
        await client.request("public/subscribe", channels=[BOOK, other])
        last = {channel: (await client.data(channel))["change_id"] for channel in (BOOK, other)}
        gaps = {BOOK: 0, other: 0}
        for step in range(80):
            if step == 20:
                sim.faults.add(faults.SkipSequence(instrument="BTC-PERPETUAL"))
            params = (await client.notice())["params"]
            gaps[params["channel"]] += params["data"]["prev_change_id"] != last[params["channel"]]
            last[params["channel"]] = params["data"]["change_id"]
        assert gaps == {BOOK: 1, other: 0}


@pytest.mark.parametrize("variant", ["invalid_json", "truncated", "wrong_types", "binary"])
async def test_a_garbage_frame_comes_at_once_and_the_socket_goes_on(variant):
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.GarbageFrame(variant=variant))
        await client._next_frame()
        assert await client.request("public/test")


async def test_invalid_utf8_is_invalid_utf8():
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.GarbageFrame(variant="invalid_utf8"))
        frame = await client._next_frame()
        with pytest.raises(UnicodeDecodeError):
            bytes(frame.data).decode()


async def test_an_oversized_frame_is_more_than_a_client_takes():
    async with venue_and_client() as (sim, client):
        client.protocol.max_message_size = 2**20
        sim.faults.add(faults.GarbageFrame(variant="oversized"))
        await client.closed()
        assert isinstance(client.protocol.parser_exc, PayloadTooBig)


async def test_garbage_in_place_of_a_reply():
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.GarbageFrame(method="public/test", variant="invalid_json", count=1))
        await client.post("public/test")
        with pytest.raises(msgspec.DecodeError):
            await client.receive()
        assert await client.request("public/test")


# -- answers


async def test_an_rpc_error_is_instead_of_execution_or_after_it():
    async with venue_and_client() as (sim, client):
        for execute in (False, True):
            sim.faults.add(faults.RpcFault(method="private/buy", code=10040, execute=execute, count=1))
            with pytest.raises(RpcFailed) as failed:
                await client.request("private/buy", **RESTING)
            assert (failed.value.code, failed.value.message) == (10040, "retry")
            assert len(sim.truth()["orders"]) == int(execute)


async def test_an_injected_10028_ends_the_session_as_a_real_one():
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.RpcFault(code=10028, count=1))
        with pytest.raises(RpcFailed):
            await client.request("public/test")
        assert await client.closed() == 1008


async def test_maintenance_answers_11051_says_so_and_passes(autojump_clock):
    async with venue_and_client() as (sim, client):
        await client.request("public/subscribe", channels=["platform_state"])
        sim.faults.add(faults.Maintenance(duration_s=3))
        assert (await client.data("platform_state")).get("maintenance") is True
        for method in ("public/ticker", "private/get_open_orders", "public/auth"):
            with pytest.raises(RpcFailed) as failed:
                await client.request(method, instrument_name="BTC-PERPETUAL")
            assert failed.value.code == 11051
        await trio.sleep(3.1)
        assert await client.request("private/get_open_orders") == []


async def test_settlement_answers_10041_to_orders_only():
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.Settlement())
        with pytest.raises(RpcFailed) as failed:
            await client.request("private/buy", **RESTING)
        assert failed.value.code == 10041
        assert await client.request("private/get_open_orders") == []


@asynccontextmanager
async def over_http():
    async with (
        open_simulator(SystemClock(), Entropy(1), settings=DeribitSettings.plain()) as sim,
        httpx.AsyncClient(base_url=sim.deribit.http_url + "/", timeout=0.5) as http,
    ):
        yield sim, http


async def test_an_http_status_has_its_retry_after_and_no_rpc():
    async with over_http() as (sim, http):
        sim.faults.add(faults.HttpStatus(status=429, retry_after_s=7, method="public/test"))
        reply = await http.get("public/test")
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "7")
        assert "jsonrpc" not in reply.text
        assert (await http.get("public/get_time")).status_code == 200
        async with sim_client(sim.deribit) as client:
            assert await client.request("public/test")


async def test_an_http_status_without_a_method_refuses_handshakes_too():
    async with over_http() as (sim, _):
        sim.faults.add(faults.HttpStatus(status=503, count=1))
        with pytest.raises(InvalidStatus) as refused:
            async with sim_client(sim.deribit):
                pass
        assert refused.value.response.status_code == 503


async def test_maintenance_is_status_503_over_http():
    async with over_http() as (sim, http):
        sim.faults.add(faults.Maintenance())
        reply = await http.get("public/ticker?instrument_name=BTC-PERPETUAL")
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, 11051)


@pytest.mark.parametrize("close", [False, True])
async def test_a_reply_lost_over_http_is_of_an_order_that_was_placed(close):
    async with over_http() as (sim, http):
        sim.faults.add(faults.LoseReply(method="private/buy", close=close))
        auth = (sim.deribit.client_id, sim.deribit.client_secret)
        with pytest.raises(httpx.RemoteProtocolError if close else httpx.ReadTimeout):
            await http.get("private/buy", params=RESTING, auth=auth)
        assert len(sim.truth()["orders"]) == 1


async def test_http_can_be_delayed_and_answered_with_garbage():
    async with over_http() as (sim, http):
        sim.faults.add(faults.Delay(method="public/test", delay_s=0.2))
        sim.faults.add(faults.GarbageFrame(method="public/test"))
        started = trio.current_time()
        reply = await http.get("public/test")
        assert trio.current_time() - started >= 0.2
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(reply.content)


# -- the venue's knobs


async def test_a_clock_offset_moves_the_venue_and_then_it_slows_down_until_it_is_right(autojump_clock):
    async with venue_and_client() as (sim, client):
        offset = sim.faults.add(faults.ClockOffset(offset_ms=4_000))
        assert await client.request("public/get_time") >= EPOCH_MS + 4_000
        sim.faults.lift(offset)
        times = []
        for _ in range(10):
            times.append(await client.request("public/get_time"))
            await trio.sleep(1)
        assert times == sorted(times)
        assert times[-1] - EPOCH_MS == pytest.approx(9_000, abs=500)


async def test_late_fills_are_true_at_once_and_told_later(autojump_clock):
    async with venue_and_client() as (sim, client):
        await client.request("private/subscribe", channels=["user.trades.BTC-PERPETUAL.raw"])
        sim.faults.add(faults.LateFills(delay_ms=60_000))
        ticker = await client.request("public/ticker", instrument_name="BTC-PERPETUAL")
        order = {"instrument_name": "BTC-PERPETUAL", "amount": 10, "price": ticker["best_bid_price"], "post_only": True}
        await client.request("private/buy", **order)
        with trio.fail_after(120):
            while not sim.truth()["fills"]:
                await trio.sleep(0.5)
        seen = await client.request("private/get_user_trades_by_instrument", instrument_name="BTC-PERPETUAL")
        assert seen["trades"] == []
        assert not client.notices


async def test_a_hidden_order_is_denied_at_first(autojump_clock):
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.HideOrders(hide_ms=2_000))
        await client.request("private/buy", **RESTING, label="ghost")
        assert await client.request("private/get_open_orders_by_label", currency="BTC", label="ghost") == []
        await trio.sleep(2.1)
        assert len(await client.request("private/get_open_orders_by_label", currency="BTC", label="ghost")) == 1


async def test_history_forgets_when_told(autojump_clock):
    async with venue_and_client() as (sim, client):
        order = (await client.request("private/buy", **RESTING))["order"]
        await client.request("private/cancel", order_id=order["order_id"])
        history = {"instrument_name": "BTC-PERPETUAL", "include_unfilled": True}
        await trio.sleep(3)
        assert len(await client.request("private/get_order_history_by_instrument", **history)) == 1
        sim.faults.add(faults.ForgetHistory(after_ms=1_000))
        assert await client.request("private/get_order_history_by_instrument", **history) == []


async def test_a_held_command_is_answered_when_the_engine_has_done_it(autojump_clock):
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.EngineHold(hold_ms=3_000))
        started = trio.current_time()
        request = await client.post("private/buy", **RESTING)
        await client.request("public/test")
        assert sim.truth()["orders"] == {}
        assert "result" in await client.reply(request)
        assert trio.current_time() - started == pytest.approx(3, abs=0.2)


async def test_of_two_faults_of_a_kind_the_later_counts_until_it_goes():
    async with sim_in_memory() as sim:
        sim.faults.add(faults.HideOrders(hide_ms=1))
        second = sim.faults.add(faults.HideOrders(hide_ms=2))
        assert sim.deribit.venue.hide_orders_ms == 2
        sim.faults.lift(second)
        assert sim.deribit.venue.hide_orders_ms == 1
        assert sim.faults.lift_all() == 1
        assert sim.deribit.venue.hide_orders_ms == 0


# -- where, how often, how long


@pytest.mark.parametrize(
    ("match", "struck"),
    [
        ({}, 4),
        ({"method": "public/get"}, 4),
        ({"method": "private/"}, 0),
        ({"count": 3}, 3),
        ({"probability": 0}, 0),
        ({"connection": 99}, 0),
        ({"venue": "elsewhere"}, 0),
        ({"channel": "book."}, 0),
    ],
)
async def test_a_fault_strikes_where_it_matches(match, struck):
    async with venue_and_client() as (sim, client):
        sim.faults.add(faults.RpcFault(code=10040, **match))
        failures = 0
        for _ in range(4):
            try:
                await client.request("public/get_time")
            except RpcFailed:
                failures += 1
        assert failures == struck
        assert sim.faults.struck["rpc_error"] == struck


async def test_a_fault_ends_by_itself(autojump_clock):
    async with sim_in_memory() as sim:
        sim.faults.add(faults.Stall(duration_s=2))
        sim.faults.add(faults.Stall(duration_s=1))
        await trio.sleep(1.5)
        assert len(sim.faults.active()) == 1
        await trio.sleep(1)
        assert sim.faults.active() == []


def test_a_plan_is_the_same_for_the_same_seed_and_has_every_kind():
    plans = [FaultPlan.random(Entropy(seed), duration_s=400) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    kinds = {step.fault.__struct_config__.tag for step in plans[0].steps}
    assert kinds == set(FAULT_KINDS)
    assert all(0 <= step.at_s + (step.fault.duration_s or 0) <= 400 for step in plans[0].steps)


async def test_the_server_outlives_any_weather(autojump_clock):
    plan = FaultPlan.random(Entropy(11), duration_s=60, mean_gap_s=0.5)
    async with sim_in_memory(DeribitSettings()) as sim, trio.open_nursery() as nursery:
        for seed in range(3):
            nursery.start_soon(busy_client, sim, Entropy(seed).random)
        await plan.run(sim.faults)
        nursery.cancel_scope.cancel()
        sim.faults.lift_all()
        async with sim_client(sim.deribit) as client:
            assert await client.request("public/test")


async def busy_client(sim, roll: Callable[[], float]) -> None:
    """Trade and reconnect, whatever happens."""
    garbage = (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError)
    expected = (SocketClosed, RpcFailed, trio.TooSlowError, InvalidHandshake, EOFError, *garbage)
    while True:
        try:
            async with sim_client(sim.deribit) as client:
                await client.login(sim.deribit)
                await client.request("private/subscribe", channels=[BOOK, TICKER, ORDERS])
                while True:
                    await client.request("private/buy", **RESTING)
                    await trio.sleep(roll())
        except expected:
            await trio.sleep(roll())
