"""Requests to Binance USD-M: what they cost, what their refusals mean, and how many of them leave."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel import Clock, TrioClock
from engine.model import INTERVAL_MS, InstrumentKind
from engine.net import HttpReply, HttpRequest, ReplyLost, RequestNotSent
from engine.venues.base import (
    BadReply,
    NotAuthorised,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    VenueError,
)
from engine.venues.binance_usdm import BinanceUsdmSettings
from engine.venues.binance_usdm.bars import pages
from engine.venues.binance_usdm.credits import bars_split, bars_weight, depth_weight
from engine.venues.binance_usdm.names import spot_names
from engine.venues.decoding import WireError
from tests.support.binance import SYMBOL, T0, reply, venue_over

MARK = {"markPrice": "11.5", "indexPrice": "11.4", "lastFundingRate": "0.0001", "nextFundingTime": T0, "time": T0 - 9}

DAY = {"symbol": SYMBOL, "lastPrice": "5", "priceChangePercent": "1", "volume": "2", "quoteVolume": "10"}


class Host:
    """Futures and spot host in one: what was asked, and an answer by path."""

    def __init__(self, answers: dict[str, Any] | None = None, *, takes_s: float = 0.0) -> None:
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self._answers = answers or {}
        self._takes_s = takes_s

    async def __call__(self, request: HttpRequest) -> HttpReply:
        self.asked.append(request.path)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await trio.sleep(self._takes_s)
        self.at_once -= 1
        answer = self._answers[request.path.partition("?")[0]]
        got = answer(_query(request)) if callable(answer) else answer
        return got if isinstance(got, HttpReply) else reply(got)


def _query(request: HttpRequest) -> dict[str, str]:
    text = request.path.partition("?")[2]
    return dict(pair.split("=") for pair in text.split("&")) if text else {}


async def _nothing(_request: HttpRequest) -> HttpReply:
    return reply({"serverTime": 5})


# ── weights ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 6000))
def test_bars_are_asked_for_at_the_lowest_price(count: int) -> None:
    """Against the cheapest of all ways to make the number of four sizes of request."""
    split = bars_split(count)
    assert sum(split) == count
    assert all(0 < part <= 1000 for part in split)
    assert sum(map(bars_weight, split)) <= min(
        5 * thousands + 2 * (rest // 499) + bars_weight(rest % 499) * (rest % 499 > 0)
        for thousands in range(count // 1000 + 1)
        for rest in [count - 1000 * thousands]
    )


def test_five_hundred_bars_cost_three() -> None:
    assert bars_split(500) == (499, 1)
    assert bars_split(1000) == (1000,)
    assert [sum(map(bars_weight, bars_split(n))) for n in (1, 99, 100, 499, 500, 598, 599, 1000)] == [
        1, 1, 2, 2, 3, 3, 4, 5,
    ]  # fmt: skip


def test_depth_costs_by_its_levels() -> None:
    assert [depth_weight(limit) for limit in (5, 50, 100, 500, 1000)] == [2, 2, 5, 10, 20]


@given(st.integers(0, 10**6), st.integers(0, 3 * 10**6), st.sampled_from(sorted(INTERVAL_MS)))
def test_pages_ask_for_each_bar_of_a_span_once(start_s: int, span_s: int, interval: str) -> None:
    step_ms = INTERVAL_MS[interval]
    start_ms, end_ms = T0 + 1000 * start_s, T0 + 1000 * (start_s + span_s)
    opens = [at for first, last, _ in pages(interval, start_ms, end_ms) for at in range(first, last + 1, step_ms)]
    assert opens == list(range(-(-start_ms // step_ms) * step_ms, end_ms + 1, step_ms))[-20_000:]


# ── what a reply means ─────────────────────────────────────────────────────────────────────────────────────────────────

LIMIT = {"code": -1003, "msg": "Too many requests."}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply({"code": -1121, "msg": "Invalid symbol."}, 400), Refused),
        (reply({"code": -9999, "msg": "new"}, 400), Refused),
        (reply({"code": 0, "msg": "Service unavailable from a restricted location."}, 451), Refused),
        (reply(LIMIT, 429, retry_after="7"), RateLimited),
        (reply(LIMIT, 418, retry_after="7"), RateLimited),
        (reply(LIMIT, 400), RateLimited),
        (HttpReply(403, {}, b"<html>"), RateLimited),
        (reply({"code": -1008, "msg": "Server is currently overloaded"}), Unavailable),
        (HttpReply(503, {}, b"Service Unavailable."), Unavailable),
        (reply({"code": -1007, "msg": "Timeout"}, 408), Unavailable),
        (HttpReply(502, {}, b"<html>"), Unavailable),
        (reply({"code": -2015, "msg": "Invalid API-key"}, 401), NotAuthorised),
        (HttpReply(404, {}, b"<html>"), BadReply),
        (HttpReply(302, {"location": "/"}, b""), BadReply),
        (HttpReply(200, {}, b'{"serverTime":'), BadReply),
        (reply({"serverTime": -1}), BadReply),
        (reply({}), BadReply),
        (HttpReply(200, {}, b"[" * 10_000), BadReply),
    ],
)
async def test_a_refusal_says_who_must_act(answer: HttpReply, kind: type[VenueError]) -> None:
    async def host(_request: HttpRequest) -> HttpReply:
        return answer

    rest = venue_over(host).public()
    with pytest.raises(VenueError) as error:
        await rest.server_time_ms()
    assert type(error.value) is kind or (kind is BadReply and isinstance(error.value, BadReply))
    if answer.status in (418, 429):
        assert error.value.retry_after_s == 7.0  # type: ignore[attr-defined]
    await rest.close()


@pytest.mark.parametrize(("trouble", "kind"), [(RequestNotSent, NotSent), (ReplyLost, OutcomeUnknown)])
async def test_a_dead_host_is_left_alone_for_a_moment(
    trouble: Any, kind: type[VenueError], autojump_clock: trio.testing.MockClock
) -> None:
    asked = 0

    async def host(_request: HttpRequest) -> HttpReply:
        nonlocal asked
        asked += 1
        raise trouble("gone")

    rest = venue_over(host, clock=TrioClock(T0)).public()
    for _ in range(5):
        with pytest.raises(kind):
            await rest.server_time_ms()
    for _ in range(20):
        with pytest.raises(NotSent):
            await rest.server_time_ms()
    assert asked == 5
    await trio.sleep(3)
    with pytest.raises(kind):
        await rest.server_time_ms()
    assert asked == 6


# ── the budget ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _clock() -> Clock:
    return TrioClock(T0 + 1_000)


@pytest.mark.parametrize(("status", "spot_too"), [(429, True), (418, True)])
async def test_after_a_limit_nobody_asks_until_the_venue_said(
    status: int, spot_too: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """The other client of the same venue shares the address; the spot host is another host."""
    host = Host(
        {
            "/fapi/v1/time": reply(LIMIT, status, retry_after="40"),
            "/api/v3/ticker/price": [{"symbol": SYMBOL, "price": "5"}],
        }
    )
    venue = venue_over(host, clock=_clock(), request_timeout_s=5)
    rest, other = venue.public(), venue.public()
    with pytest.raises(RateLimited):
        await rest.server_time_ms()
    with pytest.raises(RateLimited) as waits:
        await other.server_time_ms()
    assert len(host.asked) == 1
    assert 30 < waits.value.retry_after_s < 40
    await rest.spot_prices()
    assert len(host.asked) == 2
    await trio.sleep(40)
    with pytest.raises(RateLimited):
        await other.server_time_ms()
    assert len(host.asked) == 3


@pytest.mark.parametrize("status", [429, 418])
async def test_what_waits_for_a_connection_when_a_limit_is_met_is_not_sent(
    status: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Their credits are paid; but whoever goes on asking after a 429 is banned."""
    host = Host({"/fapi/v1/depth": reply(LIMIT, status, retry_after="40")}, takes_s=0.1)
    rest = venue_over(host, clock=_clock(), max_connections=2).public()
    waits: list[float] = []

    async def ask() -> None:
        with pytest.raises(RateLimited) as caught:
            await rest.book(SYMBOL, 20)
        waits.append(caught.value.retry_after_s)

    async with trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(ask)
    assert len(host.asked) == 2
    assert len(waits) == 12
    assert all(39 < wait_s <= 40 for wait_s in waits)


