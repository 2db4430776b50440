"""Whatever a client sends, the server goes on serving the others."""

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from engine.simulator.deribit.method import METHODS
from tests.support.sim_client import SimClient, sim_client
from tests.support.sim_venue import sim_in_memory

FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])

OWN = ("public/auth", "public/subscribe", "private/subscribe", "public/set_heartbeat", "private/logout", "public/hello")
PARAMS = sorted(
    {name for method in METHODS.values() for name in method.params} | {"channels", "interval", "grant_type"}
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["BTC-PERPETUAL", "BTC", "any", "limit", "buy", "1e999", "NaN", "-0", "user.orders.any.any.raw", "book.."]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CALLS = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "id": st.integers() | st.text(max_size=5),
        "method": st.sampled_from([*sorted(METHODS), *OWN]),
        "params": st.dictionaries(st.sampled_from(PARAMS), VALUES, max_size=6),
    }
)


def attack(action):
    """Run `action(sim, stream)` against a server and see that another client is still served."""

    async def main():
        async with sim_in_memory() as sim:
            with trio.move_on_after(1):
                await action(sim)
            async with sim_client(sim.deribit) as client:
                assert await client.request("public/test")

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def drain(stream):
    async for _ in stream:
        pass


@FEW
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_any_bytes_in_place_of_http(chunks):
    async def action(sim):
        stream = sim.deribit.connect()
        for chunk in chunks:
            await stream.send_all(chunk or b"\r\n")
        await stream.send_eof()
        await drain(stream)

    attack(action)


@FEW
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_any_bytes_in_place_of_frames(chunks):
    async def action(sim):
        client = SimClient(sim.deribit.connect())
        await client.handshake()
        for chunk in chunks:
            await client.stream.send_all(chunk or b"\x00")
        await drain(client.stream)

    attack(action)


@FEW
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_in_a_text_frame(first, second):
    async def action(sim):
        client = SimClient(sim.deribit.connect())
        await client.handshake()
        for payload in (first, second):
            await client.send(payload)
        await drain(client.stream)

    attack(action)


@settings(FEW, max_examples=60)
@given(st.lists(CALLS, min_size=1, max_size=8))
def test_any_params_of_any_method(calls):
    async def action(sim):
        async with sim_client(sim.deribit) as client:
            await client.login(sim.deribit)
            for call in calls:
                await client.send(call)
            await drain(client.stream)

    attack(action)


@FEW
@given(st.text(alphabet='abcxyz/&=%?[]{}"0123456789.-_+', max_size=80), st.sampled_from(sorted(METHODS)))
def test_any_query_of_any_method(query, method):
    async def action(sim):
        stream = sim.deribit.connect()
        head = f"GET /api/v2/{method}?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        await stream.send_all(f"{head}authorization: Basic {query}\r\n\r\n".encode())
        await drain(stream)

    attack(action)
