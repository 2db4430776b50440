"""Sets and trails that Deribit keeps, as our client sends and reads them, against the simulated venue over real sockets."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
import trio

from engine.model import (
    Amend,
    Condition,
    ConditionType,
    ExitPolicy,
    LinkedRequest,
    LinkKind,
    Operator,
    Order,
    OrderReport,
    OrderRequest,
    OrderState,
    OrderType,
    Side,
    Snap,
    TimeInForce,
    Trail,
    TriggerFill,
    as_native,
    linked_orders,
    reported,
)
from engine.model.orders.native import sent_together
from engine.net import connect
from engine.simulator import faults
from engine.venues.base import Connected, Native, OutcomeUnknown, Refused
from tests.support.deribit import PERPETUAL, Desk, trading_desk

D = Decimal
FIRST, WHOLE, PARTS = TriggerFill.FIRST_HIT, TriggerFill.COMPLETE_FILL, TriggerFill.INCREMENTAL


async def asked(desk: Desk, off: str, side: Side = Side.SELL, **fields: Any) -> OrderRequest:
    """An order at `off` times the mark."""
    mark = D(str((await desk.rest.ticker(PERPETUAL)).mark)) * D(off)
    price = desk.perpetual.snap_price(mark, buying=True, how=Snap.NEAREST)
    kind = fields.get("order_type", OrderType.LIMIT)
    if kind is OrderType.STOP_MARKET:
        fields.setdefault("trigger_price", price)
    if kind.has_price:
        fields.setdefault("price", price)
    return OrderRequest(instrument=desk.perpetual.instrument_id, side=side, amount=D(100), **fields)


async def bracket(desk: Desk, releases_at: TriggerFill = FIRST, cancels_at: TriggerFill = FIRST, **entry: Any) -> Any:
    exits = (
        await asked(desk, "1.05", reduce_only=True),
        await asked(desk, "0.9", order_type=OrderType.STOP_MARKET, reduce_only=True),
    )
    return LinkedRequest(
        kind=LinkKind.OTOCO,
        entry=await asked(desk, entry.pop("off", "0.99"), Side.BUY, **entry),
        exits=exits,
        releases_at=releases_at,
        cancels_at=cancels_at,
    )


async def ready(desk: Desk, request: LinkedRequest) -> tuple[Order, ...]:
    """The set as the node has it when it leaves."""
    now_ms = await desk.rest.server_time_ms()
    ids = [f"abcdefgh-{number}" for number in range(1, 1 + len(request.orders))]
    orders = linked_orders(request, order_ids=ids, account="main", now_ms=now_ms, exit_failed=ExitPolicy.ALERT)
    return sent_together(as_native(orders), valid_until_ms=now_ms + 5000, now_ms=now_ms)


async def send(desk: Desk, orders: tuple[Order, ...]) -> list[Order]:
    results = await desk.rest.submit_linked(orders, [desk.perpetual] * len(orders))
    return [reported(order, report, now_ms=1) for order, (report, _) in zip(orders, results, strict=True)]


def take(desk: Desk, order: Order, amount: int = 100) -> None:
    """Somebody takes a part of the order that is live under this one's label."""
    exchange = desk.sim.deribit.venue.exchange
    (account,) = (one for one in exchange.ledger.accounts.values() if one.labelled(order.client_order_id))
    (resting,) = (row for row in account.labelled(order.client_order_id) if row.state.value == "open")
    exchange.take(resting, D(amount))
    exchange.flush()


async def found(desk: Desk, order: Order) -> OrderReport:
    report = (await desk.rest.find_order(order, desk.perpetual)).report
    assert report is not None
    return report


# ── sets ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_set_is_sent_in_one_request_and_each_order_is_open_listed_and_found_by_itself() -> None:
    async with trading_desk() as desk:
        orders = await send(desk, await ready(desk, await bracket(desk)))
        assert {order.state for order in orders} == {OrderState.OPEN}
        assert len({order.venue_order_id for order in orders} - {""}) == 3
        assert {row.client_order_id for row in await desk.rest.open_orders()} == {o.client_order_id for o in orders}
        for order in orders:
            report = await found(desk, order)
            assert (report.venue_order_id, report.state, report.amount) == (order.venue_order_id, OrderState.OPEN, 100)
            assert not report.triggered