async def test_a_limit_that_says_wait_for_nothing_is_waited_for_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host({"/fapi/v1/time": reply(LIMIT, 429, retry_after="0")})
    rest = venue_over(host, clock=_clock(), request_timeout_s=0.3).public()
    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            await rest.server_time_ms()
        assert caught.value.retry_after_s > 0.0
    assert len(host.asked) == 1


async def test_a_ban_closes_what_is_counted_apart_too(autojump_clock: trio.testing.MockClock) -> None:
    host = Host({"/fapi/v1/time": reply(LIMIT, 418, retry_after="40"), "/fapi/v1/fundingRate": []})
    rest = venue_over(host, clock=_clock()).public()
    with pytest.raises(RateLimited):
        await rest.server_time_ms()
    with trio.move_on_after(39):
        await rest.funding_history(SYMBOL, 5)
    assert len(host.asked) == 1
    assert await rest.funding_history(SYMBOL, 5) == []


async def test_the_venues_own_count_holds_ours_back(autojump_clock: trio.testing.MockClock) -> None:
    host = Host({"/fapi/v1/time": reply({"serverTime": T0 + 1_000}, x_mbx_used_weight_1m="2399")})
    rest = venue_over(host, clock=_clock(), request_timeout_s=5).public()
    await rest.server_time_ms()
    with pytest.raises(RateLimited):
        await rest.bars(SYMBOL, "1m", T0 - 60_000, T0)
    assert len(host.asked) == 1


