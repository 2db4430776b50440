"""Keys of accounts, made, ended and changed while the venues run."""

from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from engine.kernel import Entropy, SystemClock
from engine.simulator import DeribitSettings, open_simulator
from engine.simulator.wire.keychanges import AnyKeyChange
from tests.support.binance_trader import SYMBOL, Api, api
from tests.support.sim_client import RpcFailed, sim_client
from tests.support.sim_deribit import PERP
from tests.support.sim_venue import sim_in_memory

RESTRICTIONS = "/sapi/v1/account/apiRestrictions"


class Login:
    """What a client of Deribit logs in with."""

    def __init__(self, key: str, secret: str) -> None:
        self.client_id, self.client_secret = key, secret


def change(venue, do, **fields):
    place = {"deribit": "deribit", "binance": "binance_usdm"}["binance" if hasattr(venue, "api_key") else "deribit"]
    return venue.change_key(msgspec.convert({"venue": place, "do": do, **fields}, AnyKeyChange))


# -- Deribit


async def test_a_key_of_deribit_works_from_when_it_is_made_until_it_is_revoked(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client, sim_client(sim.deribit) as other:
        made = change(sim.deribit, "add")
        await client.login(Login(made["key"], made["secret"]))
        await other.login(sim.deribit)
        assert change(sim.deribit, "revoke", key=made["key"]) == {"revoked": made["key"]}
        assert await client.closed() is None
        assert (await other.request("private/get_positions")) == []
        async with sim_client(sim.deribit) as again:
            with pytest.raises(RpcFailed) as refused:
                await again.login(Login(made["key"], made["secret"]))
        assert refused.value.code == 13004


@pytest.mark.parametrize(
    ("permissions", "scopes"),
    [
        (["read"], {"account:read", "trade:read", "wallet:read"}),
        (["read", "trade"], {"account:read_write", "trade:read_write", "wallet:read"}),
        (["read", "trade", "withdraw"], {"account:read_write", "trade:read_write", "wallet:read_write"}),
    ],
)
async def test_the_scope_of_a_login_says_what_the_key_may_do(autojump_clock, permissions, scopes):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        made = change(sim.deribit, "add", key="k", secret="s", permissions=permissions)
        assert (made["key"], made["secret"]) == ("k", "s")
        granted = (await client.login(Login("k", "s")))["scope"].split()
        assert scopes <= set(granted)


async def test_permissions_that_are_taken_away_end_the_logins_they_were_given_to(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.login(sim.deribit)
        change(sim.deribit, "permissions", key=sim.deribit.client_id, permissions=["read"])
        with pytest.raises(RpcFailed):
            await client.request("private/get_positions")
        await client.login(sim.deribit)
        await client.request("private/get_positions")
        with pytest.raises(RpcFailed) as refused:
            await client.request("private/buy", instrument_name=PERP, amount=10, type="market")
        assert refused.value.code == 13021


# -- Binance


async def test_a_key_of_binance_works_from_when_it_is_made_until_it_is_revoked():
    async with api() as client:
        made = change(client.sim.binance, "add")
        second = Api(client.sim, api_key=made["key"], api_secret=made["secret"])
        assert (await second.send("GET", "/fapi/v3/account")).status_code == 200
        change(client.sim.binance, "revoke", key=made["key"])
        refused = await second.send("GET", "/fapi/v3/account")
        assert (refused.status_code, refused.json()["code"]) == (401, -2015)
        assert (await client.send("GET", "/fapi/v3/account")).status_code == 200
        await second.aclose()


async def test_a_key_that_may_only_read_places_nothing():
    async with api() as client:
        change(client.sim.binance, "permissions", key=client.api_key, permissions=["read"])
        assert (await client.send("GET", "/fapi/v3/account")).status_code == 200
        assert (await client.send("POST", "listenKey")).status_code == 200
        refused = await client.limit(client.far())
        assert (refused.status_code, refused.json()["code"], client.orders) == (401, -2015, [])


@pytest.mark.parametrize("permissions", [["read"], ["read", "trade"], ["read", "trade", "withdraw"]])
async def test_the_spot_host_says_what_a_key_may_do(permissions):
    async with api() as client:
        change(client.sim.binance, "permissions", key=client.api_key, permissions=permissions)
        reply = await client.send("GET", RESTRICTIONS)
        said = reply.json()
        assert (said["enableReading"], said["enableFutures"], said["enableWithdrawals"]) == tuple(
            name in permissions for name in ("read", "trade", "withdraw")
        )
        assert reply.headers["x-mbx-used-weight-1m"] == "1"


async def test_who_does_not_sign_is_not_told_what_a_key_may_do():
    async with api() as client:
        client.api_secret = "wrong"
        assert (await client.send("GET", RESTRICTIONS)).json()["code"] == -1022


# -- over the control endpoint


@asynccontextmanager
async def controlled():
    async with (
        open_simulator(
            SystemClock(),
            Entropy(1),
            settings=DeribitSettings.plain(),
            binance=("127.0.0.1", 0),
            binance_symbols=[SYMBOL],
        ) as sim,
        httpx.AsyncClient(base_url=sim.control_url) as http,
    ):
        yield http


async def test_keys_are_changed_over_the_control_endpoint():
    async with controlled() as http:
        for venue in ("deribit", "binance_usdm"):
            made = (await http.post("/keys", json={"venue": venue, "do": "add", "permissions": ["read"]})).json()
            assert made["permissions"] == ["read"]
            known = {"venue": venue, "key": made["key"]}
            wider = (await http.post("/keys", json={**known, "do": "permissions", "permissions": ["trade"]})).json()
            assert wider["permissions"] == ["trade"]
            revoke = {**known, "do": "revoke"}
            assert (await http.post("/keys", json=revoke)).json() == {"revoked": made["key"]}
            assert (await http.post("/keys", json=revoke)).status_code == 404
            nobody = {"venue": venue, "do": "add", "account": "nobody"}
            assert (await http.post("/keys", json=nobody)).status_code == 404
        assert (await http.post("/keys", json={**revoke, "venue": "kraken"})).status_code == 400
        assert (await http.post("/keys", json={**revoke, "do": "steal"})).status_code == 400
