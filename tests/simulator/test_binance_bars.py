"""Bars of the simulated Binance USD-M: sums of its trades, the same in streams and queries, with a long made-up past."""

import itertools
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from engine.kernel import Entropy
from engine.simulator.binance_usdm import BinanceVenue
from engine.simulator.binance_usdm.intervals import INTERVALS
from engine.simulator.binance_usdm.noise import Noise
from tests.support.binance_venue import DAY_MS, MINUTE_MS, START_MS, Listener


def test_every_bar_is_closed_exactly_once_and_no_bar_is_left_out() -> None:
    heard = Listener("btcusdt@kline_1m", "btcusdt@kline_3m")
    heard.run(430)
    for name, length_ms in (("1m", MINUTE_MS), ("3m", 3 * MINUTE_MS)):
        bars = [frame["k"] for frame in heard.frames[f"btcusdt@kline_{name}"]]
        closed = [bar["t"] for bar in bars if bar["x"]]
        first = START_MS - START_MS % length_ms
        assert closed == list(range(first, first + len(closed) * length_ms, length_ms))
        assert len(closed) == (START_MS + 430_000 - first) // length_ms
        assert all(bar["T"] == bar["t"] + length_ms - 1 for bar in bars)
        for earlier, later in itertools.pairwise(bars):
            assert later["t"] - earlier["t"] == (length_ms if earlier["x"] else 0)


def test_klines_are_paced_at_250_ms_but_for_closed_ones() -> None:
    heard = Listener("btcusdt@kline_1m")
    heard.run(90)
    times = [frame["E"] for frame in heard.frames["btcusdt@kline_1m"] if not frame["k"]["x"]]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 250
    assert sum(gaps) / len(gaps) < 400


def test_the_closed_bar_of_the_stream_is_the_row_of_the_query() -> None:
    heard = Listener("btcusdt@kline_1m", "btcusdt@kline_5m", symbols=("BTCUSDT",))
    heard.run(310, every_ms=500)
    for name in ("1m", "5m"):
        rows = {row[0]: row for row in heard.get("/fapi/v1/klines", symbol="BTCUSDT", interval=name, limit=100)}
        closed = [frame["k"] for frame in heard.frames[f"btcusdt@kline_{name}"] if frame["k"]["x"]]
        assert closed
        for bar in closed:
            shown = [bar[key] for key in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]
            assert rows[bar["t"]] == shown


def test_a_bar_is_the_sum_of_its_trades() -> None:
    heard = Listener("btcusdt@aggTrade", "btcusdt@kline_1m")
    heard.run(150)
    trades = [(row["T"], Decimal(row["p"]), Decimal(row["q"]), row) for row in heard.frames["btcusdt@aggTrade"]]
    bars = [frame["k"] for frame in heard.frames["btcusdt@kline_1m"] if frame["k"]["x"]][1:]
    assert bars
    for bar in bars:
        inside = [row for row in trades if bar["t"] <= row[0] <= bar["T"]]
        prices = [price for _, price, _, _ in inside]
        assert [Decimal(bar[key]) for key in "ohlc"] == [prices[0], max(prices), min(prices), prices[-1]]
        assert Decimal(bar["v"]) == sum(amount for _, _, amount, _ in inside)
        assert Decimal(bar["q"]) == sum(price * amount for _, price, amount, _ in inside)
        assert Decimal(bar["V"]) == sum(amount for _, _, amount, row in inside if not row["m"])
        assert bar["n"] == sum(row["l"] - row["f"] + 1 for *_, row in inside)
        assert (bar["f"], bar["L"]) == (inside[0][3]["f"], inside[-1][3]["l"])


def test_a_longer_bar_is_the_sum_of_its_minutes_on_the_day_the_venue_begins() -> None:
    day_ms = START_MS - START_MS % DAY_MS
    heard = Listener(start_ms=day_ms + DAY_MS - 150_000, symbols=("BTCUSDT",))
    heard.run(400, every_ms=1_000)
    minutes = heard.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=day_ms, limit=1500)
    assert minutes[0][0] == day_ms
    for name, interval in INTERVALS.items():
        if interval.length_ms <= DAY_MS:
            longer = heard.get("/fapi/v1/klines", symbol="BTCUSDT", interval=name, startTime=day_ms, limit=1500)
            assert longer[0][0] == day_ms
            check_sums(longer, minutes)


