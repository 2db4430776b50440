"""At Binance too what was not found must really not be there, and every trade must be found under its order's name."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel import SystemClock, TrioClock
from engine.model import OrderState, OrderType, Side
from engine.net import HttpReply
from engine.venues.base import BadReply, FillPage, OutcomeUnknown, RateLimited, Unavailable, VenueError
from engine.venues.binance_usdm import BinanceUsdmTrader
from engine.venues.binance_usdm.search import ALGO_SOURCES, SOURCES
from tests.support.binance import reply
from tests.support.binance_account import (
    BTC,
    OURS,
    Asked,
    Host,
    account_venue,
    algo,
    order,
    refusal,
    row,
    trader,
    user_trade,
)

D = Decimal
DAY_MS = 86_400_000
STOP: dict[str, Any] = {
    "order_type": OrderType.STOP_MARKET,
    "price": None,
    "trigger_price": D(55_000),
    "side": Side.SELL,
}
DOWN = HttpReply(503, {}, b"Service Unavailable.")

PLAIN = ("GET /v1/order", "GET /v1/openOrders", "GET /v1/allOrders")
CONDITIONAL = ("GET /v1/algoOrder", "GET /v1/openAlgoOrders", "GET /v1/allAlgoOrders")


# ── normal orders ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_is_absent_only_when_every_source_denies_it() -> None:
    host = Host()
    rest = trader(host)
    search = await rest.find_order(order(), BTC)
    assert (search.report, search.sources) == (None, SOURCES)
    assert tuple(asked.endpoint for asked in host.asked) == PLAIN
    assert host.asked[0].params["origClientOrderId"] == OURS
    assert not rest.resolve.may_resubmit
    assert rest.resolve.margin_s == 300.0
    await rest.close()


@pytest.mark.parametrize("where", PLAIN)
async def test_an_order_is_found_by_any_source_alone(where: str) -> None:
    found = row(status="FILLED", executedQty="0.010", avgPrice="60000.0")
    strangers = [row(clientOrderId="web_1", orderId=1), row(clientOrderId="abcd2345-7-2", orderId=2)]
    rest = trader(Host({where: found if where == PLAIN[0] else [*strangers, found]}))
    report = (await rest.find_order(order(), BTC)).report
    assert report is not None
    assert (report.state, report.client_order_id, report.average_price) == (OrderState.FILLED, OURS, D(60_000))
    await rest.close()


@pytest.mark.parametrize("failing", PLAIN)
@pytest.mark.parametrize("how", [DOWN, refusal(-1003, 429), refusal(-2015, 401), HttpReply(200, {}, b"[")])
async def test_a_source_that_fails_is_no_denial(failing: str, how: HttpReply) -> None:
    rest = trader(Host({failing: how}))
    with pytest.raises(VenueError):
        await rest.find_order(order(), BTC)
    await rest.close()


async def test_an_order_of_another_attempt_is_not_the_one() -> None:
    rest = trader(Host({"GET /v1/order": row(clientOrderId="abcd2345-7-2")}))
    assert (await rest.find_order(order(), BTC)).report is None
    await rest.close()


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("place", [0, 1234, 2500])
async def test_a_long_history_is_read_wherever_the_order_is_in_it(newest: bool, place: int) -> None:
    """And whichever end the venue cuts it at."""
    now_ms = SystemClock().wall_ms()
    rows = [
        row(orderId=number, clientOrderId=f"web_{number}", time=now_ms - 500 + number // 10) for number in range(2501)
    ]
    rows[place]["clientOrderId"] = OURS

    def all_orders(asked: Asked) -> list[dict[str, Any]]:
        start, end = int(asked.params["startTime"]), int(asked.params["endTime"])
        assert 0 <= end - start < 7 * DAY_MS
        found = [each for each in rows if start <= each["time"] <= end]
        return found[-1000:] if newest else found[:1000]

    rest = trader(Host({"GET /v1/allOrders": all_orders}))
    report = (await rest.find_order(order(), BTC)).report
    assert report is not None
    assert report.venue_order_id == str(place)
    await rest.close()


@pytest.mark.parametrize(("where", "fields"), [("GET /v1/allOrders", {}), ("GET /v1/allAlgoOrders", STOP)])
async def test_a_history_without_end_is_no_denial(where: str, fields: dict[str, Any]) -> None:
    one = row(clientOrderId="web") if where == PLAIN[2] else algo(clientAlgoId="web")
    host = Host({where: [one] * 1000})
    rest = trader(host)
    with pytest.raises(OutcomeUnknown):
        await rest.find_order(order(**fields), BTC)
    assert len(host.to(where)) <= 40
    await rest.close()


@given(st.integers(-DAY_MS * 100, 0), st.integers(-40 * DAY_MS, 40 * DAY_MS))
def test_the_span_that_is_searched_holds_the_attempt_and_is_one_the_venue_takes(age_ms: int, wrong_ms: int) -> None:
    """Whatever our own clock showed when it was sent."""
    from engine.venues.binance_usdm.search import _first_ms, _last_ms

    now_ms = SystemClock().wall_ms() + age_ms
    sent = msgspec.structs.replace(order(now_ms=now_ms), submitted_at_ms=now_ms + wrong_ms)
    first, last = _first_ms(sent), _last_ms(sent)
    assert 0 < last - first <= 7 * DAY_MS
    if abs(wrong_ms) < 5 * DAY_MS:
        assert first <= now_ms <= last


async def test_what_the_venue_may_have_forgotten_is_not_denied() -> None:
    rest = trader(Host())
    with pytest.raises(OutcomeUnknown):
        await rest.find_order(order(now_ms=SystemClock().wall_ms() - 95 * DAY_MS), BTC)
    await rest.close()


# ── conditional orders ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_condition_is_looked_for_where_conditions_live() -> None:
    host = Host()
    rest = trader(host)
    search = await rest.find_order(order(**STOP), BTC)
    assert (search.report, search.sources) == (None, ALGO_SOURCES)
    assert tuple(asked.endpoint for asked in host.asked) == CONDITIONAL
    await rest.close()


@pytest.mark.parametrize("where", CONDITIONAL)
async def test_a_condition_is_found_by_any_source_alone(where: str) -> None:
    rest = trader(Host({where: algo() if where == CONDITIONAL[0] else [algo(clientAlgoId="x"), algo()]}))
    report = (await rest.find_order(order(**STOP), BTC)).report
    assert report is not None
    assert (report.state, report.venue_order_id, report.triggered) == (OrderState.OPEN, "4000001910701524001", False)
    await rest.close()


@pytest.mark.parametrize("failing", CONDITIONAL)
async def test_a_source_of_conditions_that_fails_is_no_denial(failing: str) -> None:
    rest = trader(Host({failing: DOWN}))
    with pytest.raises(Unavailable):
        await rest.find_order(order(**STOP), BTC)
    await rest.close()


@pytest.mark.parametrize("status", ["TRIGGERED", "FINISHED"])
@pytest.mark.parametrize("name", ["x-whatever", OURS])
async def test_a_triggered_condition_is_found_by_what_it_became(status: str, name: str) -> None:
    became = row(orderId=77, clientOrderId=name, side="SELL", status="FILLED", executedQty="0.010", type="MARKET")
    host = Host({"GET /v1/algoOrder": algo(algoStatus=status, actualOrderId="77"), "GET /v1/order": became})
    rest = trader(host)
    report = (await rest.find_order(order(**STOP), BTC)).report
    assert report is not None
    assert (report.client_order_id, report.venue_order_id, report.triggered) == (OURS, "77", True)
    assert report.state is OrderState.FILLED
    assert host.to("GET /v1/order")[0].params["orderId"] == "77"
    await rest.close()


@pytest.mark.parametrize(
    "answers",
    [
        {"GET /v1/algoOrder": algo(algoStatus="TRIGGERED")},  # into what?
        {"GET /v1/algoOrder": algo(algoStatus="FINISHED", actualOrderId=None)},
        {"GET /v1/algoOrder": algo(algoStatus="TRIGGERED", actualOrderId="77")},  # which is denied
        {"GET /v1/algoOrder": algo(algoStatus="NO SUCH WORD")},
    ],
)
async def test_a_record_that_says_nothing_clear_is_no_answer(answers: dict[str, Any]) -> None:
    rest = trader(Host(answers))
    with pytest.raises((OutcomeUnknown, BadReply)):
        await rest.find_order(order(**STOP), BTC)
    await rest.close()


async def test_an_order_outlives_the_record_of_its_condition() -> None:
    rest = trader(Host({"GET /v1/order": row(orderId=77, clientOrderId="x", side="SELL")}))
    known = msgspec.structs.replace(order(**STOP), triggered=True, venue_order_id="77", state=OrderState.OPEN)
    report = (await rest.find_order(known, BTC)).report
    assert report is not None
    assert (report.client_order_id, report.venue_order_id, report.triggered) == (OURS, "77", True)
    await rest.close()


# ── fills ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Book:
    """Trades of an account as the venue tells them: by symbol, a week or from an id on, so many at a time."""

    def __init__(
        self, trades: list[dict[str, Any]], names: dict[int, str] | None = None, *, newest: bool = False
    ) -> None:
        self.trades = sorted(trades, key=lambda trade: trade["id"])
        self.names = names or {}
        self.newest = newest
        self.host = Host(
            {
                "GET /v1/userTrades": self._trades,
                "GET /v1/income": self._income,
                "GET /v1/order": self._order,
                "GET /v1/allOrders": self._orders,
            }
        )

    def _trades(self, asked: Asked) -> list[dict[str, Any]]:
        params = asked.params
        rows = [trade for trade in self.trades if trade["symbol"] == params["symbol"]]
        if "fromId" in params:
            assert "startTime" not in params
            rows = [trade for trade in rows if trade["id"] >= int(params["fromId"])]
        else:
            start, end = int(params["startTime"]), int(params["endTime"])
            assert 0 <= end - start < 7 * DAY_MS
            rows = [trade for trade in rows if start <= trade["time"] <= end]
            return self._cut(rows)
        return rows[:1000]

    def _cut(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Nobody says at which end."""
        return rows[-1000:] if self.newest else rows[:1000]

    def _income(self, asked: Asked) -> list[dict[str, Any]]:
        rows = sorted(
            ({"symbol": trade["symbol"], "time": trade["time"]} for trade in self.trades), key=lambda row: row["time"]
        )
        start, end = int(asked.params["startTime"]), int(asked.params["endTime"])
        return self._cut([row for row in rows if start <= row["time"] <= end])

    def _order(self, asked: Asked) -> Any:
        wanted = asked.params.get("origClientOrderId")
        number = next((at for at, name in self.names.items() if name == wanted), int(asked.params.get("orderId", 0)))
        if number not in self.names:
            return refusal(-2013)
        return row(orderId=number, clientOrderId=self.names[number], symbol=asked.params["symbol"])

    def _orders(self, asked: Asked) -> list[dict[str, Any]]:
        first = int(asked.params["orderId"])
        return [
            row(orderId=number, clientOrderId=name) for number, name in sorted(self.names.items()) if number >= first
        ][:1000]


