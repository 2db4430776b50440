"""What the simulated Binance allows: weights and bans over HTTP, messages, pings and the life of a socket."""

import pytest
import trio
from websockets.exceptions import InvalidStatus

from engine.simulator.wire.binance_usdm import BinanceSettings
from tests.support.sim_binance import MINUTE_MS, binance_wire
from tests.support.sim_client import SocketClosed

PRICE = "/fapi/v1/ticker/price"
FUNDING = "/fapi/v1/fundingRate?symbol=BTCUSDT"
INTEREST = "/futures/data/openInterestHist"
SPOT = "/api/v3/ticker/price"
TIGHT = BinanceSettings(
    weight_per_minute=100,
    funding_per_5_minutes=2,
    data_per_5_minutes=2,
    spot_weight_per_minute=20,
    ban_after_refusals=2,
)
HEADER = "x-mbx-used-weight-1m"


def said(reply):
    return reply.status_code, reply.json().get("code"), reply.headers.get("retry-after")


async def test_every_reply_says_what_is_used_and_a_minute_begins_anew(autojump_clock):
    async with binance_wire() as wire, wire.keep_alive() as http:
        wire.venue.weight = 5
        assert [(await http.get(PRICE)).headers[HEADER] for _ in range(3)] == ["5", "10", "15"]
        assert (await http.get("/fapi/v1/allForceOrders")).headers[HEADER] == "15"
        assert (await http.get(SPOT)).headers[HEADER] == "5"
        assert (await http.get(FUNDING)).headers[HEADER] == "15"
        await trio.sleep(60)
        assert (await http.get(PRICE)).headers[HEADER] == "5"
        assert wire.stats["used_in_all"] == {"weight": 20, "spot": 5, "funding": 5, "data": 0}
        assert wire.stats["calls"] == {PRICE: 4, "/fapi/v1/allForceOrders": 1, SPOT: 1, "/fapi/v1/fundingRate": 1}


async def test_above_the_limit_is_429_until_the_minute_is_over(autojump_clock):
    async with binance_wire(TIGHT) as wire, wire.keep_alive() as http:
        wire.venue.weight = 100
        assert said(await http.get(PRICE)) == (200, None, None)
        await trio.sleep(17.5)
        assert said(await http.get(PRICE)) == (429, -1003, "43")
        assert (await http.get(SPOT)).status_code == 429  # 100 above 20
        await trio.sleep(43)
        assert said(await http.get(PRICE)) == (200, None, None)
        assert (wire.stats["refused"], wire.stats["bans"]) == (2, 0)


@pytest.mark.parametrize("target", [FUNDING, INTEREST])
async def test_funding_and_data_have_limits_of_five_minutes_of_their_own(autojump_clock, target):
    async with binance_wire(TIGHT) as wire, wire.keep_alive() as http:
        await trio.sleep(120)
        assert [(await http.get(target)).status_code for _ in range(3)] == [200, 200, 429]
        assert said(await http.get(target))[2] == "180"
        assert said(await http.get(PRICE)) == (200, None, None)
        await trio.sleep(179)
        assert said(await http.get(target)) == (418, -1003, "120")
        await trio.sleep(120)
        assert (await http.get(target)).status_code == 200


async def test_going_on_after_429_is_a_ban_of_everything_and_each_ban_is_longer(autojump_clock):
    async with binance_wire(TIGHT) as wire, wire.keep_alive() as http:
        for length_s in (120, 240, 480):
            wire.venue.weight = 101
            assert [(await http.get(PRICE)).status_code for _ in range(3)] == [429, 429, 418]
            assert said(await http.get("/fapi/v1/time")) == (418, -1003, str(length_s))
            assert (await http.get(SPOT)).status_code == 418
            with pytest.raises(InvalidStatus) as refused:
                async with wire.socket():
                    pass
            assert refused.value.response.status_code == 418
            await trio.sleep(length_s - 1)
            assert said(await http.get(PRICE)) == (418, -1003, "1")
            await trio.sleep(1)
            wire.venue.weight = 1
            assert (await http.get(PRICE)).status_code == 200
            await trio.sleep(60)


