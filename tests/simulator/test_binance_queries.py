"""Queries of the simulated Binance USD-M: what they answer, what they cost and how they complain."""

import re
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel import Entropy
from engine.simulator.binance_usdm import ApiError, BinanceVenue, symbols_of
from engine.simulator.binance_usdm.endpoint import ENDPOINTS

START_MS = 1_790_000_000_000
SYMBOLS = symbols_of(24)
MINUTE_MS = 60_000
NOW_MS = START_MS + 3_000


@cache
def shared() -> BinanceVenue:
    """The venue most tests ask; asking changes nothing."""
    venue = BinanceVenue(start_ms=START_MS, entropy=Entropy(1), symbols=SYMBOLS)
    venue.advance(NOW_MS)
    return venue


def get(path: str, venue: BinanceVenue | None = None, **params: Any) -> Any:
    answer = (venue or shared()).get(path, {name: str(value) for name, value in params.items()}, NOW_MS)
    return msgspec.json.decode(answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body))


def complaint(path: str, **params: Any) -> tuple[int, int, str]:
    with pytest.raises(ApiError) as caught:
        get(path, **params)
    return caught.value.status, caught.value.code, caught.value.msg


# -- what they cost


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/fapi/v1/ping", {}, ("weight", 1)),
        ("/fapi/v1/time", {}, ("weight", 1)),
        ("/fapi/v1/exchangeInfo", {}, ("weight", 1)),
        ("/fapi/v1/depth", {"limit": "5"}, ("weight", 2)),
        ("/fapi/v1/depth", {"limit": "50"}, ("weight", 2)),
        ("/fapi/v1/depth", {"limit": "100"}, ("weight", 5)),
        ("/fapi/v1/depth", {}, ("weight", 10)),
        ("/fapi/v1/depth", {"limit": "1000"}, ("weight", 20)),
        ("/fapi/v1/klines", {"limit": "99"}, ("weight", 1)),
        ("/fapi/v1/klines", {"limit": "100"}, ("weight", 2)),
        ("/fapi/v1/klines", {"limit": "499"}, ("weight", 2)),
        ("/fapi/v1/klines", {}, ("weight", 5)),
        ("/fapi/v1/klines", {"limit": "1000"}, ("weight", 5)),
        ("/fapi/v1/klines", {"limit": "1500"}, ("weight", 10)),
        ("/fapi/v1/klines", {"limit": "many"}, ("weight", 5)),
        ("/fapi/v1/aggTrades", {}, ("weight", 20)),
        ("/fapi/v1/trades", {}, ("weight", 5)),
        ("/fapi/v1/premiumIndex", {}, ("weight", 10)),
        ("/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"}, ("weight", 1)),
        ("/fapi/v1/ticker/24hr", {}, ("weight", 40)),
        ("/fapi/v1/ticker/24hr", {"symbol": "BTCUSDT"}, ("weight", 1)),
        ("/fapi/v1/ticker/price", {}, ("weight", 2)),
        ("/fapi/v2/ticker/price", {"symbol": "BTCUSDT"}, ("weight", 1)),
        ("/fapi/v1/ticker/bookTicker", {}, ("weight", 5)),
        ("/fapi/v1/ticker/bookTicker", {"symbol": "BTCUSDT"}, ("weight", 2)),
        ("/fapi/v1/openInterest", {}, ("weight", 1)),
        ("/fapi/v1/fundingRate", {}, ("funding", 1)),
        ("/fapi/v1/fundingInfo", {}, ("funding", 1)),
        ("/futures/data/openInterestHist", {}, ("data", 1)),
        ("/api/v3/ticker/price", {}, ("spot", 4)),
        ("/api/v3/ticker/price", {"symbol": "BTCUSDT"}, ("spot", 2)),
        ("/api/v3/ticker/price", {"symbols": '["BTCUSDT"]'}, ("spot", 4)),
        ("/fapi/v1/nothing", {}, ("weight", 1)),
    ],
)
def test_each_query_counts_in_its_limit_by_the_table(
    path: str, params: dict[str, str], expected: tuple[str, int]
) -> None:
    assert shared().weight_of(path, params) == expected


