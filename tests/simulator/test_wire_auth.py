"""Logins, tokens and scopes, on a socket and over HTTP."""

import base64
import hashlib
import hmac

import httpx
import pytest
import trio

from engine.kernel import Entropy, SystemClock
from engine.simulator import DeribitSettings, open_simulator
from engine.simulator.wire.deribit.signatures import credentials_signature, request_signature
from tests.support.sim_client import RpcFailed, sim_client
from tests.support.sim_venue import EPOCH_MS, sim_in_memory


def test_the_published_signature_vector_holds():
    signature = credentials_signature("AMANDASECRECT", 1576074319000, "1iqt2wls", "")
    assert signature == "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1"


def test_a_request_signature_covers_method_path_and_body():
    message = b"1\nn\nPOST\n/api/v2/private/buy?a=1\n{}\n"
    expected = hmac.new(b"s", message, hashlib.sha256).hexdigest()
    assert request_signature("s", 1, "n", "post", "/api/v2/private/buy?a=1", b"{}") == expected


async def refused(client, code, method, /, **params):
    with pytest.raises(RpcFailed) as failed:
        await client.request(method, **params)
    assert failed.value.code == code
    return failed.value


async def test_credentials_log_a_socket_in():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await refused(client, 13009, "private/get_open_orders")
        result = await client.login(sim.deribit, state="s1")
        assert result["token_type"] == "bearer"
        assert result["state"] == "s1"
        assert result["expires_in"] == 31536000
        assert "connection" in result["scope"].split()
        assert await client.request("private/get_open_orders") == []


@pytest.mark.parametrize("wrong", [{"client_secret": "x"}, {"client_id": "x"}])
async def test_wrong_credentials_are_refused_without_saying_what_is_wrong(wrong):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        given = {"client_id": sim.deribit.client_id, "client_secret": sim.deribit.client_secret} | wrong
        error = await refused(client, 13004, "public/auth", grant_type="client_credentials", **given)
        assert error.data is None


@pytest.mark.parametrize(
    "params", [{}, {"grant_type": "password"}, {"grant_type": "client_credentials"}, {"grant_type": "refresh_token"}]
)
async def test_an_incomplete_login_names_the_param(params):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        error = await refused(client, -32602, "public/auth", **params)
        assert error.data["param"] in ("grant_type", "client_id", "refresh_token")


@pytest.mark.parametrize(("off_ms", "accepted"), [(0, True), (-59_000, True), (59_000, True), (-61_000, False)])
async def test_a_signature_holds_for_a_minute_around_its_time(off_ms, accepted):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        stamp = sim.deribit.now_ms() + off_ms
        message = f"{stamp}\nabc\nhello".encode()
        signature = hmac.new(sim.deribit.client_secret.encode(), message, hashlib.sha256).hexdigest()
        login = {
            "grant_type": "client_signature",
            "client_id": sim.deribit.client_id,
            "timestamp": stamp,
            "nonce": "abc",
            "data": "hello",
            "signature": signature,
        }
        if accepted:
            assert "access_token" in await client.request("public/auth", **login)
            await refused(client, 13004, "public/auth", **login | {"signature": "0" * 64})
        else:
            await refused(client, 13009, "public/auth", **login)


async def test_a_connection_token_works_on_its_own_socket_only():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as one, sim_client(sim.deribit) as two:
        token = (await one.login(sim.deribit))["access_token"]
        assert await one.request("private/get_open_orders", access_token=token) == []
        await refused(two, 13009, "private/get_open_orders", access_token=token)


async def test_a_session_token_works_everywhere():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as one, sim_client(sim.deribit) as two:
        token = (await one.login(sim.deribit, scope="session:desk"))["access_token"]
        assert await two.request("private/get_open_orders", access_token=token) == []
        await refused(two, 13009, "private/get_open_orders")


async def test_a_connection_token_dies_with_its_socket():
    async with sim_in_memory() as sim:
        async with sim_client(sim.deribit) as one:
            refresh = (await one.login(sim.deribit))["refresh_token"]
        async with sim_client(sim.deribit) as two:
            await refused(two, 13009, "public/auth", grant_type="refresh_token", refresh_token=refresh)


async def test_a_refresh_gives_a_new_pair_and_ends_the_old_one():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        old = await client.login(sim.deribit)
        new = await client.request("public/auth", grant_type="refresh_token", refresh_token=old["refresh_token"])
        assert new["access_token"] != old["access_token"]
        assert new["scope"] == old["scope"]
        assert await client.request("private/get_open_orders", access_token=new["access_token"]) == []
        await refused(client, 13009, "private/get_open_orders", access_token=old["access_token"])
        await refused(client, 13009, "public/auth", grant_type="refresh_token", refresh_token=old["refresh_token"])


async def test_a_forked_token_is_of_a_session_of_its_own():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as one, sim_client(sim.deribit) as two:
        old = await one.login(sim.deribit)
        fork = await one.request("public/fork_token", refresh_token=old["refresh_token"], session_name="second")
        assert "session:second" in fork["scope"].split()
        assert await two.request("private/get_open_orders", access_token=fork["access_token"]) == []
        assert await one.request("private/get_open_orders", access_token=old["access_token"]) == []
        await refused(two, 13009, "public/fork_token", refresh_token=old["refresh_token"], session_name="third")


