"""Streams of the simulated Binance: which route hears what, in which form, and what a client may say."""

import msgspec
import pytest
import trio

from engine.simulator.wire.binance_usdm import BinanceSettings
from tests.support.sim_binance import binance_wire

BOOK, TRADES = "btcusdt@depth20@100ms", "btcusdt@aggTrade"
COMBINED = {"stream": TRADES, "data": {"s": TRADES}}


@pytest.mark.parametrize(
    ("route", "heard"),
    [("/public", [BOOK]), ("/market", [TRADES]), ("", [BOOK]), ("/private", [])],
)
async def test_a_route_delivers_its_own_streams_and_the_root_those_of_public(route, heard):
    async with binance_wire() as wire, wire.socket(f"{route}/ws") as client:
        await client.subscribe(BOOK, TRADES)
        assert await client.command("LIST_SUBSCRIPTIONS") == {"result": [BOOK, TRADES], "id": 1}
        assert wire.venue.active == heard
        for stream in (BOOK, TRADES):
            wire.venue.say(stream)
        assert [message["s"] for message in await client.heard()] == heard


@pytest.mark.parametrize("stream", ["BTCUSDT@aggTrade", "nopeusdt@aggTrade", "nonsense", ""])
async def test_a_stream_nobody_knows_is_acknowledged_and_silent(stream):
    async with binance_wire() as wire, wire.socket("/market/ws") as client:
        await client.subscribe(stream)
        wire.venue.say(stream)
        assert await client.heard() == []


async def test_the_path_names_streams_and_the_form_of_their_messages():
    async with (
        binance_wire() as wire,
        wire.socket(f"/market/ws/{TRADES}/btcusdt@markPrice@1s") as raw,
        wire.socket(f"/market/stream?streams={TRADES}/btcusdt%40markPrice%401s") as wrapped,
        wire.socket("/market/stream") as empty,
    ):
        wire.venue.say(TRADES)
        wire.venue.say("btcusdt@markPrice@1s")
        assert [message["s"] for message in await raw.heard()] == [TRADES, "btcusdt@markPrice@1s"]
        assert [message["stream"] for message in await wrapped.heard()] == [TRADES, "btcusdt@markPrice@1s"]
        assert await empty.heard() == []


async def test_a_message_comes_in_both_forms_to_whom_wants_which():
    async with (
        binance_wire() as wire,
        wire.socket("/market/ws") as raw,
        wire.socket("/market/stream") as wrapped,
    ):
        await raw.subscribe(TRADES)
        await wrapped.subscribe(TRADES)
        for data in ({"s": TRADES}, msgspec.json.encode({"s": TRADES})):
            wire.venue.say(TRADES, data)
            assert await raw.heard() == [{"s": TRADES}]
            assert await wrapped.heard() == [COMBINED]
        assert wire.stats["messages"] == 4


async def test_the_form_can_be_changed_while_a_socket_lives():
    async with binance_wire() as wire, wire.socket("/market/ws") as client:
        await client.subscribe(TRADES)
        assert (await client.command("GET_PROPERTY", ["combined"]))["result"] is False
        assert (await client.command("SET_PROPERTY", ["combined", True], 7)) == {"result": None, "id": 7}
        assert (await client.command("GET_PROPERTY", ["combined"]))["result"] is True
        wire.venue.say(TRADES)
        assert await client.heard() == [COMBINED]


async def test_a_stream_is_made_from_its_first_listener_to_its_last():
    async with binance_wire() as wire, wire.socket("/market/ws") as one:
        await one.subscribe(TRADES, TRADES)
        async with wire.socket(f"/market/ws/{TRADES}") as two:
            assert await two.command("UNSUBSCRIBE", [TRADES, "never@asked"]) == {"result": None, "id": 1}
            assert wire.venue.active == [TRADES]
            wire.venue.say(TRADES)
            assert (await one.heard(), await two.heard()) == ([{"s": TRADES}], [])
            await two.subscribe(TRADES)
            await one.command("UNSUBSCRIBE", [TRADES])
            assert wire.venue.active == [TRADES]
        await one.command("LIST_SUBSCRIPTIONS")
        await trio.sleep(0.05)
        assert (wire.venue.active, wire.stats["streams"]) == ([], 0)