async def test_a_socket_lives_on_while_its_address_is_banned(autojump_clock):
    async with binance_wire(TIGHT) as wire, wire.keep_alive() as http, wire.socket("/market/ws") as client:
        wire.venue.weight = 101
        assert [(await http.get(PRICE)).status_code for _ in range(3)][-1] == 418
        await client.subscribe("btcusdt@aggTrade")
        wire.venue.say("btcusdt@aggTrade")
        assert await client.heard() == [{"s": "btcusdt@aggTrade"}]


async def test_an_answer_is_that_of_the_venue_rendered_or_not():
    async with binance_wire() as wire, wire.keep_alive() as http:
        assert (await http.get("/fapi/v1/klines?symbol=BTCUSDT")).content == b"[[1,2,3]]"
        assert (await http.get("/fapi/v1/depth?limit=5&symbol=BTCUSDT&limit=10")).json() == {
            "path": "/fapi/v1/depth",
            "limit": "10",
            "symbol": "BTCUSDT",
        }
        assert abs((await http.get("/fapi/v1/time")).json()["serverTime"] - MINUTE_MS) < 5_000


async def test_ten_messages_a_second_are_borne_and_the_eleventh_ends_the_socket(autojump_clock):
    async with binance_wire(BinanceSettings()) as wire, wire.socket() as client:
        for _ in range(3):
            for _ in range(10):
                await client.command("LIST_SUBSCRIPTIONS")
            await trio.sleep(1)
        for _ in range(10):
            await client.ping()
        await client.send({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert await client.closed() == 1008
        assert wire.stats["socket_ends"] == {"rate limit": 1}


async def test_flooding_again_and_again_is_a_ban(autojump_clock):
    settings = BinanceSettings(messages_per_second=3, flood_ban_after=2, ban_s=30)
    async with binance_wire(settings) as wire:
        for _ in range(2):
            async with wire.socket() as client:
                for _ in range(4):
                    await client.ping()
                assert await client.closed() == 1008
            await trio.sleep(2)
        assert said(await wire.get(PRICE)) == (418, -1003, "28")
        await trio.sleep(28)
        assert (await wire.get(PRICE)).status_code == 200


async def test_a_ping_comes_every_three_minutes_and_an_answered_one_keeps_the_socket(autojump_clock):
    async with binance_wire() as wire, wire.socket() as client:
        with trio.move_on_after(3_000):
            await client.receive()
        pings = [frame for frame in client.seen if frame.opcode.name == "PING"]
        assert len(pings) == 16
        assert len({bytes(frame.data) for frame in pings}) == 16
        assert wire.stats["sockets"] == 1


async def test_without_a_pong_in_ten_minutes_the_server_closes(autojump_clock):
    async with binance_wire() as wire, wire.socket() as client:
        start_s = trio.current_time()
        assert await client.mute_until_closed() == 1001
        assert trio.current_time() - start_s == pytest.approx(780, abs=1)
        assert wire.stats["socket_ends"] == {"unanswered": 1}


async def test_an_unsolicited_pong_answers_no_ping(autojump_clock):
    async with binance_wire(BinanceSettings(ping_s=1, pong_timeout_s=2)) as wire, wire.socket() as client:
        client.protocol.send_pong(b"other")
        await client.stream.send_all(b"".join(client.protocol.data_to_send()))
        assert await client.mute_until_closed() == 1001
        assert wire.stats["socket_ends"] == {"unanswered": 1}


async def test_a_socket_ends_after_a_day(autojump_clock):
    settings = BinanceSettings(ping_s=3600, pong_timeout_s=7200)
    async with binance_wire(settings) as wire, wire.socket() as client:
        start_s = trio.current_time()
        with pytest.raises(SocketClosed) as closed:
            await client.receive()
        assert closed.value.code == 1001
        assert trio.current_time() - start_s == pytest.approx(86_400, abs=1)
        assert wire.stats["socket_ends"] == {"expired": 1}


async def test_connections_are_limited_and_idle_ones_do_not_count():
    async with binance_wire(BinanceSettings(max_connections=2)) as wire:
        async with wire.keep_alive() as idle, wire.socket(), wire.socket():
            assert said(await wire.get(PRICE)) == (429, -1003, None)
            with pytest.raises(InvalidStatus):
                async with wire.socket():
                    pass
            assert (await idle.get(PRICE)).status_code == 429
        await trio.sleep(0.05)
        assert (await wire.get(PRICE)).status_code == 200
