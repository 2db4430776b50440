"""The private stream of the simulated Binance: its key, where it is heard, and in which order things are told."""

import pytest
import trio

from engine.simulator import BinanceSettings, faults
from tests.support.binance_trader import SYMBOL, Trader, api, user_socket


async def key_of(client):
    return (await client.call("POST", "listenKey"))["listenKey"]


async def kinds(socket):
    return [message["e"] for message in await socket.heard()]


# -- the order of events


@pytest.fixture
def trader() -> Trader:
    return Trader()


def test_a_takers_fill_comes_before_its_order(trader):
    trader.market("BUY")
    told = trader.told()
    assert [event["e"] for event in told] == [
        "TRADE_LITE",
        "ORDER_TRADE_UPDATE",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE",
    ]
    assert [event["o"]["x"] for event in told if "o" in event] == ["NEW", "TRADE"]
    assert len({event["T"] for event in told}) == 1
    assert told[0]["t"] == told[-1]["o"]["t"]


def test_a_makers_fill_comes_without_the_new_order(trader):
    row = trader.limit("BUY", trader.inside)
    assert trader.order_states() == [("NEW", "NEW")]
    trader.hit("SELL")
    told = trader.told()
    assert [event["e"] for event in told] == ["TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]
    assert (told[-1]["o"]["X"], told[-1]["o"]["m"], told[-1]["o"]["i"]) == ("FILLED", True, row["orderId"])


def test_each_fill_is_told_with_the_order_as_it_was_then(trader):
    trader.market("BUY", "2")
    fills = [event["o"] for event in trader.told("ORDER_TRADE_UPDATE")][1:]
    assert len(fills) > 1
    assert [fill["X"] for fill in fills] == ["PARTIALLY_FILLED"] * (len(fills) - 1) + ["FILLED"]
    filled = [float(fill["z"]) for fill in fills]
    assert filled == sorted(filled)
    assert filled[-1] == 2
    assert filled[0] == float(fills[0]["l"])


def test_what_merely_rests_or_is_cancelled_changes_no_account(trader):
    row = trader.limit("BUY", trader.at("0.98"))
    trader.call("DELETE", "order", symbol=SYMBOL, orderId=row["orderId"])
    assert [event["e"] for event in trader.events] == ["ORDER_TRADE_UPDATE"] * 2
    assert trader.order_states() == [("NEW", "NEW"), ("CANCELED", "CANCELED")]


def test_a_change_is_told_as_one(trader):
    row = trader.limit("BUY", trader.at("0.98"))
    trader.call("PUT", "order", symbol=SYMBOL, side="BUY", orderId=row["orderId"], quantity="0.02", price=row["price"])
    told = [event["o"] for event in trader.told("ORDER_TRADE_UPDATE")]
    assert [(event["x"], event["X"], event["q"]) for event in told] == [
        ("NEW", "NEW", "0.010"),
        ("AMENDMENT", "NEW", "0.020"),
    ]


@pytest.mark.parametrize(
    ("params", "told", "reason"),
    [
        ({"timeInForce": "IOC"}, ("EXPIRED", "EXPIRED"), "2"),
        ({"timeInForce": "GTC"}, None, None),
    ],
)
def test_an_expiry_has_its_reason(trader, params, told, reason):
    trader.limit("BUY", trader.at("0.98"), **params)
    last = trader.told("ORDER_TRADE_UPDATE")[-1]["o"]
    if told is None:
        assert last["x"] == "NEW"
    else:
        assert ((last["x"], last["X"]), last["er"]) == (told, reason)


def test_own_orders_that_meet_expire_with_their_reason(trader):
    price = trader.inside
    trader.limit("BUY", price)
    trader.limit("SELL", price)
    told = [event["o"] for event in trader.told("ORDER_TRADE_UPDATE")]
    assert [(event["x"], event["X"], event["er"]) for event in told if event["er"] != "0"] == [
        ("EXPIRED", "EXPIRED_IN_MATCH", "1")
    ]


def test_nobody_who_has_no_key_is_told_anything():
    trader = Trader(listening=False)
    trader.market("BUY")
    assert trader.events == []


def test_late_fills_are_told_and_listed_late_and_the_order_is_right_at_once(trader):
    trader.side.late_fill_ms = 2_000
    row = trader.limit("BUY", trader.inside)
    trader.told()
    trader.hit("SELL")
    assert trader.told() == []
    assert trader.get(row)["status"] == "FILLED"
    assert trader.call("GET", "userTrades", symbol=SYMBOL) == []
    trader.run(1.9)
    assert trader.told() == []
    trader.run(0.2)
    assert [event["e"] for event in trader.told()] == ["TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]
    assert len(trader.call("GET", "userTrades", symbol=SYMBOL)) == 1


# -- the key


async def test_one_account_has_one_key_at_a_time():
    async with api() as client:
        key = await key_of(client)
        assert len(key) == 64
        assert await key_of(client) == key
        assert await client.call("PUT", "listenKey") == {"listenKey": key}
        assert await client.call("DELETE", "listenKey") == {}
        refused = await client.send("PUT", "listenKey")
        assert (refused.status_code, refused.json()["code"]) == (400, -1125)
        assert await key_of(client) != key


async def test_a_key_needs_no_signature():
    async with api() as client:
        reply = await client.http.get("/fapi/v1/listenKey", "POST", headers={"X-MBX-APIKEY": client.api_key})
        assert reply.status_code == 200


async def test_a_key_ends_after_its_hour_unless_it_is_extended(autojump_clock):
    async with api(BinanceSettings(listen_key_s=3)) as client:
        key = await key_of(client)
        async with user_socket(client, f"ws/{key}") as socket:
            for _ in range(3):
                await trio.sleep(2)
                assert (await client.send("PUT", "listenKey")).status_code == 200
            assert await kinds(socket) == []
            await trio.sleep(3.1)
            (ended,) = await socket.heard()
            assert (ended["e"], ended["listenKey"], type(ended["E"])) == ("listenKeyExpired", key, int)
            await client.limit(client.far())
            assert await socket.heard() == []
            assert (await client.call("PUT", "listenKey"))["code"] == -1125
            assert await key_of(client) != key


async def test_keys_can_be_ended_on_command():
    async with api() as client:
        key = await key_of(client)
        async with user_socket(client, f"ws/{key}") as socket:
            client.sim.faults.add(faults.EndListenKeys(venue="binance_usdm"))
            assert await kinds(socket) == ["listenKeyExpired"]
            assert (await client.call("PUT", "listenKey"))["code"] == -1125


async def test_a_closed_key_is_silent():
    async with api() as client:
        key = await key_of(client)
        async with user_socket(client, f"ws/{key}") as socket:
            await client.call("DELETE", "listenKey")
            await client.limit(client.far())
            assert await socket.heard() == []


# -- the socket


@pytest.mark.parametrize("path", ["ws/{key}", "ws?listenKey={key}"])
async def test_a_raw_socket_hears_events_as_they_are(path):
    async with api() as client:
        key = await key_of(client)
        async with user_socket(client, path.format(key=key)) as socket:
            await client.limit(client.far())
            (told,) = await socket.heard()
            assert (told["e"], told["o"]["x"]) == ("ORDER_TRADE_UPDATE", "NEW")


@pytest.mark.parametrize("path", ["stream?listenKey={key}", "stream?streams={key}"])
async def test_a_combined_socket_wraps_them_with_the_key(path):
    async with api() as client:
        key = await key_of(client)
        async with user_socket(client, path.format(key=key)) as socket:
            await client.limit(client.far())
            (told,) = await socket.heard()
            assert (told["stream"], told["data"]["e"]) == (key, "ORDER_TRADE_UPDATE")


async def test_a_socket_may_ask_for_some_events_of_each_key():
    async with api() as client:
        key = await key_of(client)
        query = f"listenKey={key}&events=TRADE_LITE/ACCOUNT_UPDATE&listenKey=strange"
        async with user_socket(client, f"ws?{query}") as socket:
            await client.send("POST", "order", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.01")
            assert await kinds(socket) == ["TRADE_LITE", "ACCOUNT_UPDATE"]


async def test_a_key_may_be_subscribed_to_and_left():
    async with api() as client:
        key = await key_of(client)
        async with user_socket(client, "ws") as socket:
            await socket.subscribe(key)
            await client.limit(client.far())
            assert await kinds(socket) == ["ORDER_TRADE_UPDATE"]
            await socket.command("UNSUBSCRIBE", [key])
            await client.limit(client.far())
            assert await socket.heard() == []


async def test_a_key_nobody_has_is_silent_and_so_are_other_routes():
    async with api() as client:
        key = await key_of(client)
        async with user_socket(client, "ws/nobody") as strange, user_socket(client, f"/public/ws/{key}") as other:
            await client.limit(client.far())
            assert await strange.heard() == []
            assert await other.heard() == []


async def test_a_private_socket_lives_for_a_day(autojump_clock):
    async with api() as client, user_socket(client, f"ws/{await key_of(client)}") as socket:
        client.sim.faults.add(faults.DayCut(channel="private/"))
        assert await socket.closed() == 1001


async def test_events_are_lost_and_silenced_by_their_kind():
    async with api() as client:
        key = await key_of(client)
        async with user_socket(client, f"ws/{key}") as socket:
            client.sim.faults.add(faults.LoseFrames(channel="TRADE_LITE", count=1))
            silence = client.sim.faults.add(faults.Silence(channel="private/ACCOUNT_UPDATE"))
            await client.send("POST", "order", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.01")
            assert await kinds(socket) == ["ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE"]
            client.sim.faults.lift(silence)
            await client.send("POST", "order", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.01")
            assert (await kinds(socket))[0] == "TRADE_LITE"


async def test_what_is_told_is_counted():
    async with api() as client:
        key = await key_of(client)
        async with user_socket(client, f"ws/{key}"):
            await client.limit(client.far())
            stats = client.sim.binance.stats()
            assert (stats["listen_keys"], stats["user_messages"]) == (1, 1)
        await trio.sleep(0.05)
        assert client.sim.binance.stats()["listen_keys"] == 0