async def test_exits_of_an_entry_that_trades_at_once_are_told_as_what_they_became() -> None:
    async with trading_desk() as desk:
        request = await bracket(desk, PARTS, WHOLE, order_type=OrderType.MARKET, time_in_force=TimeInForce.IOC)
        orders = await ready(desk, request)
        assert desk.venue.why_not_linked(orders, [desk.perpetual] * 3) == ""
        entry, profit, stop = await send(desk, orders)
        assert (entry.state, entry.filled_amount) == (OrderState.FILLED, 100)
        for order in (profit, stop):
            assert (order.state, order.amount) == (OrderState.OPEN, 100)
            assert not order.venue_order_id.startswith("OTO-")


async def test_a_placed_exit_is_found_under_its_new_id_and_cancelled_by_whoever_knows_only_the_old_one() -> None:
    async with trading_desk() as desk:
        entry, profit, stop = await send(desk, await ready(desk, await bracket(desk)))
        take(desk, entry)
        report = await found(desk, profit)
        assert report.venue_order_id != profit.venue_order_id
        assert (report.state, report.amount) == (OrderState.OPEN, 100)
        cancelled = await desk.rest.cancel(stop, desk.perpetual)
        assert cancelled is not None
        assert cancelled.state is OrderState.CANCELLED
        assert (await found(desk, profit)).reason == "oco_other_closed"


async def test_a_waiting_exit_is_cancelled_and_an_entry_takes_its_exits_with_it() -> None:
    async with trading_desk() as desk:
        entry, profit, stop = await send(desk, await ready(desk, await bracket(desk)))
        assert await desk.rest.cancel(entry, desk.perpetual) is not None
        for order in (profit, stop):
            report = await found(desk, order)
            assert (report.state, report.reason) == (OrderState.CANCELLED, "oto_primary_closed")
            assert await desk.rest.cancel(order, desk.perpetual) is None


@pytest.mark.parametrize(
    "fault", [faults.LoseReply(method="private/buy", count=1), faults.HttpStatus(status=502, count=1)]
)
async def test_after_a_lost_answer_nothing_is_known_of_any_and_each_is_found_alone(fault: faults.Fault) -> None:
    async with trading_desk(request_timeout_s=0.5) as desk:
        orders = await ready(desk, await bracket(desk))
        desk.sim.faults.add(fault)  # type: ignore[arg-type]
        with pytest.raises(OutcomeUnknown):
            await send(desk, orders)
        searches = [(await desk.rest.find_order(order, desk.perpetual)).report for order in orders]
        placed = isinstance(fault, faults.LoseReply)
        assert [report is not None for report in searches] == [placed] * 3


async def test_exits_the_venue_does_not_tell_of_are_open_all_the_same() -> None:
    async with trading_desk(request_timeout_s=0.5) as desk:
        orders = await ready(desk, await bracket(desk))
        desk.sim.faults.add(faults.LoseReply(method="private/get_open_orders_by_instrument", count=1))
        entry, profit, stop = await send(desk, orders)
        assert entry.venue_order_id
        assert [(order.state, order.venue_order_id) for order in (profit, stop)] == [(OrderState.OPEN, "")] * 2


async def test_the_private_stream_tells_each_order_of_a_set_from_its_waiting_to_its_end() -> None:
    async with trading_desk() as desk:
        orders = await ready(desk, await bracket(desk))
        entry, profit, stop = orders
        states: dict[str, Order] = {}

        def step(holds: Callable[[], bool], act: Callable[[], object]) -> None:
            if holds() and steps and steps[0] is act:
                steps.pop(0)
                act()

        fill_entry, fill_profit = (lambda: take(desk, entry)), (lambda: take(desk, profit))
        steps: list[Callable[[], object]] = [fill_entry, fill_profit]
        adapter = desk.venue.private("main")
        with trio.fail_after(10):
            async with connect(adapter.url) as connection:
                for frame in adapter.greet():
                    await connection.send(frame)
                while not _ended(states, orders):
                    events, replies = adapter.receive(await connection.receive())
                    for reply in replies:
                        await connection.send(reply)
                    if Connected() in events:
                        await send(desk, orders)
                    for event in events:
                        if isinstance(event, OrderReport):
                            name = event.client_order_id
                            known = states.get(name) or next(o for o in orders if o.client_order_id == name)
                            states[name] = reported(known, event, now_ms=1)
                    step(lambda: len(states) == 3, fill_entry)
                    step(lambda: _is(states, entry, OrderState.FILLED) and _placed(states, profit), fill_profit)
        assert (states[stop.client_order_id].state, states[stop.client_order_id].reason) == (
            OrderState.CANCELLED,
            "oco_other_closed",
        )
        assert not states[profit.client_order_id].venue_order_id.startswith("OTO-")


