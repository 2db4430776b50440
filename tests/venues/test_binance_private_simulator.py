"""A Binance account against the simulated venue over loopback sockets: two readings of one protocol agree."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
import trio

from engine.model import (
    Amend,
    Fill,
    Liquidity,
    OrderState,
    OrderType,
    Position,
    PositionSide,
    Side,
    TimeInForce,
    TriggerBy,
    reported,
)
from engine.net import Library
from engine.simulator import BinanceSettings as Simulated
from engine.simulator import faults
from engine.venues.base import (
    BadReply,
    NotAuthorised,
    OutcomeUnknown,
    RateLimited,
    Refused,
    StreamTrouble,
    Unavailable,
)
from tests.support.binance_desk import Desk, listening, trading_desk
from tests.support.deribit import Keys

D = Decimal


# ── normal orders ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_rests_is_listed_amended_found_and_cancelled() -> None:
    async with trading_desk() as desk:
        placed = await desk.place(await desk.order(post_only=True))
        assert placed.state is OrderState.OPEN
        listed = await desk.rest.open_orders()
        assert [(row.client_order_id, row.venue_order_id) for row in listed] == [
            (placed.client_order_id, placed.venue_order_id)
        ]
        price = desk.near(await desk.mark(), "0.965")
        now_ms = await desk.rest.server_time_ms()
        wanted = msgspec.structs.replace(
            placed, amend=Amend(amount=D("0.020"), price=price, valid_until_ms=now_ms + 5000)
        )
        report, _ = await desk.rest.amend(wanted, desk.btc)
        amended = reported(placed, report, now_ms=1)
        assert (amended.amount, amended.price, amended.venue_order_id) == (D("0.020"), price, placed.venue_order_id)
        found = await desk.found(placed)
        assert (found.amount, found.price, found.state) == (D("0.020"), price, OrderState.OPEN)
        ended = await desk.rest.cancel(placed, desk.btc)
        assert ended is not None
        assert ended.state is OrderState.CANCELLED
        assert await desk.rest.cancel(placed, desk.btc) is None
        assert (await desk.found(placed)).state is OrderState.CANCELLED
        assert await desk.rest.open_orders() == ()


async def test_an_order_is_cancelled_by_its_client_id() -> None:
    async with trading_desk() as desk:
        sent = await desk.order()
        await desk.rest.submit(sent, desk.btc)
        report = await desk.rest.cancel(sent, desk.btc)
        assert report is not None
        assert (report.client_order_id, report.state) == (sent.client_order_id, OrderState.CANCELLED)


async def test_a_market_order_fills_and_its_fills_say_all_of_it() -> None:
    async with trading_desk() as desk:
        since_ms = await desk.rest.server_time_ms() - 1000
        placed = await desk.place(await desk.order(order_type=OrderType.MARKET))
        assert placed.state is OrderState.FILLED
        page = await desk.rest.fills_since(since_ms)
        ours = [fill for fill in page.fills if fill.client_order_id == placed.client_order_id]
        assert page.complete
        assert sum(fill.amount for fill in ours) == D("0.010")
        assert all(fill.fee > 0 and fill.fee_currency == "USDT" for fill in ours)
        assert all(fill.liquidity is Liquidity.TAKER for fill in ours)
        found = (await desk.rest.find_order(placed, desk.btc)).report
        assert found is not None
        cost = sum(fill.amount * fill.price for fill in ours)
        assert found.average_price == pytest.approx(cost / D("0.010"), abs=D("0.0001"))
        position = next(row for row in await desk.rest.positions() if row.instrument == desk.btc.instrument_id)
        assert (position.amount, position.side) == (D("0.010"), PositionSide.NET)
        assert position.average_price == pytest.approx(cost / D("0.010"), abs=D("0.01"))
        (balance,) = await desk.rest.balances()
        assert balance.currency == "USDT"
        assert balance.balance == D(100_000) - sum(fill.fee for fill in ours)
        assert balance.initial_margin > 0


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"time_in_force": TimeInForce.IOC, "off": "0.98"}, OrderState.EXPIRED),
        ({"time_in_force": TimeInForce.IOC, "off": "1.01"}, OrderState.FILLED),
        ({"time_in_force": TimeInForce.FOK, "off": "1.01"}, OrderState.FILLED),
    ],
)
async def test_an_immediate_order_is_over_at_once(fields: dict[str, Any], state: OrderState) -> None:
    async with trading_desk() as desk:
        assert (await desk.place(await desk.order(**fields))).state is state


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"post_only": True, "off": "1.01"}, {-5022}),
        ({"reduce_only": True}, {-2022}),
        ({"amount": D("0.0015")}, {-1111, -4023}),
        ({"amount": D("100")}, {-2019}),
        ({"price": D("100000.05")}, {-1111, -4014}),
        ({"off": "1.5"}, {-4016}),
    ],
)
async def test_what_the_venue_refuses_is_refused(fields: dict[str, Any], codes: set[int]) -> None:
    async with trading_desk() as desk:
        with pytest.raises(Refused) as error:
            await desk.rest.submit(await desk.order(**fields), desk.btc)
        assert error.value.code in codes
        assert (await desk.rest.open_orders()) == ()


async def test_an_order_that_was_never_placed_is_in_no_source() -> None:
    async with trading_desk() as desk:
        for kind in (OrderType.LIMIT, OrderType.STOP_MARKET):
            order = await desk.order(Side.SELL, order_type=kind)
            assert (await desk.rest.find_order(order, desk.btc)).report is None


# ── conditional orders ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", [TriggerBy.MARK, TriggerBy.LAST])
async def test_a_stop_rests_is_listed_found_and_cancelled(by: TriggerBy) -> None:
    async with trading_desk() as desk:
        stop = await desk.place(await desk.order(Side.SELL, order_type=OrderType.STOP_MARKET, trigger_by=by))
        assert (stop.state, stop.triggered) == (OrderState.OPEN, False)
        assert [row.client_order_id for row in await desk.rest.open_orders()] == [stop.client_order_id]
        assert (await desk.found(stop)).state is OrderState.OPEN
        ended = await desk.rest.cancel(stop, desk.btc)
        assert ended is not None
        assert ended.state is OrderState.CANCELLED
        assert await desk.rest.cancel(stop, desk.btc) is None
        assert (await desk.found(stop)).state is OrderState.CANCELLED


async def test_a_stop_that_is_met_at_once_is_refused() -> None:
    async with trading_desk() as desk:
        with pytest.raises(Refused) as error:
            await desk.rest.submit(await desk.order(Side.SELL, order_type=OrderType.STOP_MARKET, off="1.03"), desk.btc)
        assert error.value.code == -2021


async def test_a_triggered_stop_is_found_filled_under_its_own_name_with_its_fills() -> None:
    async with trading_desk() as desk:
        since_ms = await desk.rest.server_time_ms() - 1000
        stop = await desk.place(await desk.order(Side.SELL, order_type=OrderType.STOP_MARKET))
        assert stop.trigger_price is not None
        desk.move(stop.trigger_price * D("0.99"))
        ended = await desk.until(lambda order: order.state.terminal, stop)
        assert (ended.state, ended.triggered) == (OrderState.FILLED, True)
        assert ended.venue_order_id != stop.venue_order_id
        page = await desk.rest.fills_since(since_ms)
        assert {(fill.client_order_id, fill.venue_order_id) for fill in page.fills} == {
            (stop.client_order_id, ended.venue_order_id)
        }
        assert await desk.rest.cancel(ended, desk.btc) is None


async def test_a_node_that_knows_nothing_finds_the_fills_of_a_stop_under_its_name() -> None:
    async with trading_desk() as desk:
        since_ms = await desk.rest.server_time_ms() - 1000
        stop = await desk.place(await desk.order(Side.SELL, order_type=OrderType.STOP_MARKET))
        assert stop.trigger_price is not None
        desk.move(stop.trigger_price * D("0.99"))
        await desk.until(lambda order: order.state.terminal, stop)
        desk.venue._memories.clear()
        fresh = desk.venue.rest("main")
        page = await fresh.fills_since(since_ms)
        assert {fill.client_order_id for fill in page.fills} == {stop.client_order_id}
        await fresh.close()


async def test_a_triggered_stop_limit_rests_under_a_new_id_and_is_cancelled_there() -> None:
    async with trading_desk() as desk:
        price = desk.near(await desk.mark(), "1.02")
        sent = await desk.order(Side.SELL, order_type=OrderType.STOP_LIMIT, off="0.98", price=price)
        stop = await desk.place(sent)
        assert stop.trigger_price is not None
        desk.move(stop.trigger_price * D("0.995"))
        resting = await desk.until(lambda order: order.triggered, stop)
        resting = await desk.until(lambda order: order.venue_order_id != stop.venue_order_id, resting)
        assert resting.state is OrderState.OPEN
        listed = await desk.rest.open_orders()
        assert {(row.client_order_id, row.venue_order_id) for row in listed} == {
            (stop.client_order_id, resting.venue_order_id)
        }
        ended = await desk.rest.cancel(resting, desk.btc)
        assert ended is not None
        assert (ended.client_order_id, ended.state) == (stop.client_order_id, OrderState.CANCELLED)


# ── what goes wrong ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.LoseReply(method="POST /fapi/v1/order", close=True), OutcomeUnknown),
        (faults.LoseReply(method="POST /fapi/v1/order"), OutcomeUnknown),
        (faults.LoseRequest(method="POST /fapi/v1/order", close=True), OutcomeUnknown),
        (faults.HttpStatus(method="POST /fapi/v1/order", status=503, execute=True), OutcomeUnknown),
        (faults.HttpStatus(method="POST /fapi/v1/order", status=504, execute=True), OutcomeUnknown),
        (faults.HttpStatus(method="POST /fapi/v1/order", status=429), RateLimited),
        (faults.HttpStatus(method="POST /fapi/v1/order", status=503, message="Service Unavailable."), Unavailable),
        (faults.GarbageFrame(method="POST /fapi/v1/order", variant="invalid_json"), BadReply),
    ],
)
async def test_an_order_that_may_have_been_placed_is_known_by_looking(fault: Any, kind: type[Exception]) -> None:
    """And one that was certainly not is in no source."""
    async with trading_desk(request_timeout_s=1.0) as desk:
        order = await desk.order()
        desk.sim.faults.add(msgspec.structs.replace(fault, count=1))
        with pytest.raises(kind):
            await desk.rest.submit(order, desk.btc)
        there = [row["client_id"] for row in desk.sim.binance.truth("main")["orders"].values()]
        if kind in (RateLimited, Unavailable):
            assert there == []
            return
        report = (await desk.rest.find_order(order, desk.btc)).report
        assert there == ([] if report is None else [order.client_order_id])


async def test_a_venue_that_hides_an_order_is_believed_only_later() -> None:
    async with trading_desk() as desk:
        desk.sim.faults.add(faults.HideOrders(hide_ms=600))
        placed = await desk.place(await desk.order())
        assert (await desk.rest.find_order(placed, desk.btc)).report is None
        await trio.sleep(0.6)
        assert (await desk.found(placed)).state is OrderState.OPEN


@pytest.mark.parametrize("offset_ms", [-3_600_000, 3_600_000])
async def test_a_venue_clock_that_is_off_does_not_lock_us_out(offset_ms: int) -> None:
    async with trading_desk(msgspec.structs.replace(Simulated.plain(), clock_offset_ms=offset_ms)) as desk:
        assert (await desk.place(await desk.order())).state is OrderState.OPEN


async def test_a_venue_clock_that_jumps_is_read_again() -> None:
    async with trading_desk() as desk:
        order = await desk.order(ttl_ms=120_000)
        desk.sim.binance.set_clock(30_000)
        assert (await desk.place(order)).state is OrderState.OPEN
        assert len(desk.sim.binance.truth("main")["orders"]) == 1


async def test_wrong_credentials_are_not_authorised() -> None:
    async with trading_desk() as desk:
        for keys in (Keys("nobody", "wrong"), Keys(desk.sim.binance.api_key, "wrong")):
            desk.venue._credentials["main"] = keys
            rest = desk.venue.rest("main")
            with pytest.raises(NotAuthorised):
                await rest.open_orders()
            await rest.close()


async def test_our_count_of_orders_is_the_venues() -> None:
    async with trading_desk(Simulated(), order_share=1.0) as desk:
        budget = desk.venue._limits.orders("main")
        minute = desk.sim.binance.now_ms() // 60_000
        for _ in range(5):
            await desk.rest.cancel(await desk.place(await desk.order()), desk.btc)
        if desk.sim.binance.now_ms() // 60_000 == minute:  # else it begins to count anew
            assert budget.credits("orders in a minute") == 1195


# ── hedge mode ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_in_hedge_mode_both_sides_are_held_and_closed() -> None:
    async with trading_desk() as desk:
        await _hedge(desk)
        market: dict[str, Any] = {"order_type": OrderType.MARKET}
        await desk.place(await desk.order(Side.BUY, **market))
        await desk.place(await desk.order(Side.SELL, amount=D("0.020"), **market))
        held = {row.side: row.amount for row in await desk.rest.positions()}
        assert held == {PositionSide.LONG: D("0.010"), PositionSide.SHORT: D("-0.020")}
        await desk.place(await desk.order(Side.SELL, reduce_only=True, **market))
        held = {row.side: row.amount for row in await desk.rest.positions() if row.amount}
        assert held == {PositionSide.SHORT: D("-0.020")}


async def _hedge(desk: Desk) -> None:
    venue = desk.sim.binance.venue
    venue.call("POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": "true"}, "main", desk.sim.binance.now_ms())


# ── the private stream ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("library", list(Library))
async def test_the_stream_tells_what_a_search_finds(library: Library) -> None:
    async with trading_desk() as desk, listening(desk, library) as ear:
        await desk.rest.balances()
        placed = await desk.place(await desk.order(order_type=OrderType.MARKET))
        await ear.until(lambda: any(row.state is OrderState.FILLED for row in ear.of(placed)[0]))
        reports, fills = ear.of(placed)
        found = (await desk.rest.find_order(placed, desk.btc)).report
        assert found is not None
        assert sum(fill.amount for fill in fills) == found.filled_amount == D("0.010")
        assert (reports[-1].average_price, reports[-1].venue_order_id) == (found.average_price, found.venue_order_id)
        page = await desk.rest.fills_since(placed.submitted_at_ms or 0)
        assert {fill.key: fill for fill in page.fills} == {fill.key: fill for fill in fills}
        told = [said for said in ear.heard if isinstance(said, Position)]
        assert told[-1].amount == D("0.010")


async def test_the_stream_tells_of_amends_and_cancels() -> None:
    async with trading_desk() as desk, listening(desk) as ear:
        placed = await desk.place(await desk.order())
        now_ms = await desk.rest.server_time_ms()
        amend = Amend(amount=D("0.015"), price=placed.price, valid_until_ms=now_ms + 5000)
        await desk.rest.amend(msgspec.structs.replace(placed, amend=amend), desk.btc)
        await desk.rest.cancel(placed, desk.btc)
        await ear.until(lambda: any(row.state is OrderState.CANCELLED for row in ear.of(placed)[0]))
        assert D("0.015") in {report.amount for report in ear.of(placed)[0]}


async def test_the_stream_tells_a_stops_whole_life_under_its_name() -> None:
    async with trading_desk() as desk, listening(desk) as ear:
        stop = await desk.place(await desk.order(Side.SELL, order_type=OrderType.STOP_MARKET))
        assert stop.trigger_price is not None
        desk.move(stop.trigger_price * D("0.99"))
        await ear.until(lambda: any(row.state is OrderState.FILLED for row in ear.of(stop)[0]))
        reports, fills = ear.of(stop)
        after = stop
        for report in reports:
            after = reported(after, report, now_ms=1)
        assert (after.state, after.triggered) == (OrderState.FILLED, True)
        assert sum(fill.amount for fill in fills) == D("0.010")
        strangers = [
            said for said in ear.heard if isinstance(said, Fill) and said.client_order_id != stop.client_order_id
        ]
        assert strangers == []


async def test_a_key_that_ends_is_told_and_a_new_connection_hears_again() -> None:
    async with trading_desk() as desk:
        async with listening(desk) as ear:
            desk.sim.faults.add(faults.EndListenKeys())
            await ear.until(lambda: any(isinstance(said, StreamTrouble) for said in ear.heard))
            with pytest.raises(Refused) as error:
                await ear.adapter.renew(desk.rest)
            assert error.value.code == -1125
        async with listening(desk) as ear:
            placed = await desk.place(await desk.order())
            await ear.until(lambda: bool(ear.of(placed)[0]))
            await ear.adapter.renew(desk.rest)


@pytest.mark.parametrize(
    "fault",
    [
        faults.Duplicate(venue="binance_usdm", channel="private/"),
        faults.Reorder(venue="binance_usdm", channel="private/", hold_s=0.05, probability=0.5),
    ],
)
async def test_events_twice_and_out_of_order_make_one_story(fault: faults.Fault) -> None:
    async with trading_desk() as desk, listening(desk) as ear:
        desk.sim.faults.add(fault)  # type: ignore[arg-type]
        for _ in range(5):
            sent = await desk.order(order_type=OrderType.MARKET)
            await desk.rest.submit(sent, desk.btc)
            await ear.until(lambda sent=sent: any(row.state is OrderState.FILLED for row in ear.of(sent)[0]))  # type: ignore[misc]
            reports, fills = ear.of(sent)
            after = sent
            for report in reports:
                after = reported(after, report, now_ms=1)
            assert after.state is OrderState.FILLED
            assert sum(fill.amount for fill in {fill.key: fill for fill in fills}.values()) <= D("0.010")