async def _fills(book: Book, since_ms: int = 0) -> FillPage:
    rest = trader(book.host)
    try:
        return await rest.fills_since(since_ms)
    finally:
        await rest.close()


def _at(ago_ms: int) -> int:
    return SystemClock().wall_ms() - ago_ms


async def test_fills_are_found_under_their_orders_names() -> None:
    trades = [
        user_trade(1, time=_at(9000)),
        user_trade(2, time=_at(8000), orderId=5, maker=False, side="SELL"),
        user_trade(3, time=_at(7000), symbol="ETHUSDT", orderId=6),
    ]
    page = await _fills(Book(trades, {22542179: OURS, 5: "web_1", 6: "abcd2345-9-2"}), _at(60_000))
    assert page.complete
    assert [(fill.trade_id, fill.instrument, fill.client_order_id, fill.order_id) for fill in page.fills] == [
        ("1", "binance:BTCUSDT", OURS, "abcd2345-7"),
        ("2", "binance:BTCUSDT", "web_1", ""),
        ("3", "binance:ETHUSDT", "abcd2345-9-2", "abcd2345-9"),
    ]
    assert (page.fills[0].fee, page.fills[0].fee_currency, page.fills[0].amount) == (D("0.048"), "USDT", D("0.002"))


@pytest.mark.parametrize(
    "answers",
    [
        {"GET /v3/positionRisk": [{"symbol": "BTCUSDT", "positionAmt": "0.1"}]},
        {"GET /v1/income": [{"symbol": "BTCUSDT", "time": 1_790_000_000_000}]},
    ],
)
async def test_a_position_or_a_commission_names_the_symbol(answers: dict[str, Any]) -> None:
    book = Book([user_trade(1, time=_at(9000))], {22542179: OURS})
    book.host.answers |= {"GET /v1/income": []} | answers
    assert len((await _fills(book, _at(60_000))).fills) == 1