async def test_windows_follow_the_venues_clock_not_ours(autojump_clock: trio.testing.MockClock) -> None:
    """Ours is 30 s behind: a minute of the venue's begins after 25 s, and then there are credits again."""
    host = Host({"/fapi/v1/time": {"serverTime": T0 + 35_000}, "/fapi/v1/ticker/24hr": [DAY]}, takes_s=0.1)
    rest = venue_over(host, clock=TrioClock(T0 + 5_000), weight_share=0.04, request_timeout_s=40).public()
    await rest.server_time_ms()
    for _ in range(2):
        await rest.day_tickers()
    began_s = trio.current_time()
    await rest.day_tickers()
    assert trio.current_time() - began_s == pytest.approx(25, abs=1)


@pytest.mark.parametrize("ahead_s", [-3600, 3600, 0])
async def test_a_wrong_clock_is_set_even_by_a_reading_that_was_long_on_its_way(
    ahead_s: int, autojump_clock: trio.testing.MockClock
) -> None:
    """How long it took bounds how wrong the reading is, and so shows a clock that is wrong by more; one that is not stays."""
    host = Host(
        {"/fapi/v1/time": lambda _query: {"serverTime": T0 + 2_000}, "/api/v3/ticker/price": [DAY | {"price": "5"}]},
        takes_s=4,
    )
    rest = venue_over(host, clock=TrioClock(T0 + 1_000 * ahead_s)).public()
    await rest.server_time_ms()
    asked_ms, _ = await rest.spot_prices()
    assert asked_ms == pytest.approx(T0 + 4_000, abs=2)


async def test_the_limit_in_the_listing_holds_from_then_on(autojump_clock: trio.testing.MockClock) -> None:
    rules = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 50}]
    info = {"serverTime": T0, "rateLimits": rules, "symbols": []}
    host = Host({"/fapi/v1/exchangeInfo": info, "/fapi/v1/time": {"serverTime": T0 + 1_000}, "/fapi/v1/aggTrades": []})
    rest = venue_over(host, clock=_clock(), weight_share=0.8, request_timeout_s=5).public()
    await rest.trades(SYMBOL, 5)
    assert await rest.instruments() == ()
    with pytest.raises(RateLimited):  # 40 are ours, 21 are spent
        await rest.trades(SYMBOL, 5)


async def test_history_waits_for_credits_and_leaves_connections_free(autojump_clock: trio.testing.MockClock) -> None:
    """A thousand symbols ask at once: none is refused, none times out, and a live question does not wait behind them."""
    host = Host({"/fapi/v1/klines": [], "/fapi/v1/time": {"serverTime": T0 + 2_000}}, takes_s=0.1)
    rest = venue_over(host, clock=_clock(), max_connections=8).public()
    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(lambda n: rest.bars(f"S{n}", "1h", T0 - 299 * 3_600_000, T0, history=True), number)
        await trio.sleep(5)
        began_s = trio.current_time()
        await rest.server_time_ms()
        assert trio.current_time() - began_s == pytest.approx(0.1, abs=0.01)
    assert len(host.asked) == 1001
    assert host.most_at_once <= 7
    assert trio.current_time() < 125  # 2000 of weight, 1920 a minute


