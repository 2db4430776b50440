"""The whole client against the simulated venue over real sockets: an independent reading of the same protocol."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import trio

from engine.model import (
    INTERVAL_MS,
    Amend,
    DataClass,
    Fill,
    MarketState,
    Order,
    OrderReport,
    OrderState,
    OrderType,
    Side,
)
from engine.net import Library, WebSocketError, connect
from engine.simulator import DeribitSettings as Simulated
from engine.simulator import faults
from engine.venues.base import (
    Applied,
    BadReply,
    Connected,
    NotAuthorised,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)
from tests.support.deribit import PERPETUAL, Desk, Keys, trading_desk

D = Decimal


# ── market data ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_market_data_over_rest() -> None:
    async with trading_desk() as desk:
        book = await desk.rest.book(PERPETUAL, 7)
        assert len(book.bids) == 10
        assert book.bids[0][0] < book.asks[0][0]
        ticker = await desk.rest.ticker(PERPETUAL)
        assert ticker.bid is not None
        assert ticker.mark == pytest.approx(ticker.bid, rel=0.01)
        trades = await desk.rest.trades(PERPETUAL, 20)
        assert [row.trade_seq for row in trades] == sorted(row.trade_seq for row in trades)
        now_ms = await desk.rest.server_time_ms()
        for interval, step_ms in INTERVAL_MS.items():
            rows = await desk.rest.bars(PERPETUAL, interval, now_ms - 6 * step_ms, now_ms)
            assert set((rows[1:, 0] - rows[:-1, 0]).tolist()) <= {step_ms}
            assert (rows[:, 0] % step_ms == 0).all()
            assert len(rows) >= 2


async def _follow(
    desk: Desk, state: MarketState, seconds: float, library: Library, started: trio.Event
) -> list[Applied]:
    stream, feed = desk.venue.stream("", desk.venue.routes[""]), desk.venue.feed(PERPETUAL, "")
    seen: list[Applied] = []
    async with connect(stream.url, library=library) as connection:
        for frame in (*stream.greet(), *stream.subscribe([PERPETUAL], list(state.bars))):
            await connection.send(frame)
        with trio.move_on_after(seconds):
            while True:
                for frame in await connection.receive_many():
                    if stream.route(frame) is None:
                        for reply in stream.control(frame).replies:
                            await connection.send(reply)
                        continue
                    applied = feed.apply(frame, state, trio.current_time())
                    seen.append(applied)
                    if applied & Applied.SNAPSHOT:
                        started.set()
                    if applied & Applied.GAP:
                        for request in stream.resnapshot(PERPETUAL):
                            await connection.send(request)
    return seen


def _market() -> MarketState:
    return MarketState(f"deribit:{PERPETUAL}", bounds_s=dict.fromkeys(DataClass, 5.0), intervals=("1m",))


@pytest.mark.parametrize("library", list(Library))
async def test_the_streamed_book_is_the_venues_book(library: Library) -> None:
    async with trading_desk(Simulated()) as desk:  # with exponents and unknown fields
        state = _market()
        seen = await _follow(desk, state, 1.2, library, trio.Event())
        assert Applied.BOOK | Applied.SNAPSHOT in seen
        assert not any(applied & Applied.GAP for applied in seen)
        assert Applied.TICKER in seen
        book = await desk.rest.book(PERPETUAL, 1000)
        ours = {*state.book.bids(), *state.book.asks()}
        theirs = {*book.bids, *book.asks}
        assert len(ours & theirs) > 0.8 * len(theirs)  # it moved on meanwhile


async def test_a_skipped_change_is_noticed_and_only_the_book_asked_for_again() -> None:
    async with trading_desk() as desk, trio.open_nursery() as nursery:
        state, started = _market(), trio.Event()
        seen: list[Applied] = []

        async def follow() -> None:
            seen.extend(await _follow(desk, state, 2.0, Library.WEBSOCKETS, started))

        nursery.start_soon(follow)
        await started.wait()
        desk.sim.faults.add(faults.SkipSequence(instrument=PERPETUAL, count=1))
    assert state.book.gaps == 1
    assert state.book.ready
    assert seen.count(Applied.BOOK | Applied.SNAPSHOT) == 2


# ── orders ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_rests_is_found_is_amended_and_cancelled() -> None:
    async with trading_desk() as desk:
        order, instrument = await desk.order(), desk.perpetual
        report, fills = await desk.rest.submit(order, instrument)
        assert (report.state, report.client_order_id, fills) == (OrderState.OPEN, order.client_order_id, ())
        assert await desk.rest.open_orders() == (report,)
        assert (await desk.rest.find_order(order, instrument)).report == report

        order = msgspec.structs.replace(order, venue_order_id=report.venue_order_id)
        assert order.price is not None
        amend = Amend(amount=D(30), price=order.price - 1, valid_until_ms=order.valid_until_ms or 0)
        amended, _ = await desk.rest.amend(msgspec.structs.replace(order, amend=amend), instrument)
        assert (amended.venue_order_id, amended.amount, amended.price) == (
            report.venue_order_id,
            D(30),
            order.price - 1,
        )

        cancelled = await desk.rest.cancel(order, instrument)
        assert cancelled is not None
        assert (cancelled.state, cancelled.reason) == (OrderState.CANCELLED, "user_request")
        assert await desk.rest.cancel(order, instrument) is None
        assert (await desk.rest.find_order(order, instrument)).report == cancelled


async def test_an_order_without_a_venue_id_is_cancelled_by_label() -> None:
    async with trading_desk() as desk:
        order = await desk.order()
        assert await desk.rest.cancel(order, desk.perpetual) is None
        await desk.rest.submit(order, desk.perpetual)
        cancelled = await desk.rest.cancel(order, desk.perpetual)
        assert cancelled is not None
        assert cancelled.state is OrderState.CANCELLED


async def test_a_market_order_brings_fills_a_position_and_a_fee() -> None:
    async with trading_desk() as desk:
        since_ms = await desk.rest.server_time_ms()
        order = await desk.order(order_type=OrderType.MARKET, amount=D(50))
        report, fills = await desk.rest.submit(order, desk.perpetual)
        assert (report.state, report.filled_amount, report.price) == (OrderState.FILLED, D(50), None)
        assert sum(fill.amount for fill in fills) == D(50)
        assert all(fill.order_id == order.order_id and fill.fee > 0 for fill in fills)
        page = await desk.rest.fills_since(since_ms)
        assert page.complete
        assert {fill.key for fill in page.fills} == {fill.key for fill in fills}
        (position,) = [row for row in await desk.rest.positions() if row.amount]
        assert (position.amount, position.currency) == (D(50), "BTC")
        assert {row.currency for row in await desk.rest.balances()} >= {"BTC", "ETH", "USDC"}


async def test_a_stop_waits_untriggered_and_can_be_cancelled() -> None:
    async with trading_desk() as desk:
        order = await desk.order(Side.SELL, order_type=OrderType.STOP_MARKET, trigger_price=D(1000))
        report, _ = await desk.rest.submit(order, desk.perpetual)
        assert (report.state, report.price, report.triggered) == (OrderState.OPEN, None, False)
        assert (await desk.rest.find_order(order, desk.perpetual)).report is not None
        cancelled = await desk.rest.cancel(
            msgspec.structs.replace(order, venue_order_id=report.venue_order_id), desk.perpetual
        )
        assert cancelled is not None
        assert cancelled.state is OrderState.CANCELLED


async def test_a_sweep_takes_every_kind_of_order_and_none_of_another_instrument() -> None:
    async with trading_desk() as desk:
        for order in (
            await desk.order(),
            await desk.order(),
            await desk.order(Side.SELL, order_type=OrderType.STOP_MARKET, trigger_price=D(1000)),
        ):
            await desk.rest.submit(order, desk.perpetual)
        await desk.rest.cancel_everything("ETH-PERPETUAL")
        assert len(await desk.rest.open_orders()) == 3
        await desk.rest.cancel_everything(PERPETUAL)
        assert await desk.rest.open_orders() == ()
        await desk.rest.submit(await desk.order(), desk.perpetual)
        await desk.rest.cancel_everything()
        assert await desk.rest.open_orders() == ()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"price": D("50000.3")}, 10043),
        ({"amount": D(17)}, 10021),
        ({"price": D(1_000_000)}, 10007),
        ({"off": "1.005", "post_only": True}, 11054),
    ],
)
async def test_a_refusal_is_final_and_carries_the_venues_code(fields: dict[str, Any], code: int) -> None:
    async with trading_desk() as desk:
        order = await desk.order(**fields)
        with pytest.raises(Refused) as refused:
            await desk.rest.submit(order, desk.perpetual)
        assert refused.value.code == code
        assert not (await desk.rest.open_orders())


async def test_an_order_that_came_too_late_was_not_started_and_may_be_sent_anew() -> None:
    async with trading_desk() as desk:
        order = await desk.order(ttl_ms=-60_000)
        with pytest.raises(Unavailable) as late:
            await desk.rest.submit(order, desk.perpetual)
        assert late.value.code == 13888
        assert not (await desk.rest.open_orders())


async def test_a_lost_reply_is_unknown_and_the_order_is_found_by_label() -> None:
    async with trading_desk(request_timeout_s=0.5) as desk:
        order = await desk.order()
        desk.sim.faults.add(faults.LoseReply(method="private/buy", count=1))
        with pytest.raises(OutcomeUnknown):
            await desk.rest.submit(order, desk.perpetual)
        search = await desk.rest.find_order(order, desk.perpetual)
        assert search.report is not None
        assert search.report.state is OrderState.OPEN


async def test_an_order_that_was_never_sent_is_in_no_source() -> None:
    async with trading_desk() as desk:
        order = await desk.order()
        assert (await desk.rest.find_order(order, desk.perpetual)).report is None


async def test_a_closed_order_the_recent_store_forgot_is_found_in_the_archive() -> None:
    async with trading_desk() as desk:
        order = await desk.order()
        await desk.rest.submit(order, desk.perpetual)
        await desk.rest.cancel(order, desk.perpetual)
        desk.sim.faults.add(faults.ForgetHistory(after_ms=1))

        async def found() -> Order | OrderReport | None:
            return (await desk.rest.find_order(order, desk.perpetual)).report

        with trio.fail_after(15):
            while (report := await found()) is None:
                await trio.sleep(0.2)
        assert isinstance(report, OrderReport)
        assert report.state is OrderState.CANCELLED


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.Maintenance(), Unavailable),
        (faults.HttpStatus(status=503), OutcomeUnknown),
        (faults.HttpStatus(status=429), RateLimited),
        (faults.RpcFault(code=10028), RateLimited),
        (faults.RpcFault(code=10047), Unavailable),
        (faults.RpcFault(code=11094, execute=True), OutcomeUnknown),
        (faults.GarbageFrame(variant="invalid_json", method="private/buy"), BadReply),
        (faults.LoseRequest(method="private/buy", close=True), OutcomeUnknown),
    ],
)
async def test_what_goes_wrong_on_the_wire_says_what_may_have_happened(
    fault: faults.Fault, kind: type[Exception]
) -> None:
    async with trading_desk(request_timeout_s=1.0) as desk:
        order = await desk.order()
        desk.sim.faults.add(fault)  # type: ignore[arg-type]
        with pytest.raises(kind):
            await desk.rest.submit(order, desk.perpetual)


async def test_a_venue_clock_that_is_off_does_not_lock_us_out() -> None:
    async with trading_desk(Simulated(clock_offset_ms=-3_600_000)) as desk:
        assert await desk.rest.open_orders() == ()


async def test_wrong_credentials_are_not_authorised() -> None:
    async with trading_desk() as desk:
        desk.venue._credentials["main"] = Keys("nobody", "wrong")
        rest = desk.venue.rest("main")
        with pytest.raises(NotAuthorised):
            await rest.open_orders()
        await rest.close()


# ── the private stream ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("library", list(Library))
async def test_the_private_stream_tells_of_orders_placed_over_rest_and_again_after_a_reconnect(
    library: Library,
) -> None:
    async with trading_desk() as desk:
        for _ in range(2):
            adapter = desk.venue.private("main")
            heard: list[object] = []
            with trio.fail_after(10):
                async with connect(adapter.url, library=library) as connection:
                    for frame in adapter.greet():
                        await connection.send(frame)
                    placed: Order | None = None
                    while not _told(heard, placed):
                        events, replies = adapter.receive(await connection.receive())
                        heard += events
                        for reply in replies:
                            await connection.send(reply)
                        if Connected() in events:
                            placed = await desk.order(order_type=OrderType.MARKET)
                            await desk.rest.submit(placed, desk.perpetual)


async def _forever(do: Callable[[], Awaitable[object]]) -> None:
    while True:
        await do()


def _told(heard: list[object], placed: Order | None) -> bool:
    """Whether the fill came, and the report that the order is filled."""
    if placed is None:
        return False
    fills = [event for event in heard if isinstance(event, Fill) and event.order_id == placed.order_id]
    reports = [
        event for event in heard if isinstance(event, OrderReport) and event.client_order_id == placed.client_order_id
    ]
    return bool(fills) and any(report.state is OrderState.FILLED for report in reports)


@pytest.mark.parametrize("library", list(Library))
async def test_a_dropped_socket_is_a_websocket_error(library: Library) -> None:
    async with trading_desk() as desk:
        adapter = desk.venue.private("main")
        async with connect(adapter.url, library=library) as connection:
            for frame in adapter.greet():
                await connection.send(frame)
            await connection.receive()
            desk.sim.faults.add(faults.Drop(reset=True))
            with trio.fail_after(5), pytest.raises(WebSocketError):
                await _forever(connection.receive)