def _is(states: dict[str, Order], order: Order, state: OrderState) -> bool:
    known = states.get(order.client_order_id)
    return known is not None and known.state is state


def _placed(states: dict[str, Order], order: Order) -> bool:
    known = states.get(order.client_order_id)
    return known is not None and bool(known.venue_order_id) and not known.venue_order_id.startswith("OTO-")


def _ended(states: dict[str, Order], orders: tuple[Order, ...]) -> bool:
    return len(states) == len(orders) and all(order.state.terminal for order in states.values())


async def test_exits_of_an_entry_that_traded_in_part_at_once_are_placed_for_that_part_and_not_taken_for_ended() -> None:
    async with trading_desk() as desk:
        book = await desk.rest.book(PERPETUAL, 1)
        price, there = (D(str(figure)) for figure in book.asks[0])
        request = await bracket(desk, PARTS, WHOLE, time_in_force=TimeInForce.IOC, price=price)
        more = [msgspec.structs.replace(one, amount=there + 1000) for one in request.orders]
        orders = await ready(desk, msgspec.structs.replace(request, entry=more[0], exits=tuple(more[1:])))
        heard: list[OrderReport] = []
        adapter = desk.venue.private("main")
        with trio.fail_after(10):
            async with connect(adapter.url) as connection:
                for frame in adapter.greet():
                    await connection.send(frame)
                while not any(report.state is OrderState.CANCELLED for report in heard):
                    events, replies = adapter.receive(await connection.receive())
                    for reply in replies:
                        await connection.send(reply)
                    if Connected() in events:
                        entry, profit, stop = await send(desk, orders)
                    heard += [event for event in events if isinstance(event, OrderReport)]
        assert (entry.state, entry.filled_amount > 0) == (OrderState.CANCELLED, True)
        for order in (profit, stop):
            assert (order.state, order.amount) == (OrderState.OPEN, entry.filled_amount)
            told = [report.state for report in heard if report.client_order_id == order.client_order_id]
            assert set(told) == {OrderState.OPEN}


async def test_of_two_rivals_the_fill_of_one_ends_the_other() -> None:
    async with trading_desk() as desk:
        exits = (await asked(desk, "1.05"), await asked(desk, "0.9", order_type=OrderType.STOP_MARKET))
        request = LinkedRequest(kind=LinkKind.OCO, exits=exits, cancels_at=FIRST)
        profit, stop = await send(desk, await ready(desk, request))
        assert {row.client_order_id for row in await desk.rest.open_orders()} == {
            profit.client_order_id,
            stop.client_order_id,
        }
        take(desk, profit, 10)
        assert (await found(desk, stop)).reason == "oco_other_closed"
        assert (await found(desk, profit)).state is OrderState.OPEN


async def test_an_entry_may_release_several_orders_that_do_not_know_each_other() -> None:
    async with trading_desk() as desk:
        exits = tuple([await asked(desk, off, reduce_only=True) for off in ("1.04", "1.05")])
        entry = await asked(desk, "0.99", Side.BUY)
        request = LinkedRequest(kind=LinkKind.OTO, entry=entry, exits=exits, releases_at=WHOLE)
        sent, *others = await send(desk, await ready(desk, request))
        take(desk, sent, 90)
        assert all(row.venue_order_id.startswith("OTO-") for row in [await found(desk, order) for order in others])
        take(desk, sent, 10)
        assert not any(row.venue_order_id.startswith("OTO-") for row in [await found(desk, order) for order in others])


