"""The simulated Binance USD-M as a whole: repeatable, silent when nobody listens, and at home in any time."""

import itertools
import sys
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel import Entropy
from engine.simulator.binance_usdm import DEFAULT_SYMBOLS, BinanceVenue, symbols_of
from engine.simulator.binance_usdm.contracts import style_of
from engine.simulator.binance_usdm.digits import fixed
from engine.simulator.binance_usdm.intervals import INTERVALS
from engine.simulator.binance_usdm.symbols import spec_of
from engine.simulator.prices import OhlcBar
from engine.simulator.replay import Recording
from tests.support.binance_venue import DAY_MS, MINUTE_MS, START_MS, Listener


def history(heard: Listener) -> Any:
    return {symbol: heard.venue.truth(symbol) for symbol in heard.venue.desks}, dict(heard.frames)


STREAMS = ("btcusdt@kline_1m", "btcusdt@depth@100ms", "btcusdt@aggTrade", "!markPrice@arr@1s", "!forceOrder@arr")


def test_one_seed_gives_one_market_and_another_seed_another() -> None:
    first, same, other = Listener(*STREAMS), Listener(*STREAMS), Listener(*STREAMS, seed=2)
    for heard in (first, same, other):
        heard.run(5)
    assert history(first) == history(same)
    assert history(first) != history(other)


def test_how_often_advance_is_called_does_not_change_what_happens() -> None:
    fine, coarse = Listener(*STREAMS), Listener(*STREAMS)
    fine.run(45, every_ms=10)
    coarse.run(45, every_ms=900)
    assert history(fine) == history(coarse)


def test_who_listens_does_not_change_what_happens() -> None:
    watched, alone = Listener(*STREAMS), Listener()
    for heard in (watched, alone):
        heard.run(5)
    assert watched.venue.truth("BTCUSDT") == alone.venue.truth("BTCUSDT")


def test_a_stream_is_silent_before_it_is_activated_and_after_it_was_left() -> None:
    heard = Listener()
    heard.run(1)
    assert not heard.frames
    for _ in range(2):
        heard.venue.activate("btcusdt@depth20@100ms")
    heard.run(2)
    frames = heard.frames["btcusdt@depth20@100ms"]
    assert len({frame["u"] for frame in frames}) == len(frames) > 10
    for _ in range(2):
        heard.venue.deactivate("btcusdt@depth20@100ms")
    heard.frames.clear()
    heard.run(1)
    assert not heard.frames


@pytest.mark.parametrize(
    ("stream", "route"),
    [
        ("btcusdt@depth", "public"),
        ("btcusdt@depth@250ms", "public"),
        ("btcusdt@depth20@100ms", "public"),
        ("btcusdt@bookTicker", "public"),
        ("!bookTicker", "public"),
        ("btcusdt@kline_1M", "market"),
        ("btcusdt@kline_4h", "market"),
        ("btcusdt@aggTrade", "market"),
        ("btcusdt@markPrice", "market"),
        ("btcusdt@markPrice@1s", "market"),
        ("!markPrice@arr", "market"),
        ("!markPrice@arr@1s", "market"),
        ("btcusdt@forceOrder", "market"),
        ("!forceOrder@arr", "market"),
        ("btcusdt@miniTicker", "market"),
        ("!ticker@arr", "market"),
        ("BTCUSDT@aggTrade", None),
        ("btcusdt@kline_7m", None),
        ("btcusdt@depth7", None),
        ("btcusdt@depth@1ms", None),
        ("nobody@aggTrade", None),
        ("btcusdt", None),
        ("!", None),
        ("", None),
    ],
)
def test_each_stream_has_its_route_and_unknown_ones_have_none(stream: str, route: str | None) -> None:
    venue = Listener().venue
    assert venue.route_of(stream) == route
    if route is None:
        with pytest.raises(ValueError, match="no such stream"):
            venue.activate(stream)
    else:
        venue.activate(stream)