def test_an_answer_says_what_it_cost() -> None:
    answer = shared().get("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "99"}, NOW_MS)
    assert (answer.bucket, answer.weight) == ("weight", 1)


# -- how they complain

NEEDS_SYMBOL = [
    "/fapi/v1/depth",
    "/fapi/v1/klines",
    "/fapi/v1/aggTrades",
    "/fapi/v1/trades",
    "/fapi/v1/openInterest",
    "/futures/data/openInterestHist",
]
MAY_HAVE_SYMBOL = [
    "/fapi/v1/premiumIndex",
    "/fapi/v1/fundingRate",
    "/fapi/v1/ticker/24hr",
    "/fapi/v1/ticker/price",
    "/fapi/v1/ticker/bookTicker",
    "/api/v3/ticker/price",
]


@pytest.mark.parametrize("path", NEEDS_SYMBOL)
def test_a_missing_symbol_is_named(path: str) -> None:
    text = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
    assert complaint(path) == (400, -1102, text)


@pytest.mark.parametrize("path", NEEDS_SYMBOL + MAY_HAVE_SYMBOL)
def test_an_unknown_symbol_and_one_that_cannot_be_one_are_refused(path: str) -> None:
    assert complaint(path, symbol="NOBODYUSDT") == (400, -1121, "Invalid symbol.")
    assert complaint(path, symbol="btcusdt")[:2] == (400, -1100)
    assert complaint(path, symbol="")[:2] == (400, -1102)


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/fapi/v1/klines", {}, -1102),
        ("/fapi/v1/klines", {"interval": "7m"}, -1120),
        ("/fapi/v1/klines", {"interval": "1m", "limit": "1501"}, -1130),
        ("/fapi/v1/klines", {"interval": "1m", "limit": "0"}, -1130),
        ("/fapi/v1/klines", {"interval": "1m", "limit": "-1"}, -1100),
        ("/fapi/v1/klines", {"interval": "1m", "limit": "²"}, -1100),
        ("/fapi/v1/klines", {"interval": "1m", "limit": "9" * 30}, -1100),
        ("/fapi/v1/klines", {"interval": "1m", "startTime": "now"}, -1100),
        ("/fapi/v1/klines", {"interval": "1m", "startTime": "2", "endTime": "1"}, -1023),
        ("/fapi/v1/depth", {"limit": "7"}, -4021),
        ("/fapi/v1/aggTrades", {"limit": "1001"}, -1130),
        ("/fapi/v1/aggTrades", {"fromId": "1", "startTime": "1"}, -1128),
        ("/fapi/v1/aggTrades", {"startTime": "0", "endTime": "3600000"}, -1127),
        ("/fapi/v1/trades", {"limit": "1001"}, -1130),
        ("/fapi/v1/fundingRate", {"limit": "1001"}, -1130),
        ("/futures/data/openInterestHist", {}, -1102),
        ("/futures/data/openInterestHist", {"period": "1m"}, -1130),
        ("/futures/data/openInterestHist", {"period": "5m", "limit": "501"}, -1130),
        ("/api/v3/ticker/price", {"symbols": '["ETHUSDT"]'}, -1128),
    ],
)
def test_a_bad_parameter_has_its_code(path: str, params: dict[str, str], code: int) -> None:
    assert complaint(path, symbol="BTCUSDT", **params)[:2] == (400, code)


@pytest.mark.parametrize("path", ["/fapi/v1/allForceOrders", "/", "", "/fapi/v1/klines/"])
def test_an_unknown_path_is_not_found(path: str) -> None:
    assert complaint(path) == (404, -5000, f"Path {path}, Method GET is invalid")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(ENDPOINTS)),
    st.dictionaries(
        st.sampled_from(["symbol", "symbols", "interval", "period", "limit", "startTime", "endTime", "fromId"]),
        st.one_of(st.text(max_size=8), st.sampled_from(["BTCUSDT", "1h", "5", "1500", "0", "99999999999999999"])),
    ),
)
def test_whatever_is_asked_is_answered_or_refused_with_a_code(path: str, params: dict[str, str]) -> None:
    status, code = outcome(path, params)
    assert status == 200 or (400 <= status < 500 and code < -1000)


