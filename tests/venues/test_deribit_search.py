"""What was not found must really not be there: conditional orders, long histories, crowded milliseconds, clocks that are wrong."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
import trio

from engine.kernel import Entropy, SystemClock
from engine.model import Order, OrderRequest, OrderState, OrderType, Side, TriggerBy, new_order, to_submitting
from engine.net import HttpReply, HttpRequest
from engine.venues.base import BadReply, NotSent, OutcomeUnknown
from engine.venues.deribit import DeribitSettings, DeribitVenue
from engine.venues.deribit.private import DeribitRest
from engine.venues.deribit.search import SOURCES, TRIGGER_SOURCE
from tests.support.deribit import PERPETUAL, Keys, json_reply, rest_against, trading_desk
from tests.venues.test_deribit_rest import BTC

D = Decimal
NOW_MS = 1_790_000_000_000
LABEL = "abcd2345-7-1"
ORDER = {
    "order_id": "77", "order_state": "filled", "order_type": "market", "instrument_name": PERPETUAL, "direction": "sell", "amount": 10.0,
    "filled_amount": 10.0, "average_price": 80000.0, "last_update_timestamp": NOW_MS + 900, "label": "",
}  # fmt: skip
ENTRY = {
    "trigger_order_id": "SLMS-5", "order_id": "77", "order_state": "triggered", "instrument_name": PERPETUAL, "direction": "sell",
    "amount": 10.0, "timestamp": NOW_MS + 800, "label": LABEL,
}  # fmt: skip
TRADE = {
    "trade_id": "1", "order_id": "77", "instrument_name": PERPETUAL, "timestamp": NOW_MS, "direction": "sell", "price": 80000.0,
    "amount": 10.0, "label": LABEL,
}  # fmt: skip


def a_stop(**sent: int) -> Order:
    request = OrderRequest(
        instrument=BTC.instrument_id,
        side=Side.SELL,
        amount=D(10),
        order_type=OrderType.STOP_MARKET,
        trigger_price=D(80_000),
    )
    return _sent(request, **sent)


def a_limit(**sent: int) -> Order:
    return _sent(OrderRequest(instrument=BTC.instrument_id, side=Side.SELL, amount=D(10), price=D(80_000)), **sent)


def _sent(request: OrderRequest, *, now_ms: int = NOW_MS, valid_until_ms: int = NOW_MS + 5000) -> Order:
    order = new_order(request, order_id="abcd2345-7", account="main", now_ms=now_ms)
    return to_submitting(order, valid_until_ms=valid_until_ms, now_ms=now_ms)


def venue_with(answer: Callable[[str, dict[str, Any]], Any]) -> DeribitRest:
    """A client of a venue that answers a method and its parameters with a result; None is what an empty venue says."""

    async def network(request: HttpRequest) -> HttpReply:
        body = msgspec.json.decode(request.body)
        result = answer(body["method"], body["params"])
        return json_reply(
            {"jsonrpc": "2.0", "result": _nothing(body["method"]) if result is None else result, "usOut": 1}
        )

    return rest_against(network)


def _nothing(method: str) -> Any:
    if "trigger_order_history" in method:
        return {"entries": [], "continuation": None}
    if "history" in method:
        return {"orders": [], "continuation": None}
    return {"trades": [], "has_more": False} if "trades" in method else []


async def test_a_triggered_order_is_found_by_what_it_became_whatever_label_that_has() -> None:
    def answer(method: str, params: dict[str, Any]) -> Any:
        if method == "private/get_trigger_order_history":
            return {"entries": [ENTRY], "continuation": None}
        return ORDER if method == "private/get_order_state" and params["order_id"] == "77" else None

    report = (await venue_with(answer).find_order(a_stop(), BTC)).report
    assert report is not None
    assert (report.state, report.client_order_id, report.venue_order_id) == (OrderState.FILLED, LABEL, "77")


@pytest.mark.parametrize(
    ("said", "state"), [("cancelled", OrderState.CANCELLED), ("rejected:not_enough_funds", OrderState.REJECTED)]
)
async def test_a_stop_that_ended_untriggered_is_found_in_its_log(said: str, state: OrderState) -> None:
    older = ENTRY | {"order_state": "untriggered", "order_id": None, "timestamp": NOW_MS}
    ended = ENTRY | {"order_state": said, "order_id": None}
    log = {"entries": [older, ended], "continuation": None}
    rest = venue_with(lambda method, _: log if "trigger_order_history" in method else None)
    report = (await rest.find_order(a_stop(), BTC)).report
    assert report is not None
    assert (report.state, report.client_order_id) == (state, LABEL)


async def test_a_stop_is_not_found_only_when_its_log_does_not_know_it_either() -> None:
    search = await venue_with(lambda _method, _params: None).find_order(a_stop(), BTC)
    assert (search.report, search.sources) == (None, (*SOURCES, TRIGGER_SOURCE))


@pytest.mark.parametrize("entry", [ENTRY | {"order_id": None}, ENTRY | {"order_state": "no such word"}])
async def test_a_log_that_says_nothing_clear_is_no_answer(entry: dict[str, Any]) -> None:
    log = {"entries": [entry], "continuation": None}
    rest = venue_with(lambda method, _: log if "trigger_order_history" in method else None)
    with pytest.raises((OutcomeUnknown, BadReply)):
        await rest.find_order(a_stop(), BTC)


async def test_an_empty_page_with_more_behind_it_is_not_the_end() -> None:
    def answer(method: str, params: dict[str, Any]) -> Any:
        if "history" not in method:
            return None
        if "continuation" not in params:
            return {"orders": [], "continuation": "more"}
        return {"orders": [ORDER | {"label": LABEL}], "continuation": None}

    assert (await venue_with(answer).find_order(a_limit(), BTC)).report is not None


@pytest.mark.parametrize("wrong_ms", [-3_600_000, 3_600_000])
async def test_a_wrong_wall_clock_does_not_end_a_search_too_early(wrong_ms: int) -> None:
    def answer(method: str, params: dict[str, Any]) -> Any:
        if "history" not in method:
            return None
        if "continuation" not in params:
            return {"orders": [ORDER | {"label": "another"}], "continuation": "more"}
        return {"orders": [ORDER | {"label": LABEL}], "continuation": None}

    order = a_limit(now_ms=NOW_MS + wrong_ms)
    assert (await venue_with(answer).find_order(order, BTC)).report is not None


async def test_more_fills_in_one_millisecond_than_a_page_holds_are_all_read() -> None:
    crowd = [TRADE | {"trade_id": str(number)} for number in range(7)]
    later = TRADE | {"trade_id": "late", "timestamp": NOW_MS + 1}

    def answer(method: str, params: dict[str, Any]) -> Any:
        if method == "private/get_user_trades_by_order":
            return crowd
        if method != "private/get_user_trades_by_currency_and_time" or params["currency"] != "BTC":
            return None
        if params["start_timestamp"] <= NOW_MS:
            return {"trades": crowd[:3], "has_more": True}
        return {"trades": [later], "has_more": False}

    page = await venue_with(answer).fills_since(NOW_MS - 5)
    assert page.complete
    assert {fill.trade_id for fill in page.fills} == {*map(str, range(7)), "late"}


@pytest.mark.parametrize("result", [{"trades": [], "has_more": True}, {"trades": [TRADE]}])
async def test_fills_that_may_be_cut_are_never_taken_for_all(result: dict[str, Any]) -> None:
    with pytest.raises(BadReply):
        await venue_with(lambda _method, _params: result).fills_since(NOW_MS)


class Unreachable(httpx.AsyncBaseTransport):
    """Connections to it never come about."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError("it slept for ever")


