"""Fills that streams do not tell, and fills that queries deny, at both venues."""

from decimal import Decimal
from typing import Any

import msgspec
import trio

from engine.simulator.acts import AnyAct
from engine.simulator.orders import Side
from engine.simulator.wire import faults
from tests.support.binance_trader import SYMBOL, api, user_socket
from tests.support.sim_client import sim_client
from tests.support.sim_deribit import PERP
from tests.support.sim_venue import sim_in_memory

CHANGES = "user.changes.any.any.raw"
LOT = {"deribit": Decimal(10), "binance_usdm": Decimal("0.010")}
NAMES = {"deribit": PERP, "binance_usdm": SYMBOL}


def act(sim: Any, venue: str, do: str, **fields: Any) -> dict[str, Any]:
    place = sim.deribit if venue == "deribit" else sim.binance
    done: dict[str, Any] = place.act(msgspec.convert({"venue": venue, "do": do, **fields}, AnyAct))
    return done


def resting(sim: Any, venue: str, lots: int = 4) -> dict[str, Any]:
    """A bid one per cent below the market."""
    place = sim.deribit if venue == "deribit" else sim.binance
    best = place.venue.exchange.markets[NAMES[venue]].book.best_price(Side.BUY)
    price = (best * Decimal("0.99")).quantize(Decimal(1))
    order = {"symbol": NAMES[venue], "side": "buy", "amount": LOT[venue] * lots, "price": price}
    (placed,) = act(sim, venue, "order", **order)["orders"]
    return placed


async def private_path(client: Any) -> str:
    return f"ws/{(await client.call('POST', 'listenKey'))['listenKey']}"


async def pause() -> None:
    """Long enough for a time of the venue to be another one."""
    await trio.sleep(0.01)


# -- lost on the way


async def test_a_lost_fill_is_told_on_no_channel_of_deribit_and_the_next_one_is(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.login(sim.deribit)
        await client.request(
            "private/subscribe", channels=[CHANGES, "user.trades.any.any.raw", "user.orders.any.any.raw"]
        )
        sim.faults.add(faults.LoseFills(venue="deribit", count=1))
        order = resting(sim, "deribit")
        assert (await client.data(CHANGES))["orders"][0]["order_state"] == "open"
        (lost,) = act(sim, "deribit", "fill", order_id=order["order_id"], amount=LOT["deribit"])["trades"]
        (told,) = act(sim, "deribit", "fill", order_id=order["order_id"], amount=LOT["deribit"])["trades"]
        data = await client.data(CHANGES)
        assert [trade["trade_id"] for trade in data["trades"]] == [told["trade_id"]]
        assert data["orders"][0]["filled_amount"] == 2 * LOT["deribit"]
        listed = await client.request("private/get_user_trades_by_currency", currency="BTC")
        assert {trade["trade_id"] for trade in listed["trades"]} == {lost["trade_id"], told["trade_id"]}
        assert (sim.faults.struck["lose_fills"], sim.faults.active()) == (1, [])


async def test_no_event_of_binance_tells_of_a_lost_fill_and_of_the_next_one_they_do(autojump_clock):
    async with api() as client, user_socket(client, await private_path(client)) as socket:
        sim = client.sim
        sim.faults.add(faults.LoseFills(venue="binance_usdm", channel=SYMBOL, count=1))
        order = resting(sim, "binance_usdm")
        assert [event["e"] for event in await socket.heard()] == ["ORDER_TRADE_UPDATE"]
        (lost,) = act(sim, "binance_usdm", "fill", order_id=order["order_id"], amount=LOT["binance_usdm"])["trades"]
        assert await socket.heard() == []
        (told,) = act(sim, "binance_usdm", "fill", order_id=order["order_id"])["trades"]
        events = await socket.heard()
        assert [event["e"] for event in events] == ["TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]
        assert (events[0]["t"], events[2]["o"]["X"]) == (int(told["trade_id"]), "FILLED")
        listed = await client.call("GET", "userTrades", symbol=SYMBOL)
        assert {row["id"] for row in listed} == {int(lost["trade_id"]), int(told["trade_id"])}


# -- denied by queries


async def test_hidden_fills_of_deribit_are_listed_when_the_fault_is_lifted_and_older_ones_all_the_time(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.login(sim.deribit)

        async def listed() -> set[str]:
            by_currency = await client.request("private/get_user_trades_by_currency", currency="BTC", count=100)
            by_order = await client.request("private/get_user_trades_by_order", order_id=order["order_id"])
            ids = {trade["trade_id"] for trade in by_currency["trades"]}
            assert ids == {trade["trade_id"] for trade in by_order}
            return ids

        order = resting(sim, "deribit")
        (old,) = act(sim, "deribit", "fill", order_id=order["order_id"], amount=LOT["deribit"])["trades"]
        await pause()
        fault = sim.faults.add(faults.HideFills(venue="deribit"))
        (new,) = act(sim, "deribit", "fill", order_id=order["order_id"], amount=LOT["deribit"])["trades"]
        assert await listed() == {old["trade_id"]}
        state = await client.request("private/get_order_state", order_id=order["order_id"])
        assert state["filled_amount"] == 2 * LOT["deribit"]
        sim.faults.lift(fault)
        assert await listed() == {old["trade_id"], new["trade_id"]}


async def test_hidden_fills_of_binance_are_listed_when_the_fault_is_lifted_and_older_ones_all_the_time(autojump_clock):
    async with api() as client:
        sim = client.sim

        async def listed() -> set[str]:
            return {str(row["id"]) for row in await client.call("GET", "userTrades", symbol=SYMBOL)}

        order = resting(sim, "binance_usdm")
        (old,) = act(sim, "binance_usdm", "fill", order_id=order["order_id"], amount=LOT["binance_usdm"])["trades"]
        await pause()
        fault = sim.faults.add(faults.HideFills(venue="binance_usdm"))
        (new,) = act(sim, "binance_usdm", "fill", order_id=order["order_id"])["trades"]
        assert await listed() == {old["trade_id"]}
        assert (await client.call("GET", "order", symbol=SYMBOL, orderId=order["order_id"]))["status"] == "FILLED"
        sim.faults.lift(fault)
        assert await listed() == {old["trade_id"], new["trade_id"]}
