"""Trailing stops whose price the venue follows: sent as they are, watched by nobody here, and followed here where it cannot."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.messages import CancelOrder, Unsynced
from actors.orders import NativeLinks, OrdersSettings
from engine.model import OrderState, OrderType, Side, Trail, TriggerBy
from tests.support.adversary import HONEST, Behaviour
from tests.support.binance_node import NAME, binance_node, node_at
from tests.support.live_node import simulator
from tests.support.order_asks import place
from tests.support.order_rig import order_rig

D = Decimal
S = OrderState
TRAIL = Trail(percent=D(2))
STOP: dict[str, Any] = {"side": Side.SELL, "order_type": OrderType.MARKET, "price": None, "reduce_only": True}


# ── the queue ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_trail_that_the_venue_can_follow_leaves_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.venue.trails = True
        order_id = await place(rig, trail=TRAIL, **STOP)
        await trio.sleep(1.0)
        order = rig.order(order_id)
        assert (order.state, order.native_trail, order.conditional, order.met_at_ms) == (S.OPEN, True, False, None)
        rig.venue.fill(rig.venue.truth[0])
        await rig.sync()
        assert (rig.order(order_id).state, rig.order(order_id).triggered) == (S.FILLED, True)


@pytest.mark.parametrize(
    ("trails", "native", "keeps"), [(False, True, "auto"), (True, False, "auto"), (True, True, "never")]
)
async def test_it_is_followed_here_where_the_venue_cannot_or_is_not_to(
    tmp_path: Path, autojump_clock: MockClock, trails: bool, native: bool, keeps: str
) -> None:
    settings = OrdersSettings(native_links=NativeLinks(keeps))
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        rig.venue.trails = trails
        order_id = await place(rig, trail=TRAIL, native=native, **STOP)
        await trio.sleep(1.0)
        assert (rig.order(order_id).state, rig.order(order_id).native_trail) == (S.WAITING, False)
        assert rig.venue.truth == []


async def test_a_trail_that_the_venue_cannot_follow_any_more_when_it_leaves_is_followed_here(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.venue.trails = True
        rig.orders.tell(Unsynced("a test"))
        order_id = await place(rig, trail=TRAIL, **STOP)
        rig.venue.trails = False
        await rig.sync()
        await trio.sleep(1.0)
        assert (rig.order(order_id).state, rig.order(order_id).native_trail) == (S.WAITING, False)
        assert rig.venue.truth == []


async def test_a_stop_that_the_venue_refuses_to_follow_is_followed_here(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(refuse_for_good=1.0, fill=0.0)) as rig:
        rig.venue.trails = True
        order_id = await place(rig, trail=TRAIL, **STOP)
        await trio.sleep(30.0)
        order = rig.order(order_id)
        assert (order.state, order.native_trail, order.conditional, order.attempt) == (S.WAITING, False, True, 1)
        assert [notice.kind for notice in rig.notices()] == ["link.kept_here"]


async def test_a_killed_queue_sends_it_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.venue.trails = True
        order_id = await place(rig, trail=TRAIL, **STOP)
        rig.system.kill("root/orders")
        await rig.until_over(200.0)
        assert rig.order(order_id).state is S.OPEN
        assert len(rig.venue.truth) == 1


async def test_a_resting_trail_is_not_taken_for_an_order_that_rests_too_long(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.venue.trails = True
        order_id = await place(rig, trail=TRAIL, **STOP | {"reduce_only": False})
        for _ in range(8):
            await trio.sleep(1000.0)
            await rig.sync()
        assert rig.order(order_id).state is S.OPEN


# ── Binance USD-M ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_binance_follows_the_price_while_the_node_is_away(tmp_path: Path) -> None:
    async with simulator(binance=("127.0.0.1", 0), binance_symbols=["BTCUSDT"]) as sim:
        async with node_at(sim, tmp_path) as node:
            bought = await node.submit(order_type=OrderType.MARKET, price=None)
            await node.until_state(bought, S.FILLED)
            stop = await node.submit(trail=TRAIL, **STOP)
            await node.until_state(stop, S.OPEN)
            assert node.order(stop).native_trail
            high, low = node.at("1.03"), node.at("1.00")
        for price in (high, low):
            exchange = sim.binance.venue.exchange
            exchange.move_index("BTCUSDT", price)
            exchange.flush()
        async with node_at(sim, tmp_path) as node:
            order = await node.until_state(stop, S.FILLED)
            assert order.triggered
            await node.until(node.agrees, node.differences)


async def test_binance_follows_from_an_activation_price_and_ends_it_when_it_is_cancelled(tmp_path: Path) -> None:
    async with binance_node(tmp_path) as node:
        activated = Trail(by=TriggerBy.LAST, percent=D("0.5"), activation_price=node.at("1.05"))
        stop = await node.submit(trail=activated, **STOP)
        await node.until_state(stop, S.OPEN)
        assert node.order(stop).native_trail
        await node.account.orders.call(CancelOrder(stop), timeout_s=5.0)
        await node.until_state(stop, S.CANCELLED)


async def test_what_binance_cannot_follow_is_followed_here(tmp_path: Path) -> None:
    async with binance_node(tmp_path) as node:
        for trail in (Trail(distance=D(100)), Trail(percent=D(11)), Trail(by=TriggerBy.INDEX, percent=D(1))):
            stop = await node.submit(trail=trail, **STOP)
            await trio.sleep(0.2)
            assert (node.order(stop).state, node.order(stop).native_trail) == (S.WAITING, False), NAME