async def test_a_request_that_could_not_leave_within_the_callers_time_is_known_not_to_have_left() -> None:
    venue = DeribitVenue(
        "deribit",
        DeribitSettings(),
        clock=SystemClock(),
        entropy=Entropy(1),
        credentials={"main": Keys("id", "hunter2")},
        transport=Unreachable(),
    )
    with pytest.raises(NotSent), trio.fail_after(0.3):
        await venue.rest("main").submit(a_limit(), BTC)


async def test_the_simulated_venues_triggered_stop_is_found_by_the_order_it_became() -> None:
    async with trading_desk() as desk:
        bid = (await desk.rest.ticker(PERPETUAL)).bid
        assert bid is not None
        trigger: dict[str, Any] = {"trigger_by": TriggerBy.LAST, "trigger_price": D(str(bid)) - 50}
        order = await desk.order(Side.SELL, order_type=OrderType.STOP_MARKET, **trigger)
        report, _ = await desk.rest.submit(order, desk.perpetual)
        with trio.fail_after(30):
            while report.state is OrderState.OPEN:
                push = await desk.order(Side.SELL, order_type=OrderType.MARKET, amount=D(100_000))
                await desk.rest.submit(push, desk.perpetual)
                found = (await desk.rest.find_order(order, desk.perpetual)).report
                assert found is not None
                report = found
        assert report.state is OrderState.FILLED
        assert report.triggered