async def test_a_token_expires_and_a_refresh_revives_the_socket(autojump_clock):
    async with sim_in_memory(DeribitSettings(expires_in_s=20)) as sim, sim_client(sim.deribit) as client:
        tokens = await client.login(sim.deribit)
        assert tokens["expires_in"] == 20
        assert await client.request("private/get_open_orders") == []
        await trio.sleep(21)
        await refused(client, 13009, "private/get_open_orders")
        await client.request("public/auth", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        assert await client.request("private/get_open_orders") == []


async def test_a_shorter_life_can_be_asked_for():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        assert (await client.login(sim.deribit, scope="expires:60"))["expires_in"] == 60


async def test_the_seventeenth_session_pushes_out_the_first():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        tokens = [(await client.login(sim.deribit, scope=f"session:s{n}"))["access_token"] for n in range(17)]
        await refused(client, 13009, "private/get_open_orders", access_token=tokens[0])
        for token in tokens[1:]:
            assert await client.request("private/get_open_orders", access_token=token) == []


async def test_a_grant_is_no_wider_than_its_key():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        reader = sim.deribit.add_key("main", scope="account:read trade:read")
        result = await client.login(reader, scope="trade:read_write wallet:read_write")
        assert "trade:read" in result["scope"].split()
        assert "wallet" not in result["scope"]
        assert await client.request("private/get_open_orders") == []
        await refused(client, 13021, "private/buy", instrument_name="BTC-PERPETUAL", amount=10, type="market")
        await refused(client, 13021, "private/enable_cancel_on_disconnect")


async def test_two_accounts_do_not_see_each_other():
    async with sim_in_memory() as sim, sim_client(sim.deribit) as one, sim_client(sim.deribit) as two:
        other = sim.deribit.add_account("other", {})
        await one.login(sim.deribit)
        await two.login(other)
        await two.request("private/subscribe", channels=["user.orders.any.any.raw"])
        await one.request("private/buy", instrument_name="BTC-PERPETUAL", amount=10, price=82500)
        assert await two.request("private/get_open_orders") == []
        assert len(await one.request("private/get_open_orders")) == 1
        assert not two.notices


def signed(venue, method, uri, body="", off_ms=0, nonce="n0nce"):
    stamp = venue.now_ms() + off_ms
    message = f"{stamp}\n{nonce}\n{method}\n{uri}\n{body}\n".encode()
    signature = hmac.new(venue.client_secret.encode(), message, hashlib.sha256).hexdigest()
    return {"Authorization": f"deri-hmac-sha256 id={venue.client_id},ts={stamp},sig={signature},nonce={nonce}"}


async def test_http_takes_all_three_kinds_of_authorization():
    async with (
        open_simulator(SystemClock(), Entropy(1), settings=DeribitSettings.plain()) as sim,
        httpx.AsyncClient() as http,
    ):
        venue = sim.deribit
        url = f"{venue.http_url}/private/get_position?instrument_name=BTC-PERPETUAL"
        uri = url.removeprefix(venue.http_url.removesuffix("/api/v2"))
        login = {
            "grant_type": "client_credentials",
            "client_id": venue.client_id,
            "client_secret": venue.client_secret,
        }
        token = (await http.get(f"{venue.http_url}/public/auth", params=login)).json()["result"]["access_token"]
        basic = base64.b64encode(f"{venue.client_id}:{venue.client_secret}".encode()).decode()
        for headers in (
            {"Authorization": f"Bearer {token}"},
            {"Authorization": f"Basic {basic}"},
            signed(venue, "GET", uri),
        ):
            reply = await http.get(url, headers=headers)
            assert reply.status_code == 200, reply.text
            assert reply.json()["result"]["instrument_name"] == "BTC-PERPETUAL"
        body = '{"jsonrpc":"2.0","id":3,"method":"private/get_open_orders","params":{}}'
        reply = await http.post(venue.http_url, content=body, headers=signed(venue, "POST", "/api/v2", body))
        assert reply.json()["result"] == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, 13009),
        ({"Authorization": "Bearer nonsense"}, 401, 13009),
        ({"Authorization": "Basic !!!"}, 401, 13009),
        ({"Authorization": "Basic " + base64.b64encode(b"no-colon").decode()}, 401, 13009),
        ({"Authorization": "Basic " + base64.b64encode(b"a:b").decode()}, 400, 13004),
        ({"Authorization": "Digest x"}, 401, 13009),
        ({"Authorization": "deri-hmac-sha256 id=x"}, 400, 13004),
        ({"Authorization": "Bearer " + "x" * 5000}, 401, 13009),
    ],
)
async def test_http_refuses_what_does_not_hold(headers, status, code):
    async with open_simulator(SystemClock(), Entropy(1), control=None) as sim, httpx.AsyncClient() as http:
        reply = await http.get(f"{sim.deribit.http_url}/private/get_open_orders", headers=headers)
        assert reply.status_code == status
        assert reply.json()["error"]["code"] == code


@pytest.mark.parametrize(
    "change", [{"off_ms": -61_000}, {"uri": "/api/v2/private/other"}, {"body": "x"}, {"method": "POST"}]
)
async def test_a_signed_request_cannot_be_altered(change):
    async with open_simulator(SystemClock(), Entropy(1), control=None) as sim, httpx.AsyncClient() as http:
        what = {"method": "GET", "uri": "/api/v2/private/get_open_orders"} | change
        headers = signed(sim.deribit, **what)
        reply = await http.get(f"{sim.deribit.http_url}/private/get_open_orders", headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, 13009)


async def test_the_venue_reads_its_own_clock():
    async with sim_in_memory(DeribitSettings(clock_offset_ms=-30_000)) as sim, sim_client(sim.deribit) as client:
        assert await client.request("public/get_time") < EPOCH_MS - 29_000