async def test_an_order_that_was_found_names_its_symbol() -> None:
    """Even when it left no position and paid nothing."""
    book = Book([user_trade(1, time=_at(9000))], {22542179: OURS})
    book.host.answers |= {"GET /v1/income": []}
    rest = trader(book.host)
    assert (await rest.fills_since(_at(60_000))).fills == ()
    await rest.find_order(order(), BTC)
    assert len((await rest.fills_since(_at(60_000))).fills) == 1
    await rest.close()


@pytest.mark.parametrize("kind", ["GET /v1/openOrders", "GET /v1/openAlgoOrders"])
async def test_what_rested_at_the_last_pass_is_asked_for_at_the_next(kind: str) -> None:
    """However long it had rested: it may have been traded since, and have left no other trace."""
    book = Book([user_trade(1, time=_at(9000))], {22542179: OURS})
    book.host.answers |= {"GET /v1/income": [], kind: [row() if kind.endswith("openOrders") else algo()]}
    rest = trader(book.host)
    await rest.open_orders()
    assert len((await rest.fills_since(_at(60_000))).fills) == 1
    await rest.close()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30 * DAY_MS), st.sampled_from(["BTCUSDT", "ETHUSDT"])), min_size=1, max_size=40),
    st.integers(0, 30 * DAY_MS),
)
async def test_pages_bring_every_trade_once_and_end(ages: list[tuple[int, str]], since_ago_ms: int) -> None:
    now_ms = SystemClock().wall_ms()
    made = sorted((now_ms - 1000 - ago_ms, symbol) for ago_ms, symbol in ages)
    trades = [user_trade(number + 1, time=at_ms, symbol=symbol) for number, (at_ms, symbol) in enumerate(made)]
    book, since_ms = Book(trades, {22542179: OURS}), now_ms - 1000 - since_ago_ms
    page = await _fills(book, since_ms)
    assert page.complete
    assert sorted(fill.trade_id for fill in page.fills) == sorted(
        str(trade["id"]) for trade in trades if trade["time"] >= since_ms
    )
    assert list(page.fills) == sorted(page.fills, key=lambda fill: fill.filled_at_ms)


