"""HTTP on the same port: methods by GET and POST, statuses, and everything that is not HTTP."""

from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
import trio

from engine.kernel import Entropy, SystemClock
from engine.simulator import DeribitSettings, open_simulator
from engine.simulator.wire import CreditLimits, Pool

NAMED = {"jsonrpc": "2.0", "id": "x", "method": "public/get_time"}


@asynccontextmanager
async def served(settings=None):
    async with (
        open_simulator(SystemClock(), Entropy(1), settings=settings or DeribitSettings.plain(), control=None) as sim,
        httpx.AsyncClient(base_url=sim.deribit.http_url + "/", auth=None) as http,
    ):
        yield sim, http


def upgrade(host: bytes, version: int) -> bytes:
    head = b"GET /ws/api/v2 HTTP/1.1\r\nhost: %b\r\nupgrade: websocket\r\nconnection: upgrade\r\n" % host
    return head + b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: %d\r\n\r\n" % version


async def raw(sim, data: bytes) -> bytes:
    """Everything the server says to `data`, until it closes."""
    where = urlsplit(sim.deribit.http_url)
    answer = b""
    stream = await trio.open_tcp_stream(where.hostname, where.port)
    async with stream:
        await stream.send_all(data)
        with trio.fail_after(5):
            async for chunk in stream:
                answer += chunk
    return answer


async def test_get_has_no_id_and_post_echoes_it():
    async with served() as (_, http):
        assert "id" not in (await http.get("public/get_time")).json()
        assert (await http.post("public/get_time", json={"jsonrpc": "2.0", "id": "x"})).json()["id"] == "x"


async def test_post_finds_the_method_in_the_path_or_in_the_body():
    async with served() as (sim, http):
        assert (await http.post(sim.deribit.http_url, json=NAMED)).json()["result"] > 0
        reply = await http.post("public/test", json=NAMED)
        assert reply.json()["result"] == {"version": "1.2.26"}


async def test_query_params_are_read_as_what_they_are():
    async with served() as (sim, http):
        auth = (sim.deribit.client_id, sim.deribit.client_secret)
        query = "instrument_name=BTC-PERPETUAL&amount=10.0&price=8.25e4&label=123&post_only=true&type=limit"
        order = (await http.get(f"private/buy?{query}", auth=auth)).json()["result"]["order"]
        assert (order["amount"], order["price"], order["label"], order["post_only"]) == (10, 82500, "123", True)
        reply = await http.get(f"private/get_order_state?order_id={order['order_id']}", auth=auth)
        assert reply.json()["result"]["order_id"] == order["order_id"]
        ids = f'private/get_order_margin_by_ids?ids=["{order["order_id"]}"]'
        assert len((await http.get(ids, auth=auth)).json()["result"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "public/nothing", 400, -32601),
        ("GET", "public/ticker", 400, -32602),
        ("GET", "private/get_open_orders", 401, 13009),
        ("GET", "public/subscribe?channels=[]", 400, 10030),
        ("GET", "public/set_heartbeat?interval=10", 400, 10030),
        ("GET", "public/ticker?" + "&".join(f"a{n}=1" for n in range(200)), 400, -32600),
        ("POST", "public/test", 400, -32700),
    ],
)
async def test_errors_have_a_status_and_the_same_body_as_on_a_socket(method, path, status, code):
    async with served() as (_, http):
        reply = await http.request(method, path)
        assert reply.status_code == status
        assert reply.json()["error"]["code"] == code
        assert reply.json()["testnet"] is True


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/other", 404), ("DELETE", "/api/v2/public/test", 405), ("HEAD", "/api/v2", 405)],
)
async def test_what_is_not_the_api_is_not_found(method, path, status):
    async with served() as (sim, http):
        reply = await http.request(method, sim.deribit.http_url.removesuffix("/api/v2") + path)
        assert reply.status_code == status


async def test_one_connection_carries_many_requests():
    async with served() as (sim, http):
        for _ in range(20):
            assert (await http.get("public/test")).status_code == 200
        assert sim.stats()["deribit"]["accepted_connections"] == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"400"),
        (b"GET /api/v2/public/test HTTP/1.1\r\n\r\n", b"400"),
        (b"POST /api/v2 HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"400"),
        (b"POST /api/v2 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /api/v2 HTTP/1.1\r\nhost: x\r\ncontent-length: 40000\r\n\r\n" + b"x" * 40000, b"413"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 70_000, b"431"),
        (b"GET /ws/api/v2 HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n\r\n", b"400"),
        (upgrade(b"\xff\xfe", 13), b"400"),
        (upgrade(b"x", 8), b"426"),
    ],
)
async def test_malformed_http_is_answered_and_the_server_lives_on(data, status):
    async with served() as (sim, http):
        answer = await raw(sim, data)
        assert answer.split()[1] == status
        assert (await http.get("public/test")).status_code == 200


async def test_an_expected_continue_is_given():
    async with served() as (sim, _):
        body = b'{"jsonrpc":"2.0","id":1,"method":"public/test"}'
        head = b"POST /api/v2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
        where = urlsplit(sim.deribit.http_url)
        async with await trio.open_tcp_stream(where.hostname, where.port) as stream:
            await stream.send_all(head % len(body))
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
            await stream.send_all(body)
            assert b'"version"' in b"".join([chunk async for chunk in stream])


async def test_a_request_cut_short_is_nothing():
    async with served() as (sim, http):
        where = urlsplit(sim.deribit.http_url)
        for cut in (b"", b"GET", b"POST /api/v2 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc"):
            async with await trio.open_tcp_stream(where.hostname, where.port) as stream:
                await stream.send_all(cut or b"\r\n")
        assert (await http.get("public/test")).status_code == 200


async def test_too_many_requests_are_status_429():
    pool = Pool(1, 2, 0.001)
    async with served(DeribitSettings(credits=CreditLimits(default=pool))) as (_, http):
        statuses = [(await http.get("public/test")).status_code for _ in range(4)]
        assert statuses == [200, 200, 429, 429]


async def test_a_token_got_over_http_is_of_a_session():
    async with served() as (sim, http):
        login = {
            "grant_type": "client_credentials",
            "client_id": sim.deribit.client_id,
            "client_secret": sim.deribit.client_secret,
        }
        result = (await http.get("public/auth", params=login)).json()["result"]
        assert "session:rest-1" in result["scope"]
        query = f"private/get_open_orders?access_token={result['access_token']}"
        assert (await http.get(query)).json()["result"] == []
