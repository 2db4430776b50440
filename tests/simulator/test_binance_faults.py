"""Every fault does to the simulated Binance what it says, where it says, as often as it says, and nothing once it is over."""

import msgspec
import pytest
import trio
from websockets.exceptions import InvalidHandshake, InvalidStatus

from engine.simulator.wire import faults
from tests.support.sim_binance import MINUTE_MS, binance_wire
from tests.support.sim_client import SocketClosed

BOOK, TRADES, BARS = "btcusdt@depth@100ms", "btcusdt@aggTrade", "btcusdt@kline_1m"
ETHER = "ethusdt@aggTrade"
PRICE = "/fapi/v1/ticker/price"


async def says_nothing(awaitable, seconds=1.0):
    with trio.move_on_after(seconds) as wait:
        await awaitable
    return wait.cancelled_caught


def say(wire, stream, *numbers):
    for number in numbers:
        wire.venue.say(stream, {"n": number})


async def numbers(client):
    return [message["n"] for message in await client.heard()]


# -- sockets


async def test_drop_closes_all_without_a_word_or_the_sockets_only():
    async with binance_wire() as wire, wire.keep_alive() as http:
        assert (await http.get(PRICE)).status_code == 200
        async with wire.socket() as client:
            wire.board.add(faults.Drop(sockets_only=True))
            assert await client.closed() is None
        assert (await http.get(PRICE)).status_code == 200
        wire.board.add(faults.Drop())
        with pytest.raises(SocketClosed):
            await http.get(PRICE)
        assert wire.stats["socket_ends"] == {"dropped": 1}


async def test_drop_can_be_for_the_sockets_of_one_route():
    async with binance_wire() as wire, wire.socket("/market/ws") as market, wire.socket("/public/ws") as public:
        wire.board.add(faults.Drop(channel="market/"))
        assert await market.closed() is None
        await public.subscribe(BOOK)


async def test_a_lasting_drop_of_sockets_refuses_handshakes_and_no_requests(autojump_clock):
    async with binance_wire() as wire:
        wire.board.add(faults.Drop(sockets_only=True, duration_s=5))
        with pytest.raises((SocketClosed, EOFError, InvalidHandshake)):
            async with wire.socket():
                pass
        assert (await wire.get(PRICE)).status_code == 200
        await trio.sleep(5.1)
        async with wire.socket() as client:
            await client.subscribe(BOOK)


async def test_a_stalled_socket_says_nothing_and_tells_all_when_the_stall_ends(autojump_clock):
    async with binance_wire() as wire, wire.keep_alive() as http, wire.socket(f"/market/ws/{TRADES}") as client:
        stall = wire.board.add(faults.Stall(sockets_only=True))
        say(wire, TRADES, 1, 2)
        assert await says_nothing(client.receive())
        assert (await http.get(PRICE)).status_code == 200
        wire.board.lift(stall)
        assert await numbers(client) == [1, 2]


async def test_a_stall_can_be_for_the_sockets_of_one_route(autojump_clock):
    async with (
        binance_wire() as wire,
        wire.socket(f"/market/ws/{TRADES}") as market,
        wire.socket(f"/public/ws/{BOOK}") as public,
    ):
        wire.board.add(faults.Stall(channel="market/", duration_s=3))
        say(wire, TRADES, 1)
        say(wire, BOOK, 2)
        assert (await numbers(market), await numbers(public)) == ([], [2])
        await trio.sleep(3)
        assert await numbers(market) == [1]


async def test_a_stall_of_everything_holds_requests_too(autojump_clock):
    async with binance_wire() as wire, wire.keep_alive() as http:
        wire.board.add(faults.Stall(duration_s=3))
        start_s = trio.current_time()
        assert (await http.get(PRICE)).status_code == 200
        assert trio.current_time() - start_s == pytest.approx(3, abs=0.1)


async def test_a_half_open_socket_neither_hears_nor_speaks(autojump_clock):
    async with binance_wire() as wire, wire.socket("/market/ws") as client:
        half = wire.board.add(faults.HalfOpen(sockets_only=True))
        await client.send({"method": "SUBSCRIBE", "params": [TRADES], "id": 1})
        assert await says_nothing(client.receive(), 5)
        assert wire.venue.active == []
        wire.board.lift(half)
        assert await client.answer() == {"result": None, "id": 1}


