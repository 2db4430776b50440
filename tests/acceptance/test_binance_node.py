"""A whole node trades at the simulated Binance USD-M: what it believes is what the venue has, whatever happens between them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.model import CancelState, OrderState, OrderType, PositionSide, Side, TriggerBy
from engine.simulator import faults
from tests.support.binance_node import SYMBOL, accounts, binance_node, node_at
from tests.support.live_node import simulator

D = Decimal


async def test_an_order_rests_is_changed_and_is_cancelled(tmp_path: Path) -> None:
    async with binance_node(tmp_path) as node:
        order_id = await node.submit()
        await node.until_state(order_id, OrderState.OPEN)
        (row,) = node.placed(order_id)
        assert (row["status"], row["quantity"], row["price"]) == ("NEW", D("0.010"), node.order(order_id).price)
        price = node.at("0.96")
        await node.amend(order_id, amount=D("0.020"), price=price)
        await node.until(lambda: (node.order(order_id).amount, node.order(order_id).price) == (D("0.020"), price))
        (row,) = node.placed(order_id)
        assert (row["status"], row["quantity"], row["price"]) == ("NEW", D("0.020"), price)
        await node.cancel(order_id)
        await node.until_state(order_id, OrderState.CANCELLED)
        assert [row["status"] for row in node.placed(order_id)] == ["CANCELED"]


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("notional", {"amount": D("0.001"), "factor": "0.0004"}),
        ("amount", {"amount": D(500), "order_type": OrderType.MARKET}),
        ("price", {"factor": "1.2"}),
    ],
)
async def test_what_the_venue_is_known_to_refuse_is_not_asked_for(
    tmp_path: Path, field: str, wanted: dict[str, Any]
) -> None:
    async with binance_node(tmp_path) as node:
        await node.until(lambda: node.mark is not None)
        factor = wanted.pop("factor", None)
        refusal = await node.ask_for(**wanted, price=node.at(factor) if factor else None)
        assert (refusal.code, refusal.field) == ("VENUE_RULE", field)
        assert node.truth["orders"] == {}


async def test_fills_positions_and_balances_are_the_venues(tmp_path: Path) -> None:
    async with binance_node(tmp_path) as node:
        taken = await node.submit(order_type=OrderType.MARKET, amount=D("0.030"))
        rests = await node.submit(price=node.inside)
        await node.until_state(taken, OrderState.FILLED)
        await node.until_state(rests, OrderState.OPEN, OrderState.FILLED)
        await node.fill(rests)
        filled = await node.until_state(rests, OrderState.FILLED)
        assert filled.average_price is not None and filled.price is not None
        assert filled.average_price <= filled.price
        await node.until(node.agrees, node.differences)
        fills = [fill for _, fill in node.live.node.parts.store.table("fills").iterate()]
        assert {fill.order_id for fill in fills} == {taken, rests}
        assert all(fill.fee > 0 and fill.fee_currency == "USDT" for fill in fills)


async def test_in_hedge_mode_an_order_opens_its_own_side_and_what_reduces_closes_the_other(tmp_path: Path) -> None:
    async with binance_node(tmp_path) as node:
        node.hedge()
        for side, amount, reduce_only in (
            (Side.BUY, D("0.030"), False),
            (Side.SELL, D("0.020"), False),
            (Side.SELL, D("0.010"), True),
            (Side.BUY, D("0.005"), True),
        ):
            order = {"order_type": OrderType.MARKET, "side": side, "amount": amount, "reduce_only": reduce_only}
            await node.until_state(await node.submit(**order), OrderState.FILLED)
        assert node.truth["positions"] == {"BTCUSDT#LONG": D("0.020"), "BTCUSDT#SHORT": D("-0.015")}
        held = {PositionSide.LONG: D("0.020"), PositionSide.SHORT: D("-0.015")}
        await node.until(lambda: node.held() == held, node.held)


@pytest.mark.parametrize("kind", [OrderType.STOP_MARKET, OrderType.STOP_LIMIT])
async def test_a_stop_lives_under_one_id_and_is_filled_when_it_is_triggered(tmp_path: Path, kind: OrderType) -> None:
    async with binance_node(tmp_path) as node:
        trigger = node.at("0.985")
        price = node.at("0.96") if kind.has_price else None
        stop: dict[str, Any] = {"side": Side.SELL, "order_type": kind, "price": price, "trigger_price": trigger}
        fired = await node.submit(**stop, trigger_by=TriggerBy.MARK)
        dropped = await node.submit(**{**stop, "trigger_price": node.at("0.5")}, trigger_by=TriggerBy.LAST)
        for order_id in (fired, dropped):
            await node.until_state(order_id, OrderState.OPEN)
        assert node.truth["orders"] == {}, "a condition is no order yet"
        await node.cancel(dropped)
        await node.until_state(dropped, OrderState.CANCELLED)
        node.move(node.at("0.97"))
        await node.until(lambda: node.order(fired).filled_amount > 0, lambda: node.order(fired))
        assert node.order(fired).triggered
        await node.until(node.agrees, node.differences)
        assert {algo["status"] for algo in node.truth["algos"].values()} == {"FINISHED", "CANCELED"}


@pytest.mark.parametrize(
    "fault",
    [
        faults.EndListenKeys(),
        faults.DayCut(channel="private/"),
        faults.Drop(channel="private/", reset=True),
        faults.HalfOpen(channel="private/", sockets_only=True, duration_s=4.0),
    ],
)
async def test_the_end_of_the_private_stream_closes_the_gate_until_the_account_is_in_step_again(
    tmp_path: Path, fault: faults.AnyFault
) -> None:
    async with binance_node(tmp_path) as node:
        rests = await node.submit(price=node.inside)
        await node.until_state(rests, OrderState.OPEN, OrderState.FILLED)
        before = len(node.live.log)
        node.sim.faults.add(fault)
        await node.fill(rests)
        await node.until(lambda: any("private stream down" in line for line in node.live.log[before:]))
        waits = await node.submit(price=node.at("0.97"))
        assert any("orders wait" in line for line in node.live.log[before:]), "the gate is closed"
        await node.until_state(rests, OrderState.FILLED)
        await node.until_state(waits, OrderState.OPEN, OrderState.FILLED)
        await node.until(node.agrees, node.differences)


async def test_a_node_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    async with simulator(binance=("127.0.0.1", 0), binance_symbols=[SYMBOL]) as sim:
        async with node_at(sim, tmp_path) as node:
            rests, filled = [await node.submit(price=price) for price in (node.at("0.9"), node.inside)]
            stop = await node.submit(
                side=Side.SELL,
                order_type=OrderType.STOP_MARKET,
                trigger_price=node.at("0.96"),
                trigger_by=TriggerBy.MARK,
            )
            for order_id in (rests, filled, stop):
                await node.until_state(order_id, OrderState.OPEN, OrderState.FILLED)
            sim.faults.add(faults.LoseReply(method="POST /fapi/v1/order", count=1))
            lost = await node.submit(price=node.at("0.94"))
            await node.until(lambda: node.placed(lost))
            node.live.node.abandon()
        await node.fill(filled)
        node.move(node.at("0.95"))
        async with node_at(sim, tmp_path) as again:
            for order_id, state in ((filled, OrderState.FILLED), (stop, OrderState.FILLED), (lost, OrderState.OPEN)):
                await again.until_state(order_id, state)
            await again.cancel(rests)
            await again.until_state(rests, OrderState.CANCELLED)
            await again.until(again.agrees, again.differences)
            assert len(again.placed(lost)) == 1
            assert again.order(stop).triggered


async def test_an_order_that_never_came_is_not_sent_again_by_itself(tmp_path: Path) -> None:
    async with binance_node(tmp_path) as node:
        node.sim.faults.add(faults.LoseRequest(method="POST /fapi/v1/order", close=True, count=1))
        order_id = await node.submit()
        await node.until(lambda: any("never placed" in line or "review" in line for line in node.live.log))
        assert node.placed(order_id) == []
        assert node.order(order_id).attempt == 1
        await node.cancel(order_id)
        ended = await node.until_state(order_id, OrderState.CANCELLED)
        assert ended.cancel is CancelState.NONE


async def test_everything_is_cancelled_by_one_word_of_the_venue(tmp_path: Path) -> None:
    async with binance_node(tmp_path) as node:
        rests = [await node.submit(price=node.at(factor)) for factor in ("0.95", "0.96")]
        stop = await node.submit(
            side=Side.SELL, order_type=OrderType.STOP_MARKET, trigger_price=node.at("0.9"), trigger_by=TriggerBy.MARK
        )
        for order_id in (*rests, stop):
            await node.until_state(order_id, OrderState.OPEN)
        await node.ask_venue(lambda rest: rest.cancel_everything())
        for order_id in (*rests, stop):
            await node.until_state(order_id, OrderState.CANCELLED)
        assert await node.ask_venue(lambda rest: rest.open_orders()) == ()


async def test_the_venue_cancels_the_orders_of_a_node_that_is_gone_and_of_no_other(tmp_path: Path) -> None:
    async with simulator(binance=("127.0.0.1", 0), binance_symbols=[SYMBOL]) as sim:
        async with node_at(sim, tmp_path, accounts=accounts(sim, countdown_cancel_s=3.0)) as node:
            order_id = await node.submit()
            await node.until_state(order_id, OrderState.OPEN)
            await trio.sleep(3.5)
            assert node.order(order_id).state is OrderState.OPEN
            node.live.node.abandon()
        with trio.move_on_after(20.0):
            while node.placed(order_id)[0]["status"] == "NEW":
                await trio.sleep(0.05)
        assert [row["status"] for row in node.placed(order_id)] == ["CANCELED"]
