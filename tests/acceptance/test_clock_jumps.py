"""The wall clock jumps while orders are live: what waits, is in flight or rests is judged by time that does not."""

from functools import partial
from pathlib import Path

import pytest
import trio

from actors.messages import CancelOrder
from engine.kernel import SystemClock
from engine.model import OrderState
from engine.simulator import Simulator, faults
from tests.support.live_node import SYMBOLS, LiveNode, live_node, settings, simulator, with_maker

HOUR_S = 3600.0
LIVE = {"live": len(SYMBOLS), "polling": 0, "stale": 0}


async def watch_feeds(live: LiveNode, seen: list[tuple[int, int]]) -> None:
    """Note every moment at which a feed does not stream fresh data."""
    while True:
        feeds = live.status().feeds
        if (feeds.live, feeds.stale) != (len(SYMBOLS), 0):
            seen.append((feeds.live, feeds.stale))
        await trio.sleep(0.05)


async def lose_an_order(live: LiveNode, sim: Simulator, key: str, *, silent_s: float = 1.0) -> tuple[str, int]:
    """An order the venue took and whose answer was lost; nobody finds it until the returned fault is lifted, nor hears of it
    for `silent_s`.
    """
    blind = sim.faults.add(faults.HttpStatus(status=503, method="private/get_order"))
    sim.faults.add(faults.HttpStatus(status=503, method="private/get_open_orders_by_label"))
    sim.faults.add(faults.LoseReply(method="private/buy", count=1, close=True))
    sim.faults.add(faults.Silence(channel="user.changes", duration_s=silent_s))
    order_id = await live.place(key, share="0.96")
    await live.until_state(order_id, OrderState.UNKNOWN)
    return order_id, blind


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
async def test_a_jump_ends_no_order_and_ages_no_data(tmp_path: Path, jump_s: float) -> None:
    clock = SystemClock()
    stale: list[tuple[int, int]] = []
    async with simulator() as sim, live_node(tmp_path, settings(sim), clock=clock) as live:
        await live.until_live()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_feeds, live, stale)
            resting = await live.place("resting", share="0.95")
            await live.until_state(resting, OrderState.OPEN)
            lost, _ = await lose_an_order(live, sim, "lost", silent_s=30.0)
            waiting = await live.place("waiting", share="0.97")  # behind the lost one, good for a minute
            short = await live.place("short", share="0.97", good_for_s=0.8)
            clock.jump(jump_s)
            await live.until_state(short, OrderState.EXPIRED, limit_s=3.0)  # by its own time, not by the wall's
            assert live.order(waiting).state is OrderState.WAITING
            assert live.order(resting).state is OrderState.OPEN
            sim.faults.lift_all()
            for order_id in (lost, waiting):
                order = await live.until_state(order_id, OrderState.OPEN)
                assert order.attempt == 1
            clock.jump(-jump_s)
            await live.until_state(await live.place("filled"), OrderState.FILLED)
            assert await live.ask(CancelOrder(resting))
            await live.until_state(resting, OrderState.CANCELLED)
            nursery.cancel_scope.cancel()
        assert stale == []
        assert sum(node.restarts for node in live.node.system.tree().walk()) == 0
        await live.wind_up()
        assert live.judge(sim) == {}


async def test_an_order_that_vanished_is_missed_though_the_clock_was_put_back(tmp_path: Path) -> None:
    """Its last change is then in the future, and the pass that lacks it must be believed all the same."""
    clock = SystemClock()
    async with simulator() as sim, live_node(tmp_path, settings(sim), clock=clock) as live:
        await live.until_live()
        order_id = await live.place("resting", share="0.95")
        order = await live.until_state(order_id, OrderState.OPEN)
        clock.jump(-HOUR_S)
        sim.faults.add(faults.Silence(channel="user."))
        exchange = sim.deribit.venue.exchange
        (held,) = [
            account.orders[order.venue_order_id]
            for account in exchange.ledger.accounts.values()
            if order.venue_order_id in account.orders
        ]
        exchange.cancel(held)
        await live.until_state(order_id, OrderState.CANCELLED)


async def test_jumps_while_trading_lose_and_double_nothing(tmp_path: Path) -> None:
    clock = SystemClock()
    async with simulator() as sim, live_node(tmp_path, with_maker(settings(sim)), clock=clock) as live:
        await live.until_live()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(live.trade, pause_s=0.05))
            for jump_s in (HOUR_S, -2 * HOUR_S, 2 * HOUR_S, -HOUR_S, 0.5, -0.5):
                await trio.sleep(0.4)
                clock.jump(jump_s)
            await trio.sleep(0.4)
            nursery.cancel_scope.cancel()
        assert live.status().feeds.live == len(SYMBOLS)
        await live.wind_up()
        assert live.judge(sim) == {}
        expired = [entry for entry in live.node.parts.store.journal() if entry.kind == "order.expired"]
        assert expired == []
