"""Answers to orders of the simulated Binance that say too little, too late or nothing, and its order limits."""

import pytest
import trio

from engine.simulator import BinanceSettings, faults
from tests.support.binance_trader import SYMBOL, api, user_socket
from tests.support.sim_client import SocketClosed
from tests.support.sim_venue import EPOCH_MS

PLACE = "POST /fapi/v1/order"
UNKNOWN = "Unknown error, please check your request or try again later."


async def no_answer(awaitable):
    with trio.move_on_after(5) as wait, pytest.raises(SocketClosed):
        await awaitable
    return True if wait.cancelled_caught else "closed"


@pytest.mark.parametrize("execute", [True, False])
async def test_a_503_does_not_say_whether_the_order_was_placed(execute):
    async with api() as client:
        client.sim.faults.add(faults.HttpStatus(method=PLACE, status=503, execute=execute, count=1))
        reply = await client.limit(client.far(), newClientOrderId="maybe")
        assert (reply.status_code, reply.json()) == (503, {"code": -1000, "msg": UNKNOWN})
        assert [order["client_id"] for order in client.orders] == (["maybe"] if execute else [])
        found = await client.call("GET", "order", symbol=SYMBOL, origClientOrderId="maybe")
        assert found.get("status", found.get("code")) == ("NEW" if execute else -2013)


async def test_a_503_may_say_that_nothing_was_done():
    async with api() as client:
        client.sim.faults.add(faults.HttpStatus(method=PLACE, message="Service Unavailable.", count=1))
        assert (await client.limit(client.far())).json()["msg"] == "Service Unavailable."
        client.sim.faults.add(faults.Maintenance(venue="binance_usdm", duration_s=1))
        reply = await client.limit(client.far())
        assert (reply.status_code, reply.json()) == (503, {"code": -1001, "msg": "Service Unavailable."})
        assert client.orders == []


@pytest.mark.parametrize(
    ("code", "status"), [(-1007, 408), (-1006, 503), (-1008, 503), (-1003, 429), (-2019, 400), (-1021, 400)]
)
@pytest.mark.parametrize("execute", [True, False])
async def test_an_injected_code_comes_with_its_status_after_or_without_the_order(code, status, execute):
    async with api() as client:
        client.sim.faults.add(faults.RpcFault(method=PLACE, code=code, execute=execute, count=1))
        reply = await client.limit(client.far())
        assert (reply.status_code, reply.json()["code"]) == (status, code)
        assert len(client.orders) == execute


async def test_a_fault_can_be_for_one_verb_of_a_path():
    async with api() as client:
        client.sim.faults.add(faults.RpcFault(method="DELETE /fapi/v1/order", code=-2011))
        placed = (await client.limit(client.far())).json()
        chosen = {"symbol": SYMBOL, "orderId": placed["orderId"]}
        assert (await client.call("DELETE", "order", **chosen))["code"] == -2011
        assert (await client.call("GET", "order", **chosen))["status"] == "NEW"


@pytest.mark.parametrize(("kind", "placed"), [(faults.LoseReply, 1), (faults.LoseRequest, 0)])
@pytest.mark.parametrize("close", [True, False])
async def test_a_lost_request_was_never_there_and_a_lost_reply_was_for_an_order(autojump_clock, kind, placed, close):
    async with api() as client:
        client.sim.faults.add(kind(method=PLACE, close=close, count=1))
        assert await no_answer(client.limit(client.far())) == ("closed" if close else True)
        assert len(client.orders) == placed


async def test_an_answer_may_come_late(autojump_clock):
    async with api() as client:
        client.sim.faults.add(faults.Delay(method=PLACE, delay_s=3, count=1))
        start_s = trio.current_time()
        assert (await client.limit(client.far())).status_code == 200
        assert trio.current_time() - start_s == pytest.approx(3, abs=0.1)


async def test_a_new_order_may_be_denied_for_minutes(autojump_clock):
    async with api() as client:
        client.sim.faults.add(faults.HideOrders(venue="binance_usdm", hide_ms=20_000))
        placed = (await client.limit(client.far())).json()
        chosen = {"symbol": SYMBOL, "orderId": placed["orderId"]}
        for path in ("order", "openOrder"):
            assert (await client.call("GET", path, **chosen))["code"] == -2013
        assert await client.call("GET", "openOrders") == []
        assert await client.call("GET", "allOrders", symbol=SYMBOL) == []
        await trio.sleep(21)
        assert (await client.call("GET", "order", **chosen))["status"] == "NEW"


async def test_a_conditional_order_may_be_denied_as_well():
    async with api() as client:
        client.sim.faults.add(faults.HideOrders(venue="binance_usdm", hide_ms=20_000))
        params = {"algoType": "CONDITIONAL", "symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET"}
        placed = await client.call("POST", "algoOrder", **params, quantity="0.01", triggerPrice=client.far())
        assert (await client.call("GET", "algoOrder", algoId=placed["algoId"]))["code"] == -2013
        assert await client.call("GET", "openAlgoOrders") == []
        client.sim.faults.lift_all()
        assert len(await client.call("GET", "openAlgoOrders")) == 1