async def test_open_interest_that_waits_for_its_limit_does_not_hold_up_bars(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host({"/futures/data/openInterestHist": [], "/fapi/v1/klines": []}, takes_s=0.1)
    rest = venue_over(host, clock=_clock()).public()
    async with trio.open_nursery() as nursery:
        for number in range(900):
            nursery.start_soon(rest.open_interest_history, f"S{number}", "1h", 300)
        await trio.sleep(60)
        began_s = trio.current_time()
        for _ in range(10):
            await rest.bars(SYMBOL, "1h", T0 - 3_600_000, T0, history=True)
        assert trio.current_time() - began_s < 3
        assert sum("openInterest" in path for path in host.asked) <= 500
    assert len(host.asked) == 910
    assert trio.current_time() < 600  # 500 in each five minutes


# ── many askers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _marks(query: dict[str, str]) -> Any:
    rows = [{"symbol": f"S{n}"} | MARK for n in range(300)] + [{"symbol": "COIN", "st": 2} | MARK]
    return rows if not query else {"symbol": query["symbol"]} | MARK


async def test_many_symbols_that_ask_together_share_one_request_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host({"/fapi/v1/premiumIndex": _marks}, takes_s=0.05)
    rest = venue_over(host, clock=_clock()).public()

    async def poll(number: int) -> None:
        for _ in range(3):
            await trio.sleep(number / 1000)
            assert (await rest.mark(f"S{number}")).mark == 11.5
            await trio.sleep(3)

    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(poll, number)
    assert len(host.asked) <= 3 * 2 + 10
    assert sum("symbol" not in path for path in host.asked) <= 3 * 2


async def test_a_lone_asker_asks_for_its_own_symbol(autojump_clock: trio.testing.MockClock) -> None:
    host = Host({"/fapi/v1/premiumIndex": _marks})
    rest = venue_over(host, clock=_clock()).public()
    got = await rest.mark("S7")
    assert host.asked == ["/fapi/v1/premiumIndex?symbol=S7"]
    assert (got.mark, got.index, got.funding, got.next_funding_ms, got.venue_ms) == (11.5, 11.4, 0.0001, T0, T0 - 9)


async def test_when_the_one_who_asks_for_all_gives_up_another_asks(autojump_clock: trio.testing.MockClock) -> None:
    host = Host({"/fapi/v1/premiumIndex": _marks}, takes_s=1)
    rest = venue_over(host, clock=_clock()).public()
    answered = 0

    async def impatient() -> None:
        with trio.move_on_after(0.5):
            await rest.mark("S0")

    async def patient(number: int) -> None:
        nonlocal answered
        await rest.mark(f"S{number}")
        answered += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(impatient)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(50):
            nursery.start_soon(patient, number)
    assert answered == 50
    assert len(host.asked) == 2


async def test_everybody_learns_of_a_failure_and_of_a_symbol_that_is_not_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answers: dict[str, Any] = {"/fapi/v1/premiumIndex": reply({"code": -1000, "msg": "?"}, 500)}
    host = Host(answers)
    rest = venue_over(host, clock=_clock()).public()
    caught: list[type[VenueError]] = []

    async def ask(symbol: str) -> None:
        try:
            await rest.mark(symbol)
        except VenueError as error:
            caught.append(type(error))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(ask, f"S{number}")
    assert caught == [Unavailable] * 20
    answers["/fapi/v1/premiumIndex"] = _marks
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(ask, f"S{number}")
        nursery.start_soon(ask, "COIN")  # of the other product
    assert caught[20:] == [WireError]


async def test_one_broken_row_of_all_symbols_hides_no_other() -> None:
    good = [{"symbol": f"S{n}"} | MARK for n in range(3)]
    rest = venue_over(
        Host({"/fapi/v1/premiumIndex": [*good, {"symbol": "ODD"}, {"symbol": "NEW", "markPrice": None}]})
    ).public()
    assert list(await rest.marks()) == ["S0", "S1", "S2"]
    rest = venue_over(Host({"/fapi/v1/premiumIndex": [{"symbol": "ODD"}]})).public()
    with pytest.raises(WireError, match="markPrice"):
        await rest.marks()


@pytest.mark.parametrize("rows", [[], [{"symbol": "COIN", "st": 2} | MARK]])
async def test_a_list_of_all_symbols_without_one_of_ours_is_no_answer(rows: Any) -> None:
    """Taken for one, it would be good for an hour."""
    with pytest.raises(WireError, match="a row of this product"):
        await venue_over(Host({"/fapi/v1/premiumIndex": rows})).public().marks()


@pytest.mark.parametrize("price", ["0.00000000", "0"])
async def test_a_list_of_spot_prices_that_are_all_zero_is_no_answer(price: str) -> None:
    rows = [{"symbol": name, "price": price} for name in ("BTCUSDT", "ETHUSDT")]
    with pytest.raises(WireError, match="price"):
        await venue_over(Host({"/api/v3/ticker/price": rows})).public().spot_prices()


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-1", ""])
async def test_a_spot_price_that_is_no_price_hides_no_other(price: str) -> None:
    rows = [{"symbol": "BTCUSDT", "price": price}, {"symbol": "ETHUSDT", "price": "4000.5"}]
    _, prices = await venue_over(Host({"/api/v3/ticker/price": rows})).public().spot_prices()
    assert prices == {"ETHUSDT": 4000.5}


# ── replies ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _listing(symbol: str, **changes: Any) -> dict[str, Any]:
    filters = [
        {"tickSize": "0.10", "maxPrice": "4529764", "filterType": "PRICE_FILTER", "minPrice": "261.10"},
        {"stepSize": "0.001", "filterType": "LOT_SIZE", "maxQty": "1000", "minQty": "0.001"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDecimal": "4"},
    ]
    listing = {"symbol": symbol, "pair": symbol, "contractType": "PERPETUAL", "deliveryDate": 4133404800000}
    listing |= {"status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT"}
    return listing | {"pricePrecision": 2, "filters": filters} | changes


async def test_the_listing_becomes_instruments_and_a_broken_row_hides_no_other() -> None:
    rows = [
        _listing("BTCUSDT"),
        _listing("BTCUSDT_261225", contractType="CURRENT_QUARTER", deliveryDate=T0),
        _listing("TSLAUSDT", contractType="TRADIFI_PERPETUAL", status="SETTLING"),
        _listing("BTCUSD_PERP", st=2),
        _listing("ODD", contractType=""),
        _listing("BROKEN", filters=[]),
        _listing("ZERO", filters=[{"filterType": "PRICE_FILTER", "tickSize": "0"}, {"filterType": "LOT_SIZE"}]),
    ]
    rest = venue_over(Host({"/fapi/v1/exchangeInfo": {"symbols": rows}})).public()
    found = {row.symbol: row for row in await rest.instruments()}
    assert list(found) == ["BTCUSDT", "BTCUSDT_261225", "TSLAUSDT"]
    perpetual, quarter, stock = found.values()
    assert (str(perpetual.tick_size), str(perpetual.lot_size), perpetual.expires_at_ms) == ("0.10", "0.001", None)
    assert perpetual.instrument_id == "binance:BTCUSDT"
    assert (quarter.kind, quarter.expires_at_ms) == (InstrumentKind.FUTURE, T0)
    assert (stock.kind, stock.active) == (InstrumentKind.PERPETUAL, False)


async def test_trades_are_the_aggregate_ones_the_stream_numbers() -> None:
    row = {"a": 8, "p": "5.5", "q": "2", "nq": "2", "f": 1, "l": 2, "T": T0, "m": True}
    host = Host({"/fapi/v1/aggTrades": [row, row | {"a": 7, "m": False}]})
    rest = venue_over(host).public()
    got = await rest.trades(SYMBOL, 5000, after_seq=6)
    assert [(one.trade_seq, one.taker_side) for one in got] == [(7, 1), (8, -1)]
    assert host.asked == [f"/fapi/v1/aggTrades?symbol={SYMBOL}&limit=1000&fromId=7"]


async def test_a_ticker_is_put_together_from_three_questions() -> None:
    answers = {
        "/fapi/v1/ticker/bookTicker": {"symbol": SYMBOL, "bidPrice": "11", "askPrice": "0.0", "time": T0},
        "/fapi/v2/ticker/price": {"symbol": SYMBOL, "price": "11.2", "time": T0},
        "/fapi/v1/premiumIndex": {"symbol": SYMBOL} | MARK,
    }
    got = await venue_over(Host(answers)).public().ticker(SYMBOL)
    assert (got.bid, got.ask, got.last, got.mark, got.venue_ms) == (11.0, None, 11.2, 11.5, T0)


@pytest.mark.parametrize(
    "rows", [[[T0 + 1, *["1"] * 5, T0, "1", 1, "1", "1"]], [[T0 + 60_000, *["1"] * 5, 0, "1", 1, "1", "1"]]]
)
async def test_bars_nobody_asked_for_are_a_broken_reply(rows: Any) -> None:
    with pytest.raises(BadReply):
        await venue_over(Host({"/fapi/v1/klines": rows})).public().bars(SYMBOL, "1m", T0, T0)


# ── sources ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _fetch(name: str, host: Host, *symbols: str) -> dict[str, Any]:
    venue = venue_over(host, clock=TrioClock(T0))
    source = venue.sources[name]
    got = await source.fetch(venue.public(), symbols, 300)
    assert all(rows.shape[1] == len(source.columns) for rows in got.values())
    return {symbol: rows.tolist() for symbol, rows in got.items()}


async def test_spot_prices_are_of_what_one_contract_is_on() -> None:
    prices = {"PEPEUSDT": "0.001", "1000SATSUSDT": "0.5", "SATSUSDT": "9", "BTCUSDT": "60000", "DEADUSDT": "0.0"}
    host = Host({"/api/v3/ticker/price": [{"symbol": name, "price": price} for name, price in prices.items()]})
    asked = ("BTCUSDT", "1000PEPEUSDT", "1000SATSUSDT", "1MPEPEUSDT", "NEWUSDT", "DEADUSDT")
    got = await _fetch("spot", host, *asked)
    assert {symbol: rows[0][1] for symbol, rows in got.items()} == {
        "BTCUSDT": 60000.0,
        "1000PEPEUSDT": 1.0,
        "1000SATSUSDT": 0.5,
        "1MPEPEUSDT": 1000.0,
    }
    assert got["BTCUSDT"][0][0] == T0
    assert spot_names("1INCHUSDT") == (("1INCHUSDT", 1.0),)
    assert spot_names("BTCUSDT_261225") == (("BTCUSDT", 1.0),)


async def test_funding_of_every_symbol_is_one_question() -> None:
    host = Host({"/fapi/v1/premiumIndex": _marks})
    got = await _fetch("funding", host, "S1", "S2", "NOPE")
    assert got == {name: [[T0 - 9, 0.0001, T0, 11.5]] for name in ("S1", "S2")}
    assert len(host.asked) == 1


async def test_funding_that_is_not_said_is_absent_and_a_mark_of_zero_is_none() -> None:
    rows = [
        {"symbol": "S1"} | MARK | {"markPrice": "0.00000000"},
        {"symbol": "QUARTER"} | MARK | {"lastFundingRate": "", "nextFundingTime": 0},
        {"symbol": "LACKS", "markPrice": "5", "time": T0},
        {"symbol": "NULL"} | MARK | {"lastFundingRate": None},
        {"symbol": "NAN"} | MARK | {"lastFundingRate": "NaN"},
        {"symbol": "ZERO"} | MARK | {"lastFundingRate": "0.00000000"},
    ]
    got = await _fetch("funding", Host({"/fapi/v1/premiumIndex": rows}), *(row["symbol"] for row in rows))
    assert list(got) == ["S1", "ZERO"]
    assert math.isnan(got["S1"][0][3])
    assert got["ZERO"][0][1] == 0.0


async def test_a_symbol_without_open_interest_is_absent() -> None:
    row = {"symbol": "A", "sumOpenInterest": "5", "sumOpenInterestValue": "50.5", "timestamp": T0}
    answer: Callable[[dict[str, str]], Any] = lambda query: (  # noqa: E731
        [row | {"timestamp": T0 + 3_600_000}, row] if query["symbol"] == "A" else []
    )
    got = await _fetch("open_interest", Host({"/futures/data/openInterestHist": answer}), "A", "B")
    assert list(got) == ["A"]
    assert np.array_equal(got["A"], [[T0, 5.0, 50.5], [T0 + 3_600_000, 5.0, 50.5]])


def test_every_source_and_class_has_its_row() -> None:
    venue = venue_over(_nothing)
    streamed = {str(name) for classes in venue.routes.values() for name in classes}
    assert set(venue.policy) == streamed | set(venue.sources)
    for name, source in venue.sources.items():
        assert venue.policy[name].via == "poll"
        assert source.row.age_s > 2 * source.row.poll_s


def test_trades_of_many_symbols_asked_for_leave_the_most_of_the_budget_to_books_and_bars() -> None:
    ours = 2400 * BinanceUsdmSettings().weight_share
    assert 200 * 20 * 60 / venue_over(_nothing).policy["trades"].poll_s < ours / 2


# ── settings ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_hosts_where_money_moves_are_known_however_they_are_spelled() -> None:
    assert BinanceUsdmSettings().production_url == ""
    for url in ("https://fapi.binance.com", "https://FAPI.binance.com.:443/x", "https://ws-fapi.binance.com"):
        assert BinanceUsdmSettings(http_url=url).production_url == url
    assert BinanceUsdmSettings(ws_url="wss://fstream.binance.com").production_url == "wss://fstream.binance.com"
    assert BinanceUsdmSettings(http_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1").production_url == ""
