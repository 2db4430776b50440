"""Whatever one client sends to the simulated Binance, the others and the server are none the worse for it."""

import json

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator.wire.binance_usdm.commands import METHODS, CommandError, read_command
from tests.support.sim_binance import binance_wire

TRADES = "btcusdt@aggTrade"
UPGRADE = b"GET /market/ws HTTP/1.1\r\nhost: sim\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
KEY = b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

BAD_BYTES = {
    "no http": b"\x16\x03\x01\x02\x00\x01",
    "no key": UPGRADE + b"sec-websocket-version: 13\r\n\r\n",
    "no version": UPGRADE + b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "old version": UPGRADE + KEY.replace(b"13", b"8") + b"\r\n",
    "post": (UPGRADE + KEY).replace(b"GET", b"POST") + b"\r\n",
    "wrong name": UPGRADE + KEY + b"sec-websocket-protocol: \xff\xfe\r\n\r\n",
    "headers without end": b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 70_000,
    "path of rubbish": b"GET /market/ws/%ff%fe/\x7f HTTP/1.1\r\nhost: sim\r\n\r\n",
    "body": b"POST /fapi/v1/order HTTP/1.1\r\nhost: sim\r\ncontent-length: 999999\r\n\r\n" + b"z" * 999_999,
    "unmasked frame": UPGRADE + KEY + b"\r\n\x81\x02{}",
    "reserved bits": UPGRADE + KEY + b"\r\n\xf1\x80abcd",
    "long control frame": UPGRADE + KEY + b"\r\n\x89\xfe\xff\xffabcd",
    "half a frame": UPGRADE + KEY + b"\r\n\x81\xfe",
    "text that is none": UPGRADE + KEY + b"\r\n\x81\x82abcd\x9e\x9d",
}


@pytest.mark.parametrize("sent", BAD_BYTES.values(), ids=BAD_BYTES)
async def test_bytes_that_are_no_request_hurt_nobody(sent):
    async with binance_wire() as wire, wire.socket(f"/market/ws/{TRADES}") as other, wire.keep_alive() as http:
        stream = wire.connect()
        await stream.send_all(sent)
        await stream.send_eof()
        with trio.fail_after(5):
            while await stream.receive_some():
                pass
        wire.venue.say(TRADES)
        assert await other.heard() == [{"s": TRADES}]
        assert (await http.get("/fapi/v1/time")).status_code == 200
        await trio.lowlevel.checkpoint()
        assert wire.stats["connections"] == 2


async def test_a_message_that_is_too_large_is_refused_and_the_socket_goes_on():
    async with binance_wire() as wire, wire.socket("/market/ws") as client:
        await client.send(b'{"method":"SUBSCRIBE","params":["' + b"x" * 40_000 + b'"],"id":1}')
        assert (await client.answer())["code"] == 2
        await client.send(b"[" * 30_000)
        assert (await client.answer())["code"] == 3
        await client.subscribe(TRADES)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_told_so(method):
    async with binance_wire() as wire:
        reply = await wire.get("/fapi/v1/klines?symbol=BTCUSDT", method)
        assert (reply.status_code, reply.json()["code"]) == (404, -5000)


async def test_too_many_params_are_refused():
    async with binance_wire() as wire:
        reply = await wire.get("/fapi/v1/klines?" + "&".join(f"a{n}={n}" for n in range(60)))
        assert (reply.status_code, reply.json()["code"]) == (400, -1101)


async def test_paths_nobody_knows_are_counted_together_when_there_are_many():
    async with binance_wire() as wire, wire.keep_alive() as http:
        for number in range(150):
            await http.get(f"/{number}")
        calls = wire.stats["calls"]
        assert (len(calls), sum(calls.values()), calls["other"]) == (101, 150, 50)


def read(payload):
    """The method of the command, or the code of the refusal."""
    try:
        return read_command(payload).method
    except CommandError as error:
        return error.code


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150)
@given(
    method=st.sampled_from(METHODS) | json_values,
    params=json_values | st.just(["combined"]) | st.lists(st.text(max_size=4), max_size=4),
    request_id=json_values,
)
def test_any_command_is_read_or_refused(method, params, request_id):
    outcome = read(json.dumps({"method": method, "params": params, "id": request_id}).encode())
    assert outcome in (*METHODS, 0, 1, 2, 3)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(payload):
    assert read(payload) in (2, 3)
