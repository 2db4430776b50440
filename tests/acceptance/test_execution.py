"""Plans and routes in a whole node, at both simulated venues, over real sockets and files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import trio

from actors.messages import Execute, GetOrdersStatus, GetPlan, Planned
from actors.node import NodeSettings
from actors.routing import RoutedOrder, RouteSettings, submit_by_route
from engine.model import (
    ExecutionRequest,
    ExecutionStyle,
    OnEnd,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Plan,
    PlanState,
    Progressive,
    Side,
    Twap,
)
from engine.store import verify
from tests.support.binance_node import trading
from tests.support.live_node import LiveNode, live_node, section, simulator

D = Decimal
ROUTE = RouteSettings(instruments=("deribit:BTC-PERPETUAL", "binance:BTCUSDT"), taker_fees={"binance": D("0.0005")})
PLACES = [("deribit:BTC-PERPETUAL", D(100)), ("binance:BTCUSDT", D("0.012"))]


@asynccontextmanager
async def both(directory: Path) -> AsyncIterator[LiveNode]:
    """A node with an account at each venue, and a route over both."""
    async with simulator(binance=("127.0.0.1", 0)) as sim:
        settings = NodeSettings(
            default_venue="deribit",
            venues={"deribit": section(sim), "binance": trading(sim)},
            routes={"btc": ROUTE},
        )
        async with live_node(directory, settings) as live:
            await live.until_live()
            for account in live.node.parts.accounts():
                with trio.fail_after(30):
                    while not (await account.orders.call(GetOrdersStatus(), timeout_s=5.0)).synced:
                        await trio.sleep(0.1)
            yield live


async def worked(live: LiveNode, request: ExecutionRequest) -> Plan:
    """The plan once it is over."""
    account = live.node.parts.account_for(request.order.instrument)
    assert account is not None
    answer = await account.execution.call(Execute(request), timeout_s=10.0)
    assert isinstance(answer, Planned), answer
    store = live.node.parts.store

    def over() -> bool:
        plan = store.plan(answer.plan_id)
        return plan is not None and plan.state.terminal

    await live.until(over, 30.0, lambda: store.plan(answer.plan_id))
    status = await account.execution.call(GetPlan(answer.plan_id), timeout_s=10.0)
    assert status is not None
    return status.plan


def children(live: LiveNode, plan: Plan) -> list[Order]:
    """In the order they were placed."""
    orders = [order for _, order in live.node.parts.store.table("orders").iterate() if order.plan == plan.plan_id]
    return sorted(orders, key=lambda order: int(order.request_key.rpartition("/")[2]))


async def progressive(live: LiveNode, instrument: str, amount: Decimal) -> None:
    """Rests far away, and after its steps takes what is left."""
    order = OrderRequest(instrument=instrument, side=Side.BUY, amount=amount, order_type=OrderType.MARKET)
    parameters = Progressive(distance_ticks=200, step_s=0.4, step_ticks=2, max_steps=3, on_end=OnEnd.CROSS)
    plan = await worked(live, ExecutionRequest(order=order, style=ExecutionStyle.PROGRESSIVE, progressive=parameters))
    assert (plan.state, plan.worked.amount) == (PlanState.DONE, amount), plan.reason
    prices = [rest.price for rest in plan.rests]
    assert prices == sorted(set(prices)), "it only moves towards the market"
    assert sum(one.filled_amount for one in children(live, plan)) == amount
    if plan.worked.taken:
        assert (len(plan.rests), children(live, plan)[-1].order_type) == (4, OrderType.MARKET)


async def twap(live: LiveNode, instrument: str, amount: Decimal) -> None:
    order = OrderRequest(instrument=instrument, side=Side.SELL, amount=amount, order_type=OrderType.MARKET)
    parameters = Twap(duration_s=3.0, interval_s=0.75, jitter=0.2)
    plan = await worked(live, ExecutionRequest(order=order, style=ExecutionStyle.TWAP, twap=parameters))
    assert (plan.state, plan.worked.amount, plan.worked.taken) == (PlanState.DONE, amount, amount), plan.reason
    assert sum(one.filled_amount for one in children(live, plan)) == amount


async def test_plans_are_worked_to_their_end_at_both_venues_at_once(tmp_path: Path) -> None:
    async with both(tmp_path) as live, trio.open_nursery() as nursery:
        for instrument, amount in PLACES:
            nursery.start_soon(progressive, live, instrument, amount)
            nursery.start_soon(twap, live, instrument, amount)


async def test_an_order_goes_to_one_venue_of_its_route_and_the_store_can_be_replayed(tmp_path: Path) -> None:
    async with both(tmp_path) as live:
        parts = live.node.parts
        request = OrderRequest(
            instrument="", side=Side.BUY, amount=D("0.02"), order_type=OrderType.MARKET, request_key="once"
        )
        placed = await submit_by_route(parts, "btc", request)
        assert isinstance(placed, RoutedOrder), placed
        best, other = placed.considered
        assert best.net_price is not None
        assert other.net_price is not None
        assert (best.instrument, best.net_price <= other.net_price) == (placed.instrument, True)
        order = await live.until_state(placed.order_id, OrderState.FILLED)
        linear = order.instrument == "binance:BTCUSDT"
        assert order.amount == D("0.02") if linear else abs(order.amount / best.net_price - D("0.02")) < D("0.0005")
        again = await submit_by_route(parts, "btc", msgspec.structs.replace(request, amount=D("0.05")))
        assert isinstance(again, RoutedOrder)
        assert again.order_id == placed.order_id
        store = parts.store.path
    assert verify(store).problems == ()
