"""Trails that Binance USD-M follows, as our client sends and reads them, against the simulated venue over loopback."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.model import (
    Condition,
    ConditionType,
    Fill,
    Operator,
    Order,
    OrderState,
    OrderType,
    Side,
    Trail,
    TriggerBy,
)
from engine.simulator import faults
from engine.venues.base import Native, OutcomeUnknown, Refused
from tests.support.binance_desk import Desk, listening, trading_desk

D = Decimal


async def trailing(desk: Desk, side: Side = Side.SELL, **trail: Any) -> Order:
    order = await desk.order(side, order_type=OrderType.MARKET)
    return msgspec.structs.replace(order, trail=Trail(**trail), native_trail=True)


@pytest.mark.parametrize("by", [TriggerBy.MARK, TriggerBy.LAST])
async def test_a_trail_rests_is_listed_found_and_cancelled_by_its_own_name(by: TriggerBy) -> None:
    async with trading_desk() as desk:
        order = await trailing(desk, by=by, percent=D("1.5"))
        assert desk.venue.why_not_native(order, desk.btc) == ""
        placed = await desk.place(order)
        assert (placed.state, placed.triggered) == (OrderState.OPEN, False)
        assert [row.client_order_id for row in await desk.rest.open_orders()] == [placed.client_order_id]
        assert (await desk.found(order)).venue_order_id == placed.venue_order_id
        ended = await desk.rest.cancel(order, desk.btc)
        assert ended is not None
        assert ended.state is OrderState.CANCELLED
        assert await desk.rest.cancel(order, desk.btc) is None
        assert (await desk.found(order)).state is OrderState.CANCELLED


async def test_a_lost_answer_leaves_a_trail_that_is_found_by_its_name() -> None:
    async with trading_desk(request_timeout_s=0.5) as desk:
        order = await trailing(desk, percent=D(2))
        desk.sim.faults.add(faults.LoseReply(method="POST /fapi/v1/algoOrder", count=1))
        with pytest.raises(OutcomeUnknown):
            await desk.rest.submit(order, desk.btc)
        assert (await desk.found(order)).state is OrderState.OPEN


async def test_a_trail_follows_the_best_price_and_ends_filled_under_its_own_name() -> None:
    async with trading_desk() as desk, listening(desk) as ear:
        mark = await desk.mark()
        placed = await desk.place(await trailing(desk, percent=D(2)))
        desk.move(mark * D("1.05"))
        desk.move(mark * D("1.03"))  # less than two per cent under the best
        assert (await desk.found(placed)).state is OrderState.OPEN
        desk.move(mark * D("1.02"))
        await ear.until(lambda: any(row.state is OrderState.FILLED for row in ear.of(placed)[0]))
        ended = await desk.found(placed)
        assert (ended.state, ended.triggered, ended.filled_amount) == (OrderState.FILLED, True, D("0.010"))
        assert ended.venue_order_id != placed.venue_order_id
        assert sum(fill.amount for fill in ear.of(placed)[1]) == D("0.010")
        strangers = [said for said in ear.heard if isinstance(said, Fill) and said.order_id != placed.order_id]
        assert strangers == []


async def test_a_trail_begins_where_it_is_told_to() -> None:
    async with trading_desk() as desk:
        mark = await desk.mark()
        start = desk.near(mark, "1.05")
        placed = await desk.place(await trailing(desk, percent=D(1), activation_price=start))
        desk.move(mark * D("0.95"))
        assert (await desk.found(placed)).state is OrderState.OPEN
        desk.move(mark * D("1.06"))
        desk.move(mark * D("1.04"))
        ended = await desk.until(lambda order: order.state.terminal, placed)
        assert ended.state is OrderState.FILLED


async def test_a_trail_whose_start_is_passed_already_is_refused() -> None:
    async with trading_desk() as desk:
        start = desk.near(await desk.mark(), "0.95")
        with pytest.raises(Refused) as refused:
            await desk.place(await trailing(desk, percent=D(1), activation_price=start))
        assert refused.value.code == -2021


async def test_a_trail_that_was_followed_here_leaves_as_the_plain_order_it_is() -> None:
    async with trading_desk() as desk:
        order = msgspec.structs.replace(await trailing(desk, distance=D(100)), native_trail=False, met_at_ms=1)
        assert (await desk.place(order)).state is OrderState.FILLED


@pytest.mark.parametrize(
    ("trail", "why"),
    [
        ({"distance": D(100)}, "at a percentage, not at a distance"),
        ({"percent": D("0.05")}, "0.1 to 10"),
        ({"percent": D("10.1")}, "0.1 to 10"),
        ({"percent": D("1.25")}, "in tenths"),
        ({"percent": D(1), "by": TriggerBy.INDEX}, "not index"),
        ({"percent": D(1), "activation_price": D("50000.03")}, "the tick"),
    ],
)
async def test_why_a_trail_is_not_for_the_venue_is_said_and_it_is_not_sent(trail: dict[str, Any], why: str) -> None:
    async with trading_desk() as desk:
        order = await trailing(desk, **trail)
        assert why in desk.venue.why_not_native(order, desk.btc)
        with pytest.raises(Refused, match=why):
            await desk.rest.submit(order, desk.btc)
        assert await desk.rest.open_orders() == ()


async def test_what_else_the_venue_does_not_do() -> None:
    async with trading_desk() as desk:
        order = await trailing(desk, percent=D(1))
        condition = Condition(type=ConditionType.PRICE, operator=Operator.ABOVE, value=1)
        reasons = {
            "conditions": msgspec.structs.replace(order, conditions=(condition,)),
            "market order": msgspec.structs.replace(order, order_type=OrderType.LIMIT),
            "no trail": msgspec.structs.replace(order, trail=None),
        }
        for why, other in reasons.items():
            assert why in desk.venue.why_not_native(other, desk.btc)
        assert desk.venue.native == {Native.TRAIL}
        assert desk.venue.why_not_linked((order,), (desk.btc,)) == "this venue links no orders"
        with pytest.raises(Refused):
            await desk.rest.submit_linked((order,), (desk.btc,))