async def test_a_waiting_exit_is_amended_without_the_flags_the_venue_forbids() -> None:
    async with trading_desk() as desk:
        _, profit, _ = await send(desk, await ready(desk, await bracket(desk)))
        assert profit.price is not None
        amend = Amend(amount=D(50), price=profit.price + 10, valid_until_ms=profit.valid_until_ms or 0)
        report, _ = await desk.rest.amend(msgspec.structs.replace(profit, amend=amend), desk.perpetual)
        assert (report.amount, report.price, report.state) == (50, profit.price + 10, OrderState.OPEN)


# ── what the venue cannot do ───────────────────────────────────────────────────────────────────────────────────────────


async def test_why_a_set_is_not_for_the_venue_is_said_and_such_a_set_is_not_sent() -> None:
    async with trading_desk() as desk:
        market = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
        whole, eth = await bracket(desk), desk.instruments["ETH-PERPETUAL"]
        cases: list[tuple[LinkedRequest, str]] = [
            (await bracket(desk, PARTS, WHOLE), "placed in parts"),
            (await bracket(desk, FIRST, WHOLE), "one condition"),
            (await bracket(desk, PARTS, FIRST, **market), "one condition"),
            (msgspec.structs.replace(whole, exits=(*whole.exits, whole.exits[0])), "3 orders"),
        ]
        for request, why in cases:
            orders = await ready(desk, request)
            instruments = [desk.perpetual] * len(orders)
            assert why in desk.venue.why_not_linked(orders, instruments)
            with pytest.raises(Refused, match=why):
                await desk.rest.submit_linked(orders, instruments)
        orders = await ready(desk, whole)
        assert "one instrument" in desk.venue.why_not_linked(orders, [desk.perpetual, desk.perpetual, eth])
        assert desk.venue.why_not_linked([await desk.order()], [desk.perpetual]) == "the first order has no link"
        assert await desk.rest.open_orders() == ()
        assert desk.venue.native == frozenset(Native)


# ── trails ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def trailing(desk: Desk, **trail: Any) -> Order:
    order = await desk.order(Side.SELL, order_type=OrderType.MARKET, amount=D(50))
    return msgspec.structs.replace(order, trail=Trail(**trail), native_trail=True)


async def test_a_trailing_stop_is_followed_by_the_venue_and_found_as_what_it_became() -> None:
    async with trading_desk() as desk:
        await desk.rest.submit(await desk.order(order_type=OrderType.MARKET, amount=D(50)), desk.perpetual)
        order = await trailing(desk, distance=D(500))
        assert desk.venue.why_not_native(order, desk.perpetual) == ""
        report, fills = await desk.rest.submit(order, desk.perpetual)
        assert (report.state, report.triggered, report.price, fills) == (OrderState.OPEN, False, None, ())
        assert (await found(desk, order)).venue_order_id == report.venue_order_id
        mark = D(str((await desk.rest.ticker(PERPETUAL)).mark))
        exchange = desk.sim.deribit.venue.exchange
        for price in (mark + 1000, mark + 400):
            exchange.move_index("btc_usd", price)
            exchange.flush()
        ended = await found(desk, order)
        assert (ended.state, ended.triggered, ended.filled_amount) == (OrderState.FILLED, True, 50)
        assert ended.venue_order_id != report.venue_order_id


async def test_a_trail_may_be_the_stop_of_a_set() -> None:
    async with trading_desk() as desk:
        whole = await bracket(desk)
        stop = OrderRequest(
            instrument=desk.perpetual.instrument_id,
            side=Side.SELL,
            amount=D(100),
            order_type=OrderType.MARKET,
            reduce_only=True,
            trail=Trail(distance=D(700)),
        )
        request = msgspec.structs.replace(whole, exits=(whole.exits[0], stop))
        entry, _, trail = await send(desk, await ready(desk, request))
        take(desk, entry)
        (row,) = [row for row in await desk.rest.open_orders() if row.client_order_id == trail.client_order_id]
        assert row.order_type == "trailing_stop"


@pytest.mark.parametrize(
    ("trail", "why"),
    [
        ({"percent": D(1)}, "at a distance, not at a percentage"),
        ({"distance": D("500.3")}, "multiples of the tick"),
        ({"distance": D(500), "activation_price": D(90_000)}, "from the start"),
    ],
)
async def test_why_a_trail_is_not_for_the_venue_is_said_and_it_is_not_sent(trail: dict[str, Any], why: str) -> None:
    async with trading_desk() as desk:
        order = await trailing(desk, **trail)
        assert why in desk.venue.why_not_native(order, desk.perpetual)
        with pytest.raises(Refused, match=why):
            await desk.rest.submit(order, desk.perpetual)