async def test_a_day_cut_ends_sockets_with_a_close_frame_and_spares_requests():
    async with (
        binance_wire() as wire,
        wire.keep_alive() as http,
        wire.socket("/market/ws") as market,
        wire.socket("/public/ws") as public,
    ):
        await http.get(PRICE)
        wire.board.add(faults.DayCut(channel="market/"))
        assert await market.closed() == 1001
        await public.subscribe(BOOK)
        wire.board.add(faults.DayCut())
        assert await public.closed() == 1001
        assert (await http.get(PRICE)).status_code == 200
        assert wire.stats["socket_ends"] == {"expired": 2}
        assert wire.board.struck["day_cut"] == 2


@pytest.mark.parametrize("variant", ["invalid_json", "invalid_utf8", "wrong_types", "truncated", "binary"])
async def test_a_garbage_frame_comes_at_once_and_the_socket_goes_on(variant):
    async with binance_wire() as wire, wire.socket("/market/ws") as client:
        await client.subscribe(TRADES)
        wire.board.add(faults.GarbageFrame(variant=variant))
        with trio.fail_after(5):
            garbage = await client._next_frame()
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError, AssertionError)):
            assert "s" in msgspec.json.decode(garbage.data, type=dict)
        say(wire, TRADES, 1)
        assert await numbers(client) == [1]


# -- messages


@pytest.mark.parametrize("channel", ["", TRADES, "aggTrade", "market/", "market/btc", "btcusdt@"])
async def test_silence_acknowledges_and_sends_nothing_of_what_it_names(channel):
    async with binance_wire() as wire, wire.socket("/market/ws") as client:
        silence = wire.board.add(faults.Silence(channel=channel))
        await client.subscribe(TRADES)
        say(wire, TRADES, 1)
        assert await numbers(client) == []
        wire.board.lift(silence)
        say(wire, TRADES, 2)
        assert await numbers(client) == [2]


@pytest.mark.parametrize("channel", ["public/", "kline", "ethusdt@", "agg@"])
async def test_silence_leaves_alone_what_it_does_not_name(channel):
    async with binance_wire() as wire, wire.socket(f"/market/ws/{TRADES}") as client:
        wire.board.add(faults.Silence(channel=channel))
        say(wire, TRADES, 1)
        assert await numbers(client) == [1]


async def test_as_many_messages_of_a_kind_are_lost_as_were_asked_for():
    async with binance_wire() as wire, wire.socket(f"/market/ws/{TRADES}/{ETHER}/{BARS}") as client:
        wire.board.add(faults.LoseFrames(channel="aggTrade", count=3))
        for number in range(4):
            for stream in (TRADES, ETHER, BARS):
                say(wire, stream, number)
        assert await numbers(client) == [0, 1, 1, 2, 2, 2, 3, 3, 3]
        assert wire.board.active() == []


async def test_a_gap_in_a_book_is_the_venues_matter():
    async with binance_wire() as wire:
        wire.board.add(faults.SkipSequence(instrument="BTCUSDT"))
        assert (wire.venue.skipped, wire.board.active()) == (["BTCUSDT"], [])


async def test_messages_are_doubled_swapped_and_delayed(autojump_clock):
    async with binance_wire() as wire, wire.socket(f"/market/ws/{TRADES}/{BARS}") as client:
        wire.board.add(faults.Duplicate(channel=TRADES, count=1))
        say(wire, TRADES, 1, 2)
        assert await numbers(client) == [1, 1, 2]
        wire.board.add(faults.Reorder(channel=TRADES, count=1))
        say(wire, TRADES, 1, 2, 3)
        assert await numbers(client) == [2, 1, 3]
        wire.board.add(faults.Delay(channel="kline", delay_s=2, count=1))
        say(wire, BARS, 1)
        say(wire, TRADES, 2)
        assert (await client.receive())["n"] == 2
        start_s = trio.current_time()
        assert (await client.receive())["n"] == 1
        assert trio.current_time() - start_s == pytest.approx(2, abs=0.1)


async def test_a_command_or_its_reply_can_be_lost(autojump_clock):
    async with binance_wire() as wire, wire.socket("/market/ws") as client:
        for fault, active in ((faults.LoseRequest, []), (faults.LoseReply, [TRADES])):
            wire.board.add(fault(method="SUBSCRIBE", count=1))
            await client.send({"method": "SUBSCRIBE", "params": [TRADES], "id": 1})
            assert await says_nothing(client.receive())
            assert wire.venue.active == active
        wire.board.add(faults.Drop(method="UNSUBSCRIBE", count=1))
        await client.send({"method": "UNSUBSCRIBE", "params": [TRADES], "id": 1})
        assert await client.closed() is None