def check_sums(longer: list[Any], minutes: list[Any]) -> None:
    for row in longer:
        inside = [minute for minute in minutes if row[0] <= minute[0] <= row[6]]
        assert Decimal(row[1]) == Decimal(inside[0][1])
        assert Decimal(row[2]) == max(Decimal(minute[2]) for minute in inside)
        assert Decimal(row[3]) == min(Decimal(minute[3]) for minute in inside)
        assert Decimal(row[4]) == Decimal(inside[-1][4])
        for column in (5, 7, 8, 9, 10):
            assert Decimal(row[column]) == sum(Decimal(minute[column]) for minute in inside)


@pytest.mark.parametrize("name", list(INTERVALS))
def test_history_is_gapless_long_and_well_formed(name: str) -> None:
    heard = Listener(symbols=("ETHUSDT",))
    rows = heard.get("/fapi/v1/klines", symbol="ETHUSDT", interval=name, limit=1500)
    assert len(rows) == 1500 or rows[0][0] <= 1_569_398_400_000 + 2 * INTERVALS[name].length_ms
    assert rows[-1][0] <= START_MS <= rows[-1][6]
    for earlier, later in itertools.pairwise(rows):
        assert later[0] == earlier[6] + 1
        assert later[1] == earlier[4] or later[0] >= START_MS - MINUTE_MS
    for row in rows:
        opening, high, low, close = (Decimal(text) for text in row[1:5])
        assert 0 < low <= min(opening, close) <= max(opening, close) <= high
        assert 0 <= Decimal(row[9]) <= Decimal(row[5])
        assert Decimal(row[5]) >= 0
        assert all(not value % Decimal("0.01") for value in (opening, high, low, close))


def test_history_is_the_same_each_time_and_looking_at_it_changes_nothing() -> None:
    watched, alone = Listener(), Listener()
    first = watched.get("/fapi/v1/klines", symbol="BTCUSDT", interval="4h", limit=1000)
    assert watched.get("/fapi/v1/klines", symbol="BTCUSDT", interval="4h", limit=1000) == first
    watched.get("/fapi/v1/fundingRate", symbol="BTCUSDT")
    watched.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="5m")
    for heard in (watched, alone):
        heard.run(3)
    assert watched.venue.truth("BTCUSDT") == alone.venue.truth("BTCUSDT")


def test_noise_is_uniform_or_normal_differs_by_name_and_is_the_same_each_time() -> None:
    noise = Noise(Entropy(None))
    uniform, normal = noise.uniform("a", 20_000), noise.normal("a", 20_000)
    assert 0 < uniform.min() < 0.001 < 0.999 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1.0) < 0.03
    assert abs(np.corrcoef(uniform[1:], uniform[:-1])[0, 1]) < 0.03
    assert abs(np.corrcoef(uniform, noise.uniform("b", 20_000))[0, 1]) < 0.03
    assert (noise.uniform("a", 100) == uniform[:100]).all()


def test_without_a_seed_the_past_is_drawn_once() -> None:
    venue = BinanceVenue(start_ms=START_MS, entropy=Entropy(None), symbols=("BTCUSDT",))
    queries = [
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h"}),
        ("/fapi/v1/fundingRate", {"symbol": "BTCUSDT"}),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "1h"}),
    ]
    for path, params in queries:
        first, second = (venue.get(path, params, START_MS).body for _ in range(2))
        assert first == second


def test_a_bar_without_trades_is_flat_and_has_no_trade_ids() -> None:
    heard = Listener("btcusdt@kline_1m")
    heard.run(10)
    price = heard.get("/fapi/v1/ticker/price", symbol="BTCUSDT")["price"]
    heard.venue.advance(START_MS + 10 * MINUTE_MS)  # a pause: most of it is not lived through
    rows = heard.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=12)
    quiet = [row for row in rows if START_MS + 2 * MINUTE_MS < row[0] < START_MS + 8 * MINUTE_MS]
    assert len(quiet) == 6
    assert all(row[1:6] == [price] * 4 + ["0.000"] and row[8] == 0 for row in quiet)
    heard.run(1)
    assert heard.frames["btcusdt@kline_1m"][-1]["k"]["t"] == rows[-1][0]