@pytest.mark.parametrize("newest", [False, True])
async def test_a_page_that_is_cut_says_so_and_skips_nothing(
    newest: bool, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr("engine.venues.binance_usdm.fills._MAX_PAGES", 20)
    start_ms = _at(3_600_000)
    many = [user_trade(number, time=start_ms + number // 3) for number in range(1, 7001)]
    other = [
        user_trade(9000, time=start_ms + 5000, symbol="ETHUSDT"),
        user_trade(9001, time=start_ms, symbol="ETHUSDT"),
    ]
    book = Book(many + other, {22542179: OURS}, newest=newest)
    rest = trader(book.host, clock=TrioClock(SystemClock().wall_ms()))
    kept: set[str] = set()
    since_ms, pages = start_ms - 1, 0
    while pages < 20:
        page = await rest.fills_since(since_ms)
        kept |= {fill.trade_id for fill in page.fills}
        pages += 1
        if page.complete:
            break
        since_ms = max(fill.filled_at_ms for fill in page.fills)
        assert all(str(trade["id"]) in kept for trade in book.trades if trade["time"] < since_ms)
    assert 1 < pages < 20
    assert kept == {str(trade["id"]) for trade in book.trades}
    await rest.close()


async def test_a_millisecond_with_more_trades_than_a_page_is_no_trap() -> None:
    at_ms = _at(60_000)
    book = Book([user_trade(number, time=at_ms) for number in range(1, 2501)], {22542179: OURS})
    page = await _fills(book, at_ms)
    assert (len(page.fills), page.complete) == (2500, True)


async def test_the_name_of_an_order_is_asked_for_once() -> None:
    book = Book([user_trade(1, time=_at(9000))], {22542179: OURS})
    rest = trader(book.host)
    for _ in range(3):
        await rest.fills_since(_at(60_000))
    assert len(book.host.to("GET /v1/order")) == 1
    await rest.close()


async def test_many_names_are_asked_for_together() -> None:
    trades = [user_trade(number, orderId=number, time=_at(9000)) for number in range(1, 301)]
    book = Book(trades, {number: f"abcd2345-{number}-1" for number in range(1, 301)})
    page = await _fills(book, _at(60_000))
    assert {fill.client_order_id for fill in page.fills} == set(book.names.values())
    assert (len(book.host.to("GET /v1/order")), len(book.host.to("GET /v1/allOrders"))) == (0, 1)


async def test_a_young_trade_of_an_order_that_is_denied_is_not_taken_for_a_strangers() -> None:
    with pytest.raises(OutcomeUnknown):
        await _fills(Book([user_trade(1, time=_at(9000))]), _at(60_000))


async def test_an_old_trade_of_an_order_that_is_denied_is_somebody_elses() -> None:
    page = await _fills(Book([user_trade(1, time=_at(3_600_000))]), _at(7_200_000))
    assert [(fill.client_order_id, fill.order_id) for fill in page.fills] == [("", "")]


async def test_a_trade_of_what_a_condition_became_is_under_the_conditions_name() -> None:
    book = Book([user_trade(1, time=_at(9000), orderId=77)], {77: "x-whatever"})
    book.host.answers["GET /v1/allAlgoOrders"] = [
        algo(algoStatus="FINISHED", actualOrderId="77"),
        algo(clientAlgoId="web"),
    ]
    page = await _fills(book, _at(60_000))
    assert [(fill.client_order_id, fill.venue_order_id) for fill in page.fills] == [(OURS, "77")]


async def test_a_condition_that_is_known_is_asked_by_name() -> None:
    book = Book([user_trade(1, time=_at(9000), orderId=77)], {77: "x-whatever"})
    book.host.answers |= {
        "GET /v1/openAlgoOrders": [algo()],
        "GET /v1/algoOrder": algo(algoStatus="TRIGGERED", actualOrderId="77"),
    }
    rest = trader(book.host)
    await rest.open_orders()
    assert [fill.client_order_id for fill in (await rest.fills_since(_at(60_000))).fills] == [OURS]
    await rest.close()


@pytest.mark.parametrize(
    "failing",
    ["GET /v3/positionRisk", "GET /v1/income", "GET /v1/userTrades", "GET /v1/order", "GET /v1/allAlgoOrders"],
)
async def test_a_question_that_fails_is_never_an_empty_page(failing: str) -> None:
    book = Book([user_trade(1, time=_at(9000))], {22542179: "web_1"})
    book.host.answers[failing] = DOWN
    with pytest.raises(Unavailable):
        await _fills(book, _at(60_000))


@pytest.mark.parametrize("newest", [False, True])
async def test_more_commissions_than_can_be_read_end_the_page_where_they_end(
    newest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.venues.binance_usdm.fills._MAX_INCOME_PAGES", 12)
    start_ms = _at(60_000)
    trades = [user_trade(number, time=start_ms + number) for number in range(1, 11_001)]
    trades.append(user_trade(20_000, time=start_ms + 10_500, symbol="ETHUSDT"))
    page = await _fills(Book(trades, {22542179: OURS}, newest=newest), start_ms)
    assert not page.complete
    assert 0 < max(fill.filled_at_ms for fill in page.fills) - start_ms < 10_500


async def test_what_one_client_learns_another_of_the_account_knows() -> None:
    book = Book([user_trade(1, time=_at(9000))], {22542179: OURS})
    venue = account_venue(book.host)
    first, second = venue.rest("main"), venue.rest("main")
    rests: list[BinanceUsdmTrader] = [first, second]
    for rest in rests:
        await rest.fills_since(_at(60_000))
        await rest.close()
    assert len(book.host.to("GET /v1/order")) == 1


async def test_limits_are_said_to_be_limits() -> None:
    book = Book([user_trade(1, time=_at(9000))])
    book.host.answers["GET /v1/userTrades"] = reply({"code": -1003, "msg": "x"}, 429, retry_after="9")
    with pytest.raises(RateLimited):
        await _fills(book, _at(60_000))
