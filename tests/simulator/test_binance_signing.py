"""Whose a private call is, and whether it was signed: the venue's own vectors, and every way to get it wrong."""

import pytest

from engine.simulator import ApiKey
from engine.simulator.binance_usdm import ApiError
from engine.simulator.binance_usdm.trading import PRIVATE
from engine.simulator.wire.binance_usdm.keys import check_signature, check_time, sign
from engine.simulator.wire.http import HttpRequest
from tests.support.binance_trader import SYMBOL, api, signature

SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
ORDER = (
    "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943"
)
OF_ORDER = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
QUERY = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
BODY = "quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943"
OF_BOTH = "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"
NOW_MS = 1_790_000_000_000


def request(query="", body=""):
    return HttpRequest("POST", f"/fapi/v1/order?{query}", {}, [], body.encode())


def test_the_vectors_of_the_venue_hold():
    assert sign(SECRET, ORDER) == OF_ORDER
    assert sign(SECRET, QUERY + BODY) == OF_BOTH


@pytest.mark.parametrize(
    ("query", "body", "signed"),
    [
        (f"{ORDER}&signature={OF_ORDER}", "", OF_ORDER),
        ("", f"{ORDER}&signature={OF_ORDER}", OF_ORDER),
        (QUERY, f"{BODY}&signature={OF_BOTH}", OF_BOTH),
        (f"{QUERY}&signature={OF_BOTH}", BODY, OF_BOTH),
        (f"signature={OF_BOTH.upper()}&{QUERY}", BODY, OF_BOTH.upper()),
    ],
)
def test_query_and_body_are_signed_one_after_the_other(query, body, signed):
    check_signature(SECRET, request(query, body), signed)


@pytest.mark.parametrize("signed", [OF_BOTH, "", "ä", OF_ORDER[:-1]])
def test_any_other_signature_is_refused(signed):
    with pytest.raises(ApiError) as refused:
        check_signature(SECRET, request(ORDER), signed)
    assert (refused.value.status, refused.value.code) == (400, -1022)


@pytest.mark.parametrize(
    ("late_ms", "window", "code"),
    [
        (0, None, None),
        (5_000, None, None),
        (5_001, None, -1021),
        (60_000, "60000", None),
        (60_001, "60000", -1021),
        (0, "60001", -1131),
        (-999, None, None),
        (-1_000, None, -1021),
        (0, "x", -1100),
    ],
)
def test_a_request_must_be_of_now(late_ms, window, code):
    params = {"timestamp": str(NOW_MS - late_ms)} | ({} if window is None else {"recvWindow": window})
    if code is None:
        check_time(params, NOW_MS)
        return
    with pytest.raises(ApiError) as refused:
        check_time(params, NOW_MS)
    assert refused.value.code == code


async def test_a_signed_call_is_answered_wherever_its_params_stand():
    async with api() as client:
        assert (await client.send("GET", "/fapi/v3/balance")).status_code == 200
        placed = await client.send(
            "POST", "order", in_body=True, symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.01"
        )
        assert placed.status_code == 200
        assert [order["status"] for order in client.orders] == ["FILLED"]


async def test_of_a_param_in_query_and_body_that_of_the_query_counts():
    async with api() as client:
        query = f"symbol={SYMBOL}&side=BUY&type=MARKET&quantity=0.02&timestamp={client.sim.binance.now_ms()}"
        body = "quantity=0.01"
        signed = signature(client.api_secret, query + body)
        target = f"/fapi/v1/order?{query}&signature={signed}"
        await client.http.get(target, "POST", body=body, headers={"X-MBX-APIKEY": client.api_key})
        assert [str(order["filled"]) for order in client.orders] == ["0.02"]


async def test_every_signed_call_needs_key_signature_and_time():
    async with api() as client:
        key = {"X-MBX-APIKEY": client.api_key}
        for (method, path), call in PRIVATE.items():
            no_key = await client.http.get(path, method)
            assert (no_key.status_code, no_key.json()["code"]) == (401, -2014), path
            strange = await client.http.get(path, method, headers={"X-MBX-APIKEY": "k" * 64})
            assert (strange.status_code, strange.json()["code"]) == (401, -2015), path
            if call.signed:
                no_time = await client.http.get(path, method, headers=key)
                assert (no_time.status_code, no_time.json()["code"]) == (400, -1102), path
                now = f"timestamp={client.sim.binance.now_ms()}"
                unsigned = await client.http.get(f"{path}?{now}", method, headers=key)
                assert unsigned.json()["code"] == -1102, path
                wrong = await client.http.get(f"{path}?{now}&signature=0", method, headers=key)
                assert (wrong.status_code, wrong.json()["code"]) == (400, -1022), path
        assert client.orders == []


async def test_a_clock_that_is_off_is_refused():
    async with api() as client:
        for extra_ms in (-5_500, 2_000):
            client.extra_ms = extra_ms
            assert (await client.call("GET", "openOrders"))["code"] == -1021
        client.extra_ms = -5_500
        assert await client.call("GET", "openOrders", recvWindow=10_000) == []


async def test_public_calls_need_no_key():
    async with api() as client:
        assert (await client.http.get("/fapi/v1/time")).status_code == 200


async def test_each_key_acts_for_its_own_account():
    async with api() as client:
        binance = client.sim.binance
        binance.add_account("second", {"USDT": 5}, key=ApiKey("k2", "s2"))
        client.api_key, client.api_secret = "k2", "s2"
        assert (await client.call("GET", "/fapi/v3/balance"))[0]["balance"] == "5.00000000"
        more = binance.add_key("main")
        client.api_key, client.api_secret = more.api_key, more.api_secret
        assert (await client.call("GET", "/fapi/v3/balance"))[0]["balance"] == "100000.00000000"