async def test_what_was_cancelled_may_be_forgotten_at_once(autojump_clock):
    async with api() as client:
        client.sim.faults.add(faults.ForgetHistory(venue="binance_usdm", after_ms=1_000))
        placed = (await client.limit(client.far())).json()
        chosen = {"symbol": SYMBOL, "orderId": placed["orderId"]}
        await client.call("DELETE", "order", **chosen)
        assert (await client.call("GET", "order", **chosen))["status"] == "CANCELED"
        await trio.sleep(2)
        assert (await client.call("GET", "order", **chosen))["code"] == -2013
        client.sim.faults.lift_all()
        assert (await client.call("GET", "order", **chosen))["status"] == "CANCELED"


async def test_fills_may_be_told_late(autojump_clock):
    async with api() as client:
        client.sim.faults.add(faults.LateFills(venue="binance_usdm", delay_ms=5_000))
        assert client.sim.binance.venue.trading.late_fill_ms == 5_000
        client.sim.faults.lift_all()
        assert client.sim.binance.venue.trading.late_fill_ms == 0


async def test_every_event_may_come_twice_or_late(autojump_clock):
    async with api() as client:
        key = (await client.call("POST", "listenKey"))["listenKey"]
        async with user_socket(client, f"ws/{key}") as socket:
            client.sim.faults.add(faults.Duplicate(channel="ORDER_TRADE_UPDATE"))
            await client.limit(client.far())
            assert [message["o"]["x"] for message in await socket.heard()] == ["NEW", "NEW"]


# -- limits


async def test_orders_are_counted_for_ten_seconds_and_a_minute(autojump_clock):
    async with api(BinanceSettings(clock_offset_ms=-EPOCH_MS % 60_000)) as client:
        first = await client.limit(client.far())
        second = await client.limit(client.far())
        counts = [
            (reply.headers["x-mbx-order-count-10s"], reply.headers["x-mbx-order-count-1m"]) for reply in (first, second)
        ]
        assert counts == [("1", "1"), ("2", "2")]
        await trio.sleep(10.1)
        third = await client.limit(client.far())
        assert (third.headers["x-mbx-order-count-10s"], third.headers["x-mbx-order-count-1m"]) == ("1", "3")
        assert first.headers["x-mbx-used-weight-1m"] == "0"
        looked = await client.send("GET", "openOrders")
        assert "x-mbx-order-count-10s" not in looked.headers
        assert looked.headers["x-mbx-used-weight-1m"] == "40"


async def test_a_batch_counts_five_in_ten_seconds_and_one_in_a_minute():
    async with api() as client:
        reply = await client.send("POST", "batchOrders", batchOrders="[{}]")
        assert (reply.headers["x-mbx-order-count-10s"], reply.headers["x-mbx-order-count-1m"]) == ("5", "1")
        assert reply.headers["x-mbx-used-weight-1m"] == "5"
        assert reply.json()[0]["code"] == -1102


async def test_too_many_orders_are_refused_until_the_span_is_over_and_then_lead_to_a_ban(autojump_clock):
    async with api(
        BinanceSettings(orders_per_10_seconds=3, ban_after_refusals=2, clock_offset_ms=-EPOCH_MS % 10_000)
    ) as client:
        replies = [await client.limit(client.far()) for _ in range(5)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
        assert replies[-1].json()["code"] == -1015
        assert int(replies[-1].headers["retry-after"]) == 10
        assert len(client.orders) == 3
        assert (await client.send("GET", "openOrders")).status_code == 200
        await trio.sleep(10)
        assert (await client.limit(client.far())).status_code == 200
        replies = [await client.limit(client.far()) for _ in range(5)]
        assert replies[-1].status_code == 418


async def test_each_account_has_its_own_order_limit():
    async with api(BinanceSettings(orders_per_minute=1)) as client:
        assert (await client.limit(client.far())).status_code == 200
        assert (await client.limit(client.far())).status_code == 429
        second = client.sim.binance.add_account("second", {"USDT": 1_000})
        client.api_key, client.api_secret = second.api_key, second.api_secret
        assert (await client.limit(client.far())).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "params", "weight"),
    [
        ("GET", "openOrders", {"symbol": SYMBOL}, 1),
        ("GET", "openOrders", {}, 40),
        ("GET", "allOrders", {"symbol": SYMBOL}, 5),
        ("GET", "/fapi/v3/account", {}, 5),
        ("GET", "income", {}, 30),
        ("GET", "forceOrders", {}, 50),
        ("POST", "countdownCancelAll", {"symbol": SYMBOL, "countdownTime": 0}, 10),
        ("POST", "listenKey", {}, 1),
    ],
)
async def test_calls_cost_what_they_cost(method, path, params, weight):
    async with api() as client:
        reply = await client.send(method, path, **params)
        assert (reply.status_code, reply.headers["x-mbx-used-weight-1m"]) == (200, str(weight))


async def test_spent_weight_stops_private_calls_too():
    async with api(BinanceSettings(weight_per_minute=50)) as client:
        assert (await client.send("GET", "openOrders")).status_code == 200
        reply = await client.send("GET", "openOrders")
        assert (reply.status_code, reply.json()["code"]) == (429, -1003)