async def test_an_order_with_conditions_is_followed_here() -> None:
    async with trading_desk() as desk:
        order = await trailing(desk, distance=D(500))
        condition = Condition(type=ConditionType.PRICE, operator=Operator.ABOVE, value=1)
        waiting = msgspec.structs.replace(order, conditions=(condition,))
        assert "conditions" in desk.venue.why_not_native(waiting, desk.perpetual)
        limit = msgspec.structs.replace(order, order_type=OrderType.LIMIT)
        assert "market order" in desk.venue.why_not_native(limit, desk.perpetual)
        plain = msgspec.structs.replace(order, trail=None)
        assert desk.venue.why_not_native(plain, desk.perpetual) == "it has no trail"


# ── whatever happens ───────────────────────────────────────────────────────────────────────────────────────────────────


async def anyhow(desk: Desk, dice: Random, number: int) -> tuple[Order, ...]:
    """A set of any kind the venue can do, under names of its own."""
    condition, at_once = dice.choice((FIRST, WHOLE)), dice.random() < 0.3
    if at_once:
        market = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
        request = await bracket(desk, PARTS, WHOLE, **market)
    elif dice.random() < 0.3:
        exits = (await asked(desk, "1.05"), await asked(desk, "0.9", order_type=OrderType.STOP_MARKET))
        request = LinkedRequest(kind=LinkKind.OCO, exits=exits, cancels_at=condition)
    else:
        request = await bracket(desk, condition, condition)
    orders = await ready(desk, request)
    names = {order.order_id: f"abcdefgh-{number * 10 + place}" for place, order in enumerate(orders)}
    return tuple(msgspec.structs.replace(order, order_id=names[order.order_id]) for order in orders)


def happen(desk: Desk, dice: Random, orders: tuple[Order, ...]) -> None:
    """Somebody trades with one of them, one is cancelled, or the market jumps beyond the stop or back."""
    exchange, label, what = desk.sim.deribit.venue.exchange, dice.choice(orders).client_order_id, dice.random()
    (account,) = (one for one in exchange.ledger.accounts.values() if one.labelled(label))
    market = exchange.markets[PERPETUAL]
    for row in account.labelled(label):
        if what < 0.6 and row.state.value == "open":
            exchange.take(row, min(row.remaining, D(10) * dice.randint(1, 10)))
        elif 0.6 <= what < 0.8:
            exchange.withdraw(row, "user_request")
    if what >= 0.8:
        exchange.move_index(market.instrument.index, round(market.index * D(dice.choice(("0.88", "1.1"))), 2))
    exchange.flush()


@pytest.mark.parametrize("forgetful", [False, True])
async def test_whatever_happens_to_a_set_a_search_says_of_each_order_what_is_so(forgetful: bool) -> None:
    dice = Random(5)
    async with trading_desk() as desk:
        if forgetful:
            desk.sim.deribit.venue.historical_delay_ms = 0
            desk.sim.faults.add(faults.ForgetHistory(after_ms=0))
        exchange = desk.sim.deribit.venue.exchange
        instrument, begun = exchange.markets[PERPETUAL].instrument, exchange.markets[PERPETUAL].index
        for number in range(1, 9):
            exchange.move_index(instrument.index, begun)
            exchange.flush()
            orders = await anyhow(desk, dice, number)
            await desk.rest.submit_linked(orders, [desk.perpetual] * len(orders))
            for _ in range(dice.randint(0, 4)):
                happen(desk, dice, orders)
            rows = desk.sim.truth()["orders"]
            taken = {row["trigger_order_id"] for row in rows.values()}
            for order in orders:
                mine = [row for row in rows.values() if row["label"] == order.client_order_id]
                (last,) = [row for row in mine if row["order_id"] not in taken]
                report = await found(desk, order)
                state = {"untriggered": "open"}.get(last["state"], last["state"])
                assert (report.state, report.filled_amount) == (state, last["filled_amount"])
                assert (report.venue_order_id, report.amount) == (last["order_id"], last["amount"])
            await desk.rest.cancel_everything()