def outcome(path: str, params: dict[str, str]) -> tuple[int, int]:
    try:
        msgspec.json.encode(shared().get(path, params, NOW_MS).body)
    except ApiError as error:
        return error.status, error.code
    return 200, 0


def test_under_maintenance_every_query_fails_for_sure() -> None:
    venue = BinanceVenue(start_ms=START_MS, entropy=Entropy(1), symbols=("BTCUSDT",))
    venue.maintenance = True
    for path in ENDPOINTS:
        with pytest.raises(ApiError) as caught:
            venue.get(path, {"symbol": "BTCUSDT"}, NOW_MS)
        assert caught.value.status == 503
    venue.maintenance = False
    assert venue.get("/fapi/v1/ping", {}, NOW_MS).body == {}


# -- what they answer


def test_listings_have_a_grid_that_every_price_and_amount_lies_on() -> None:
    info = get("/fapi/v1/exchangeInfo")
    assert [row["symbol"] for row in info["symbols"]] == list(SYMBOLS)
    assert info["serverTime"] == NOW_MS
    for row in info["symbols"]:
        filters = {entry["filterType"]: entry for entry in row["filters"]}
        tick, step = Decimal(filters["PRICE_FILTER"]["tickSize"]), Decimal(filters["LOT_SIZE"]["stepSize"])
        book = get("/fapi/v1/depth", symbol=row["symbol"], limit=50)
        for price, amount in book["bids"] + book["asks"]:
            assert not Decimal(price) % tick
            assert not Decimal(amount) % step
            assert len(price.partition(".")[2]) == row["pricePrecision"]
            assert len(amount.partition(".")[2]) == row["quantityPrecision"]
            low, high = (Decimal(filters["PRICE_FILTER"][name]) for name in ("minPrice", "maxPrice"))
            assert low < Decimal(price) < high


def test_numbers_are_written_out_without_exponents() -> None:
    for path in ("/fapi/v1/exchangeInfo", "/fapi/v1/premiumIndex", "/fapi/v1/ticker/24hr", "/api/v3/ticker/price"):
        for text in re.findall(r'"([0-9.eE+-]+)"', msgspec.json.encode(get(path)).decode()):
            assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text)


def test_the_keys_of_a_filter_do_not_always_come_in_one_order() -> None:
    rows = get("/fapi/v1/exchangeInfo")["symbols"]
    orders = {tuple(entry) for row in rows for entry in row["filters"] if entry["filterType"] == "LOT_SIZE"}
    assert len(orders) > 1


@pytest.mark.parametrize("name", ["1m", "1h", "1d"])
def test_klines_select_by_time_and_limit(name: str) -> None:
    path = "/fapi/v1/klines"
    rows = get(path, symbol="BTCUSDT", interval=name, limit=1500)
    assert get(path, symbol="BTCUSDT", interval=name, limit=10) == rows[-10:]
    start_ms, end_ms = rows[100][0], rows[120][0]
    window = {"startTime": start_ms, "endTime": end_ms}
    assert get(path, symbol="BTCUSDT", interval=name, **window) == rows[100:121]
    assert get(path, symbol="BTCUSDT", interval=name, startTime=start_ms, limit=7) == rows[100:107]
    assert get(path, symbol="BTCUSDT", interval=name, startTime=start_ms - 1, limit=7) == rows[100:107]
    assert get(path, symbol="BTCUSDT", interval=name, startTime=start_ms + 1, limit=7) == rows[101:108]
    assert get(path, symbol="BTCUSDT", interval=name, endTime=end_ms, limit=7) == rows[114:121]
    assert get(path, symbol="BTCUSDT", interval=name, startTime=rows[-1][0]) == rows[-1:]
    assert get(path, symbol="BTCUSDT", interval=name, startTime=rows[-1][0] + 1) == []


