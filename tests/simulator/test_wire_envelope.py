"""What goes around a request and its answer, on a socket."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel import Entropy
from engine.simulator import DeribitSettings
from engine.simulator.wire.deribit.envelope import encode
from engine.simulator.wire.quirks import Quirks, QuirkSettings
from tests.support.sim_client import RpcFailed, sim_client
from tests.support.sim_venue import sim_in_memory

EXPONENT = re.compile(rb"\d\.\d+e-?\d+")


async def ask(payload):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.send(payload)
        return await client.receive()


@pytest.mark.parametrize("request_id", [0, 7, 2**60, "a-1", ""])
async def test_the_id_comes_back_as_it_was(request_id):
    reply = await ask({"jsonrpc": "2.0", "id": request_id, "method": "public/get_time"})
    assert reply["id"] == request_id
    assert type(reply["id"]) is type(request_id)


async def test_a_reply_says_when_the_request_came_and_that_this_is_a_test_venue():
    reply = await ask({"jsonrpc": "2.0", "id": 1, "method": "public/get_time", "params": {}})
    assert reply["usDiff"] == reply["usOut"] - reply["usIn"] >= 0
    assert reply["usIn"] // 1000 <= reply["result"] <= reply["usOut"] // 1000
    assert reply["testnet"] is True
    assert reply["jsonrpc"] == "2.0"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{", -32700),
        (b"\x00", -32700),
        (b"[" * 30_000, -32700),
        (b'{"id":1,"method":"public/test","params":{"x":1e99999999999999999999}}', -32700),
        ([{"jsonrpc": "2.0", "id": 1, "method": "public/test"}], -32600),
        (b"null", -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "public/test"}, -32600),
        ({"jsonrpc": "2.0", "method": "public/test"}, -32600),
        ({"jsonrpc": "2.0", "id": True, "method": "public/test"}, -32600),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "public/test"}, -32600),
        ({"jsonrpc": "2.0", "id": 1}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "public/test", "params": [1]}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "public/nothing"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "test"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "private/get_open_orders"}, 13009),
        ({"jsonrpc": "2.0", "id": 1, "method": "public/ticker", "params": {"x": "y" * 33_000}}, -32600),
    ],
)
async def test_what_is_no_request_gets_an_error_and_the_socket_lives_on(payload, code):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.send(payload)
        assert (await client.receive())["error"]["code"] == code
        assert await client.request("public/test") == {"version": "1.2.26"}


async def test_the_error_for_a_large_message_says_so():
    reply = await ask(b" " * 40_000)
    assert reply["error"]["message"] == "request entity too large"


async def test_an_error_asked_for_is_an_error():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        with pytest.raises(RpcFailed):
            await client.request("public/test", expected_result="exception")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=8))
def test_the_exponent_form_is_the_same_number(number):
    quirks = Quirks(QuirkSettings(exponent_share=1, unknown_field_share=0), Entropy(1))
    assert json.loads(encode(quirks.dress([number])), parse_float=Decimal)[0] == number


async def test_numbers_come_in_exponent_form_now_and_then():
    settings = DeribitSettings(quirks=QuirkSettings(exponent_share=0.5, unknown_field_share=0.5))
    async with sim_in_memory(settings) as sim, sim_client(sim.deribit) as client:
        for _ in range(20):
            await client.request("public/ticker", instrument_name="BTC-PERPETUAL")
        forms = [bool(EXPONENT.search(raw)) for raw in client.raw]
        fields = [b"starbase_hint" in raw for raw in client.raw]
    assert {True, False} == set(forms) == set(fields)


async def test_replies_overtake_each_other_now_and_then():
    settings = DeribitSettings(quirks=QuirkSettings(slow_reply_share=0.5))
    async with sim_in_memory(settings) as sim, sim_client(sim.deribit) as client:
        ids = [await client.post("public/get_time") for _ in range(20)]
        order = [(await client.receive())["id"] for _ in ids]
    assert order != ids
    assert sorted(order) == ids


async def test_notifications_come_before_or_after_the_reply_that_caused_them():
    settings = DeribitSettings(quirks=QuirkSettings(reply_first_share=0.5, slow_reply_share=0))
    kinds = []
    async with sim_in_memory(settings) as sim, sim_client(sim.deribit) as client:
        await client.login(sim.deribit)
        await client.request("private/subscribe", channels=["user.orders.BTC-PERPETUAL.raw"])
        for _ in range(12):
            await client.post("private/buy", instrument_name="BTC-PERPETUAL", amount=10, price=82500)
            kinds.append("id" in await client.receive())
            await client.receive()
    assert {True, False} == set(kinds)


async def test_the_same_seed_says_the_same_things(autojump_clock):
    async def run():
        async with sim_in_memory(DeribitSettings(), seed=3) as sim, sim_client(sim.deribit) as client:
            await client.login(sim.deribit)
            await client.request("public/subscribe", channels=["book.BTC-PERPETUAL.raw", "ticker.ETH-PERPETUAL.100ms"])
            for _ in range(50):
                await client.receive()
            return client.raw

    # The replies' microseconds depend on when trio ran the tasks, the data must not.
    first, second = [[raw for raw in await run() if b"subscription" in raw] for _ in range(2)]
    assert first == second
