"""Conditions from the price to the venue: one move, one order there, whoever dies on the way."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.messages import CancelOrder, MarketChanged
from engine.kernel import Entropy
from engine.model import (
    CancelState,
    Condition,
    ConditionType,
    DataClass,
    MarketState,
    Operator,
    OrderState,
    OrderType,
    Side,
    Source,
    Trail,
)
from engine.venues.base import Applied
from tests.support.adversary import HONEST, PERPETUAL
from tests.support.order_asks import place
from tests.support.order_rig import Rig, order_rig

S = OrderState
MARKET = {"order_type": OrderType.MARKET, "price": None}


def follow(rig: Rig) -> MarketState:
    """The node follows the market of the venue's instrument."""
    return rig.state.markets.setdefault(
        PERPETUAL.symbol, MarketState(PERPETUAL.instrument_id, bounds_s={DataClass.TICKER: 5.0})
    )


async def price(rig: Rig, mark: float, *, wait_s: float = 2.0) -> None:
    """The mark price moves, and there is time for what follows from it."""
    market = follow(rig)
    market.ticker.mark = mark
    market.touch(DataClass.TICKER, Source.STREAM, rig.system.clock.monotonic_s())
    rig.system.address("root/triggers").tell(MarketChanged(PERPETUAL.instrument_id, Applied.TICKER))
    await trio.sleep(wait_s)


def on_mark(operator: str, value: float) -> Condition:
    return Condition(type=ConditionType.MARK, operator=Operator(operator), value=value)


def placed(rig: Rig) -> list[str]:
    """Order ids as often as they came to the venue."""
    return [one.client_order_id.rpartition("-")[0] for one in rig.venue.truth]


async def test_a_move_of_the_price_brings_one_order_to_the_venue_once(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        await price(rig, 50_000.0)
        order_id = await place(rig, conditions=(on_mark(">=", 50_100),))
        await price(rig, 50_099.5)
        assert rig.order(order_id).state is S.WAITING
        for mark in (50_100.0, 50_200.0, 50_000.0, 50_300.0):
            await price(rig, mark)
        order = rig.order(order_id)
        assert placed(rig) == [order_id]
        assert order.state in (S.OPEN, S.FILLED)
        assert order.evidence == f"{PERPETUAL.instrument_id} mark 50100 >= 50100"
        assert order.met_at_ms is not None


async def test_what_holds_when_it_is_asked_for_leaves_at_once(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        await price(rig, 50_000.0)
        order_id = await place(rig, any_of=((on_mark("<", 1), on_mark(">", 49_000)),))
        await trio.sleep(1)
        assert placed(rig) == [order_id]


async def test_many_orders_at_one_price_all_come_to_the_venue_once(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        await price(rig, 50_000.0)
        ids = [await place(rig, price=Decimal(49_900), conditions=(on_mark("<", 49_950),)) for _ in range(40)]
        await price(rig, 49_949.5, wait_s=20.0)
        assert sorted(placed(rig)) == sorted(ids)


async def test_a_cancelled_order_is_not_brought_by_the_price(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        await price(rig, 50_000.0)
        order_id = await place(rig, conditions=(on_mark(">", 50_100),))
        await rig.orders.call(CancelOrder(order_id), timeout_s=10)
        await price(rig, 50_200.0)
        assert placed(rig) == []
        assert (rig.order(order_id).state, rig.order(order_id).cancel) == (S.CANCELLED, CancelState.NONE)


@pytest.mark.parametrize("seed", range(12))
async def test_it_comes_once_whoever_dies_whenever(tmp_path: Path, autojump_clock: object, seed: int) -> None:
    """The watcher and the queue are killed at moments drawn from the seed, before, while and after the price moves."""
    entropy = Entropy(seed)
    async with order_rig(tmp_path, seed=seed, behaviour=HONEST) as rig:

        async def kill_some() -> None:
            for _ in range(6):
                await trio.sleep(entropy.uniform(0.0, 1.5))
                rig.system.kill(entropy.choice(("root/triggers", "root/orders")))

        await price(rig, 50_000.0)
        ids = [await place(rig, good_for_s=60.0, conditions=(on_mark("crosses_above", 50_050),)) for _ in range(3)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_some)
            for step in range(8):
                await price(rig, 50_000.0 + 100 * (step % 2), wait_s=0.4)
        await trio.sleep(2)  # the last of them is back
        for step in range(6):
            await rig.sync()
            await price(rig, 50_000.0 + 100 * (step % 2), wait_s=6.0)
        assert sorted(placed(rig)) == sorted(ids)


async def test_a_trailing_stop_survives_restarts_and_leaves_when_it_is_hit(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        await price(rig, 50_000.0)
        fields: dict[str, Any] = {**MARKET, "side": Side.SELL, "trail": Trail(percent=Decimal(1))}
        order_id = await place(rig, **fields)
        await price(rig, 50_400.0)
        stored = rig.order(order_id).trailing
        assert stored is not None and stored.best == 50_400
        rig.system.kill("root/triggers")
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await rig.sync()
        await price(rig, 49_900.0)  # one percent below the best is 49,896
        assert placed(rig) == []
        await price(rig, 49_896.0)
        assert placed(rig) == [order_id]
        assert rig.order(order_id).evidence == f"{PERPETUAL.instrument_id} mark 49896 reached 49896, best 50400"


async def test_a_moment_brings_an_order_to_the_venue(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        at_ms = rig.system.clock.wall_ms() + 7_000
        time = Condition(type=ConditionType.TIME, operator=Operator.AT_LEAST, value=at_ms)
        order_id = await place(rig, conditions=(time,))
        await trio.sleep(6.8)
        assert placed(rig) == []
        await trio.sleep(1)
        assert placed(rig) == [order_id]
        assert rig.order(order_id).met_at_ms == at_ms