# -- requests


@pytest.mark.parametrize(("status", "code"), [(429, -1003), (418, -1003), (503, -1001), (500, -1001)])
async def test_a_status_comes_instead_of_an_answer_where_it_was_asked_for(status, code):
    async with binance_wire() as wire, wire.keep_alive() as http:
        wire.board.add(faults.HttpStatus(status=status, method="/fapi/v1/depth", retry_after_s=7, count=1))
        assert (await http.get(PRICE)).status_code == 200
        reply = await http.get("/fapi/v1/depth?symbol=BTCUSDT")
        assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (status, code, "7")
        assert (await http.get("/fapi/v1/depth")).status_code == 200


async def test_a_firewall_speaks_no_json():
    async with binance_wire() as wire:
        wire.board.add(faults.HttpStatus(status=403))
        reply = await wire.get(PRICE)
        assert (reply.status_code, reply.text[:6]) == (403, "<html>")


async def test_a_ban_lasts_as_long_as_it_says_and_refuses_handshakes(autojump_clock):
    async with binance_wire() as wire, wire.keep_alive() as http:
        wire.board.add(faults.Ban(duration_s=30))
        await trio.sleep(10)
        reply = await http.get(PRICE)
        assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (418, -1003, "20")
        with pytest.raises(InvalidStatus):
            async with wire.socket():
                pass
        await trio.sleep(20.1)
        assert (await http.get(PRICE)).status_code == 200
        ban = wire.board.add(faults.Ban(method="/"))
        assert (await http.get(PRICE)).headers["retry-after"] == "120"
        async with wire.socket() as client:
            await client.subscribe(BOOK)
        wire.board.lift(ban)
        assert (await http.get(PRICE)).status_code == 200


async def test_in_maintenance_every_request_is_answered_by_503():
    async with binance_wire() as wire, wire.keep_alive() as http:
        fault = wire.board.add(faults.Maintenance())
        assert (await http.get("/fapi/v1/time")).status_code == 503
        wire.board.lift(fault)
        assert (await http.get("/fapi/v1/time")).status_code == 200


async def test_the_clock_of_the_venue_can_be_off(autojump_clock):
    async with binance_wire() as wire, wire.keep_alive() as http:
        fault = wire.board.add(faults.ClockOffset(offset_ms=5_000))
        assert (await http.get("/fapi/v1/time")).json()["serverTime"] == MINUTE_MS + 5_000
        wire.board.lift(fault)
        await trio.sleep(20)
        assert (await http.get("/fapi/v1/time")).json()["serverTime"] == MINUTE_MS + 20_000


async def test_requests_and_replies_are_lost_spoilt_late_or_wrong(autojump_clock):
    async with binance_wire() as wire:
        for fault in (faults.LoseRequest, faults.LoseReply):
            wire.board.add(fault(method="/fapi/", count=2))
            async with wire.keep_alive() as http:
                assert await says_nothing(http.get(PRICE))
            wire.board.lift_all()
            wire.board.add(fault(method="/fapi/", close=True, count=1))
            with pytest.raises(SocketClosed):
                await wire.get(PRICE)
        wire.board.add(faults.GarbageFrame(method=PRICE, variant="truncated", count=1))
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode((await wire.get(PRICE)).content)
        wire.board.add(faults.RpcFault(method=PRICE, code=-1121, count=1))
        assert (await wire.get(PRICE)).json() == {"code": -1121, "msg": "Invalid symbol."}
        wire.board.add(faults.Delay(method=PRICE, delay_s=4, count=1))
        start_s = trio.current_time()
        assert (await wire.get(PRICE)).status_code == 200
        assert trio.current_time() - start_s == pytest.approx(4, abs=0.1)


async def test_faults_of_another_venue_do_nothing_here():
    async with binance_wire() as wire, wire.socket(f"/market/ws/{TRADES}") as client:
        for fault in (faults.Drop, faults.Silence, faults.HttpStatus, faults.Maintenance, faults.DayCut, faults.Ban):
            wire.board.add(fault(venue="deribit"))
        say(wire, TRADES, 1)
        assert await numbers(client) == [1]
        assert (await wire.get(PRICE)).status_code == 200