@pytest.mark.parametrize(
    ("sent", "code", "named"),
    [
        (b"{", 3, "JSON"),
        (b'{"method": NaN}', 3, "JSON"),
        ([1], 2, "object"),
        ({"id": 1}, 2, "method"),
        ({"method": "subscribe", "params": [TRADES], "id": 1}, 2, "unknown variant"),
        ({"method": ["SUBSCRIBE"], "id": 1}, 2, "unknown variant"),
        ({"method": "SUBSCRIBE", "id": 1}, 2, "params"),
        ({"method": "SUBSCRIBE", "params": TRADES, "id": 1}, 2, "params"),
        ({"method": "SUBSCRIBE", "params": [], "id": 1}, 2, "strings"),
        ({"method": "SUBSCRIBE", "params": [7], "id": 1}, 2, "strings"),
        ({"method": "LIST_SUBSCRIPTIONS", "id": -1}, 2, "unsigned"),
        ({"method": "LIST_SUBSCRIPTIONS", "id": 1.5}, 2, "unsigned"),
        ({"method": "LIST_SUBSCRIPTIONS", "id": True}, 2, "unsigned"),
        ({"method": "LIST_SUBSCRIPTIONS", "id": "x" * 37}, 2, "unsigned"),
        ({"method": "GET_PROPERTY", "params": ["colour"], "id": 1}, 0, "property"),
        ({"method": "GET_PROPERTY", "params": [3], "id": 1}, 2, "property name"),
        ({"method": "GET_PROPERTY", "params": ["combined", True], "id": 1}, 2, "too many"),
        ({"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 1}, 1, "Boolean"),
        ({"method": "SET_PROPERTY", "params": ["combined"], "id": 1}, 1, "Boolean"),
    ],
)
async def test_what_is_no_command_is_refused_by_code_and_the_socket_goes_on(sent, code, named):
    async with binance_wire() as wire, wire.socket() as client:
        await client.send(sent)
        error = await client.answer()
        assert error["code"] == code
        assert named in error["msg"]
        assert error.get("id", 1) == 1
        await client.subscribe(BOOK)


async def test_an_id_may_be_text_or_missing():
    async with binance_wire() as wire, wire.socket() as client:
        assert (await client.command("LIST_SUBSCRIPTIONS", request_id="a-1"))["id"] == "a-1"
        await client.send({"method": "LIST_SUBSCRIPTIONS"})
        assert await client.answer() == {"result": [], "id": None}


async def test_more_streams_than_a_connection_may_have_are_refused_whole():
    async with binance_wire(BinanceSettings(max_streams=3)) as wire, wire.socket("/public/ws/silent@a") as client:
        refused = await client.command("SUBSCRIBE", [BOOK, "silent@b", "silent@c"])
        assert (refused["code"], refused["id"]) == (2, 1)
        assert (await client.command("LIST_SUBSCRIPTIONS"))["result"] == ["silent@a"]
        await client.subscribe(BOOK, "silent@a", "silent@b")
        async with binance_wire(BinanceSettings(max_streams=3)) as other:
            assert (await other.get("/public/ws/a@x/b@x/c@x/d@x")).status_code == 200  # no upgrade: an echo
        with pytest.raises(Exception, match="400"):
            async with wire.socket("/public/ws/a@x/b@x/c@x/d@x"):
                pass


async def test_a_thousand_and_twenty_four_streams_fit_in_one_command_and_in_one_path():
    names = [f"s{number}usdt@kline_15m" for number in range(1024)]
    async with (
        binance_wire() as wire,
        wire.socket("/market/ws") as asked,
        wire.socket(f"/market/stream?streams={'/'.join(names)}") as named,
    ):
        await asked.subscribe(*names)
        assert (await named.command("LIST_SUBSCRIPTIONS"))["result"] == names
        assert (await asked.command("SUBSCRIBE", ["one@more"]))["code"] == 2


@pytest.mark.parametrize("path", ["/", "/public", "/public/other", "/ws2", "/private", "/publi/ws"])
async def test_no_socket_is_opened_where_there_is_none(path):
    async with binance_wire() as wire:
        with pytest.raises(Exception, match="HTTP"):
            async with wire.socket(path):
                pass


async def test_one_slow_client_never_delays_another_and_is_dropped_when_it_is_too_far_behind():
    settings = BinanceSettings(max_outbound_bytes=20_000)
    text = {"s": "x" * 1000}
    async with (
        binance_wire(settings) as wire,
        wire.socket(f"/market/ws/{TRADES}", lockstep=True) as slow,
        wire.socket(f"/market/ws/{TRADES}") as quick,
    ):
        for _ in range(60):
            wire.venue.say(TRADES, text)
            with trio.fail_after(1):
                assert await quick.receive() == text
        assert await slow.closed() is None
        assert wire.stats["socket_ends"] == {"too slow": 1}