def test_funding_is_at_full_hours_of_the_symbols_interval_and_within_its_caps() -> None:
    info = {row["symbol"]: row for row in get("/fapi/v1/fundingInfo")}
    intervals = set()
    for symbol in SYMBOLS:
        rows = get("/fapi/v1/fundingRate", symbol=symbol, limit=1000)
        hours = info.get(symbol, {"fundingIntervalHours": 8})["fundingIntervalHours"]
        intervals.add(hours)
        times = [row["fundingTime"] for row in rows]
        assert times == list(range(times[0], times[-1] + 1, hours * 3_600_000))
        assert times[-1] % (hours * 3_600_000) == 0
        assert 0 <= NOW_MS - times[-1] <= hours * 3_600_000
        cap = Decimal(info[symbol]["adjustedFundingRateCap"]) if symbol in info else Decimal("0.003")
        assert all(abs(Decimal(row["fundingRate"])) <= cap for row in rows)
        assert get("/fapi/v1/premiumIndex", symbol=symbol)["nextFundingTime"] == times[-1] + hours * 3_600_000
    assert len(intervals) > 1


def test_funding_selects_by_time_and_limit_over_one_symbol_or_all() -> None:
    path = "/fapi/v1/fundingRate"
    rows = get(path, symbol="BTCUSDT", limit=1000)
    assert get(path, symbol="BTCUSDT") == rows[-100:]
    start_ms, end_ms = rows[40]["fundingTime"], rows[60]["fundingTime"]
    assert get(path, symbol="BTCUSDT", startTime=start_ms, endTime=end_ms) == rows[40:61]
    assert get(path, symbol="BTCUSDT", startTime=start_ms, limit=3) == rows[40:43]
    every = get(path, limit=1000)
    assert [row["fundingTime"] for row in every] == sorted(row["fundingTime"] for row in every)
    mine = [row for row in every if row["symbol"] == "BTCUSDT"]
    assert mine == rows[-len(mine) :]


def test_open_interest_history_selects_by_time_and_goes_back_a_month() -> None:
    path = "/futures/data/openInterestHist"
    rows = get(path, symbol="BTCUSDT", period="15m", limit=500)
    assert get(path, symbol="BTCUSDT", period="15m") == rows[-30:]
    start_ms, end_ms = rows[40]["timestamp"], rows[60]["timestamp"]
    assert get(path, symbol="BTCUSDT", period="15m", startTime=start_ms, endTime=end_ms) == rows[40:61]
    days = get(path, symbol="BTCUSDT", period="1d", limit=500)
    assert len(days) == 30
    assert get(path, symbol="BTCUSDT", period="1d", startTime=0, endTime=1) == []
    for row in rows:
        price = Decimal(row["sumOpenInterestValue"]) / Decimal(row["sumOpenInterest"])
        assert Decimal(20_000) < price < Decimal(400_000)


def test_one_symbol_is_an_object_and_all_of_them_an_array() -> None:
    for path in MAY_HAVE_SYMBOL:
        if path == "/fapi/v1/fundingRate":
            continue
        every = get(path)
        assert len(every) == len(SYMBOLS)
        assert get(path, symbol="BTCUSDT") in every


def test_spot_prices_come_by_symbol_by_list_or_all_together() -> None:
    path = "/api/v3/ticker/price"
    every = {row["symbol"]: row for row in get(path)}
    assert "PEPEUSDT" in every
    assert "1000PEPEUSDT" not in every
    assert get(path, symbols='["ETHUSDT","BTCUSDT"]') == [every["ETHUSDT"], every["BTCUSDT"]]
    assert complaint(path, symbols='["ETHUSDT","NOBODYUSDT"]')[:2] == (400, -1121)
    assert complaint(path, symbols="ETHUSDT")[:2] == (400, -1100)


def test_ids_of_a_venue_started_later_come_after_those_of_the_one_before() -> None:
    later = BinanceVenue(start_ms=START_MS + MINUTE_MS, entropy=Entropy(1), symbols=("BTCUSDT",))
    before, after = get("/fapi/v1/aggTrades", symbol="BTCUSDT"), get("/fapi/v1/aggTrades", later, symbol="BTCUSDT")
    assert before[-1]["a"] < after[0]["a"]
    assert before[-1]["l"] < after[0]["f"]
    assert (
        get("/fapi/v1/depth", symbol="BTCUSDT")["lastUpdateId"]
        < get("/fapi/v1/depth", later, symbol="BTCUSDT")["lastUpdateId"]
    )