def test_recorded_symbols_follow_the_recording_and_others_walk() -> None:
    bars = [OhlcBar(50_000, 50_000, 40_000, 40_000)]
    heard = Listener(recording=Recording("1m", {"BTCUSDT": bars, "XYZUSDT": bars}), bar_ms=60_000)
    opening = Decimal(heard.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")["indexPrice"])
    heard.run(59)
    closing = Decimal(heard.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")["indexPrice"])
    assert opening > 49_000
    assert closing < 40_500
    assert "1000PEPEUSDT" in heard.venue.desks


@settings(max_examples=200)
@given(st.integers(-(10**18), 10**18), st.integers(0, 12))
def test_a_fixed_number_is_written_as_the_decimal_it_is(count: int, decimals: int) -> None:
    text = fixed(count, decimals)
    assert Decimal(text) == Decimal(count).scaleb(-decimals)
    assert len(text.partition(".")[2]) == decimals


def test_symbols_are_as_many_as_asked_for_distinct_and_the_same_each_time() -> None:
    names = symbols_of(1_000)
    assert names == symbols_of(1_000)
    assert len(set(names)) == 1_000
    assert names[: len(DEFAULT_SYMBOLS)] == DEFAULT_SYMBOLS
    for name in names:
        spec = spec_of(name)
        style = style_of(spec)
        assert spec.price > 1_000 * float(spec.tick)
        assert spec.price * float(spec.step) < 200
        assert 4 <= style.trades_per_s <= 10


@pytest.mark.parametrize("symbols", [(), ("BTCUSDT", "BTCUSDT"), ("btcusdt",), ("BTCUSD",), ("USDT",)])
def test_symbols_that_cannot_be_listed_are_refused(symbols: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="symbols: expected"):
        BinanceVenue(start_ms=START_MS, entropy=Entropy(1), symbols=symbols)


def test_a_leap_in_time_is_survived_and_bars_have_no_hole() -> None:
    heard = Listener(
        "btcusdt@kline_1m", "btcusdt@kline_1h", "btcusdt@markPrice@1s", "btcusdt@depth@100ms", symbols=("BTCUSDT",)
    )
    heard.run(5)
    later_ms = START_MS + 3 * 3_600_000
    heard.venue.advance(later_ms)
    heard.run(5)
    rows = heard.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=400)
    assert [row[0] for row in rows] == list(range(rows[0][0], rows[-1][0] + 1, MINUTE_MS))
    closed = [frame["k"]["t"] for frame in heard.frames["btcusdt@kline_1m"] if frame["k"]["x"]]
    assert len(set(closed)) == len(closed)
    assert closed[0] == START_MS - START_MS % MINUTE_MS
    hours = [frame["k"]["t"] for frame in heard.frames["btcusdt@kline_1h"] if frame["k"]["x"]]
    assert hours[0] == START_MS - START_MS % 3_600_000
    frames = heard.frames["btcusdt@depth@100ms"]
    assert all(later["pu"] == earlier["u"] for earlier, later in itertools.pairwise(frames))


def test_after_days_of_silence_bars_of_every_length_go_on_at_their_times() -> None:
    heard = Listener(symbols=("BTCUSDT",))
    heard.run(5)
    heard.venue.advance(START_MS + 5 * DAY_MS)
    heard.run(130, every_ms=1_000)
    now_ms = heard.venue.exchange.now_ms
    for name, interval in INTERVALS.items():
        rows = heard.get("/fapi/v1/klines", symbol="BTCUSDT", interval=name, limit=3)
        assert rows[-1][0] == interval.start(now_ms)
        assert rows[-1][6] == interval.after(rows[-1][0]) - 1
        assert rows[-1][8] > 0
    assert heard.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")["nextFundingTime"] - now_ms <= 8 * 3_600_000


def test_a_future_that_trades_above_its_index_has_a_higher_funding_rate() -> None:
    rich = next(name for name in symbols_of(200) if spec_of(name).premium > 0.0015)
    heard = Listener(symbols=("BTCUSDT", rich))
    heard.run(5)
    row = heard.get("/fapi/v1/premiumIndex", symbol=rich)
    assert Decimal(row["markPrice"]) / Decimal(row["indexPrice"]) - 1 > Decimal("0.001")
    assert Decimal(row["lastFundingRate"]) > Decimal("0.0005")
    assert heard.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")["lastFundingRate"] == "0.00010000"


def test_every_symbol_speaks_ten_times_a_second_and_all_of_them_evenly_over_it() -> None:
    """What 200 symbols send when all they have is listened to: about thirty messages a second each."""
    symbols = symbols_of(40)
    kinds = ("kline_1m", "kline_15m", "kline_1h", "kline_4h", "depth20@100ms", "aggTrade", "markPrice@1s")
    counted: defaultdict[str, int] = defaultdict(int)
    moments: defaultdict[int, int] = defaultdict(int)

    def count(stream: str, payload: bytes) -> None:
        kind = stream.partition("@")[2]
        counted[kind] += 1
        if kind == "depth20@100ms":
            moments[msgspec.json.decode(payload)["E"] % 100] += 1

    venue = BinanceVenue(start_ms=START_MS, entropy=Entropy(1), publish=count, symbols=symbols)
    for symbol in symbols:
        for kind in kinds:
            venue.activate(f"{symbol.lower()}@{kind}")
    venue.advance(START_MS + 4_000)
    per_symbol_second = {kind: number / len(symbols) / 4 for kind, number in counted.items()}
    assert per_symbol_second["depth20@100ms"] > 9.5
    assert per_symbol_second["markPrice@1s"] == 1.0
    assert 26 < sum(per_symbol_second.values()) < 36
    assert set(moments) == set(range(0, 100, 5))
    assert max(moments.values()) < 2 * min(moments.values())


def lines_run(action: Callable[[], object]) -> int:
    """How many lines of Python an action runs: its cost, without a clock."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def test_a_moment_costs_each_symbol_the_same_however_many_there_are() -> None:
    kinds = ("kline_1m", "kline_4h", "depth20@100ms", "depth@100ms", "aggTrade", "markPrice@1s")
    costs = []
    for number in (6, 60):
        symbols = symbols_of(72)[12 : 12 + number]
        venue = BinanceVenue(start_ms=START_MS, entropy=Entropy(1), symbols=symbols)
        for symbol in symbols:
            for kind in kinds:
                venue.activate(f"{symbol.lower()}@{kind}")
        venue.advance(START_MS + 500)  # books are full and made-up history is drawn
        costs.append(lines_run(partial(venue.advance, START_MS + 1_000)) / number)
    few, many = costs
    assert many < 1.15 * few
