"""The simulated Binance USD-M market: its bars, books, trades and marks agree with each other and with its streams."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel import Entropy
from engine.simulator.binance_usdm import DEFAULT_SYMBOLS, BinanceVenue, symbols_of
from engine.simulator.binance_usdm.digits import fixed
from engine.simulator.binance_usdm.intervals import INTERVALS
from engine.simulator.binance_usdm.symbols import spec_of, style_of
from engine.simulator.orders import Kind, Lifetime, OrderSpec, Side
from engine.simulator.prices import OhlcBar
from engine.simulator.replay import Recording

MINUTE_MS = 60_000
DAY_MS = 86_400_000
START_MS = 1_790_000_000_000 - 1_790_000_000_000 % MINUTE_MS + 20_000  # 20 s into a minute
PAIR = ("BTCUSDT", "1000PEPEUSDT")


class Listener:
    """Keeps what a venue publishes, decoded, by stream."""

    def __init__(self, *streams: str, seed: int = 1, start_ms: int = START_MS, **options: Any) -> None:
        self.frames: defaultdict[str, list[Any]] = defaultdict(list)
        self.venue = BinanceVenue(
            start_ms=start_ms, entropy=Entropy(seed), publish=self._hear, **{"symbols": PAIR} | options
        )
        for stream in streams:
            self.venue.activate(stream)

    def _hear(self, stream: str, payload: bytes) -> None:
        self.frames[stream].append(msgspec.json.decode(payload))

    def run(self, seconds: float, every_ms: int = 50) -> None:
        start_ms = self.venue.exchange.now_ms
        for now_ms in range(start_ms + every_ms, start_ms + round(seconds * 1000) + 1, every_ms):
            self.venue.advance(now_ms)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.venue.get(path, {name: str(value) for name, value in params.items()}, self.venue.exchange.now_ms)
        return msgspec.json.decode(msgspec.json.encode(answer.body))


def levels(rows: Iterable[tuple[str, str]]) -> dict[Decimal, Decimal]:
    return {Decimal(price): Decimal(amount) for price, amount in rows}


# -- bars


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


# -- books


class LocalBook:
    """What a careful client keeps from a snapshot and the changes after it."""

    def __init__(self, snapshot: Any) -> None:
        self.last_id = snapshot["lastUpdateId"]
        self.bids, self.asks = levels(snapshot["bids"]), levels(snapshot["asks"])
        self._first = True

    def take(self, frame: Any) -> None:
        if self._first and frame["u"] < self.last_id:
            return
        if self._first:
            assert frame["U"] <= self.last_id <= frame["u"] or frame["pu"] == self.last_id
        else:
            assert frame["pu"] == self.last_id
        self._first = False
        self.last_id = frame["u"]
        for side, rows in ((self.bids, frame["b"]), (self.asks, frame["a"])):
            for price, amount in levels(rows).items():
                if amount:
                    side[price] = amount
                else:
                    side.pop(price, None)


@settings(max_examples=12, deadline=None)
@given(after_ms=st.integers(0, 700), pace=st.sampled_from(["", "@100ms", "@500ms"]), seed=st.integers(0, 3))
def test_a_snapshot_taken_at_any_time_and_the_changes_after_it_make_the_book(
    after_ms: int, pace: str, seed: int
) -> None:
    stream = f"btcusdt@depth{pace}"
    heard = Listener(stream, seed=seed)
    heard.run(1)
    heard.venue.advance(heard.venue.exchange.now_ms + after_ms)
    book = LocalBook(heard.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000))
    heard.run(4)
    heard.venue.advance(heard.venue.exchange.now_ms + 501)
    truth = heard.venue.truth("BTCUSDT")["book"]
    for frame in heard.frames[stream]:
        book.take(frame)
    tail = heard.frames[stream][-1]
    if tail["u"] == truth["lastUpdateId"]:
        assert (book.bids, book.asks) == (levels(truth["bids"]), levels(truth["asks"]))
    else:
        assert pace != "@100ms" or tail["E"] > heard.venue.exchange.now_ms - 200


def test_changes_chain_by_pu_alone_and_are_paced() -> None:
    heard = Listener("btcusdt@depth@100ms", "btcusdt@depth")
    heard.run(5)
    for stream, gap_ms in (("btcusdt@depth@100ms", 100), ("btcusdt@depth", 250)):
        frames = heard.frames[stream]
        assert len(frames) > 10
        for earlier, later in itertools.pairwise(frames):
            assert later["pu"] == earlier["u"] < later["U"] <= later["u"]
            assert later["E"] - earlier["E"] >= gap_ms
    frames = heard.frames["btcusdt@depth@100ms"]
    assert any(later["U"] != later["pu"] + 1 for later in frames)


def test_a_skipped_update_breaks_the_chain_once_on_every_stream_of_changes() -> None:
    heard = Listener("btcusdt@depth@100ms", "btcusdt@depth", "1000pepeusdt@depth@100ms")
    heard.run(1)
    heard.venue.skip_update("BTCUSDT")
    heard.run(3)
    breaks = {
        stream: sum(later["pu"] != earlier["u"] for earlier, later in itertools.pairwise(frames))
        for stream, frames in heard.frames.items()
    }
    assert breaks == {"btcusdt@depth@100ms": 1, "btcusdt@depth": 1, "1000pepeusdt@depth@100ms": 0}


@pytest.mark.parametrize("count", [5, 10, 20])
def test_a_partial_book_is_the_top_of_the_book_best_first(count: int) -> None:
    stream = f"btcusdt@depth{count}@100ms"
    heard = Listener(stream)
    for _ in range(20):
        heard.run(0.5)
        frame, truth = heard.frames[stream][-1], heard.venue.truth("BTCUSDT")["book"]
        if frame["u"] == truth["lastUpdateId"]:
            assert (frame["b"], frame["a"]) == (truth["bids"][:count], truth["asks"][:count])
        bids, asks = ([Decimal(price) for price, _ in frame[side]] for side in "ba")
        assert len(bids) == len(asks) == count
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]


def test_the_books_of_the_wire_and_of_the_exchange_are_the_same() -> None:
    heard = Listener()
    heard.run(20)
    for symbol, market in heard.venue.exchange.markets.items():
        truth = heard.venue.truth(symbol)["book"]
        bids, asks = (
            {level.price: level.visible for level in side.walk()} for side in (market.book.bids, market.book.asks)
        )
        assert (levels(truth["bids"]), levels(truth["asks"])) == (bids, asks)


def test_the_best_prices_stream_tells_every_change_of_them_and_nothing_else() -> None:
    heard = Listener("btcusdt@bookTicker", "btcusdt@depth5@100ms")
    heard.run(10)
    quotes = [tuple(frame[key] for key in "bBaA") for frame in heard.frames["btcusdt@bookTicker"]]
    assert len(quotes) > 20
    assert all(earlier != later for earlier, later in itertools.pairwise(quotes))
    best = heard.frames["btcusdt@depth5@100ms"][-1]
    assert quotes[-1] == (*best["b"][0], *best["a"][0])
    row = heard.get("/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")
    assert quotes[-1] == (row["bidPrice"], row["bidQty"], row["askPrice"], row["askQty"])


# -- trades


def test_trade_numbers_have_no_holes_and_queries_give_what_the_stream_gave() -> None:
    heard = Listener("btcusdt@aggTrade")
    heard.run(60)
    rows = heard.frames["btcusdt@aggTrade"]
    assert [row["a"] for row in rows] == list(range(rows[0]["a"], rows[0]["a"] + len(rows)))
    for earlier, later in itertools.pairwise(rows):
        assert later["f"] == earlier["l"] + 1
        assert later["T"] >= earlier["T"]
        merged = (later["p"], later["m"], later["T"]) == (earlier["p"], earlier["m"], earlier["T"])
        assert not merged
    fields = ("a", "p", "q", "nq", "f", "l", "T", "m")
    told = [{field: row[field] for field in fields} for row in rows]
    last = heard.get("/fapi/v1/aggTrades", symbol="BTCUSDT", limit=100)
    assert last == told[-100:]
    assert heard.get("/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=told[7]["a"], limit=5) == told[7:12]
    span = heard.get("/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=START_MS + 10_000, endTime=START_MS + 20_000)
    assert span == [row for row in told if START_MS + 10_000 <= row["T"] <= START_MS + 20_000]
    singles = heard.get("/fapi/v1/trades", symbol="BTCUSDT", limit=1000)
    assert [row["id"] for row in singles] == list(range(singles[0]["id"], singles[-1]["id"] + 1))
    assert singles[-1]["id"] == told[-1]["l"]


def liquidate(heard: Listener, symbol: str, amount: str) -> None:
    spec = OrderSpec(
        instrument=symbol,
        side=Side.SELL,
        amount=Decimal(amount),
        kind=Kind.MARKET,
        lifetime=Lifetime.IMMEDIATE_OR_CANCEL,
        is_liquidation=True,
    )
    heard.venue.exchange.submit(f"~taker-{symbol}", spec)
    heard.venue.exchange.flush()


def test_of_the_liquidations_within_a_second_the_largest_is_told() -> None:
    heard = Listener("btcusdt@forceOrder", "1000pepeusdt@forceOrder", "!forceOrder@arr")
    liquidate(heard, "BTCUSDT", "0.010")
    heard.run(0.4)
    liquidate(heard, "BTCUSDT", "0.500")
    liquidate(heard, "1000PEPEUSDT", "100000")
    liquidate(heard, "BTCUSDT", "0.200")
    heard.run(0.55)
    assert not heard.frames
    heard.run(0.5)
    assert [frame["o"]["q"] for frame in heard.frames["btcusdt@forceOrder"]] == ["0.500"]
    assert [frame["o"]["q"] for frame in heard.frames["1000pepeusdt@forceOrder"]] == ["100000"]
    told = [*heard.frames["btcusdt@forceOrder"], *heard.frames["1000pepeusdt@forceOrder"]]
    assert heard.frames["!forceOrder@arr"] == told
    order = told[0]["o"]
    assert [order[key] for key in ("s", "S", "o", "f")] == ["BTCUSDT", "SELL", "LIMIT", "IOC"]
    assert Decimal(order["l"]) <= Decimal(order["z"]) <= Decimal(order["q"])
    forced = heard.venue.truth("BTCUSDT")["force_orders"]
    assert [row["quantity"] for row in forced] == ["0.010", "0.500", "0.200"]
    assert order["T"] == forced[1]["time"]


def test_some_are_liquidated_all_the_time() -> None:
    heard = Listener("!forceOrder@arr", symbols=DEFAULT_SYMBOLS[:4])
    heard.run(150, every_ms=500)
    assert heard.frames["!forceOrder@arr"]


# -- marks, funding, open interest


def test_marks_come_every_full_second_or_every_third() -> None:
    heard = Listener("btcusdt@markPrice@1s", "btcusdt@markPrice", "!markPrice@arr@1s")
    heard.run(12)
    seconds = [frame["E"] for frame in heard.frames["btcusdt@markPrice@1s"]]
    assert seconds == list(range(START_MS + 1000, START_MS + 12_001, 1000))
    thirds = [frame["E"] for frame in heard.frames["btcusdt@markPrice"]]
    assert thirds == [at_ms for at_ms in seconds if at_ms % 3000 == 0]
    for alone, all_of_them in zip(heard.frames["btcusdt@markPrice@1s"], heard.frames["!markPrice@arr@1s"], strict=True):
        assert alone in all_of_them
        assert {frame["s"] for frame in all_of_them} == set(PAIR)


def test_the_frame_at_funding_time_still_shows_it_and_the_next_one_the_following() -> None:
    due_ms = START_MS - START_MS % (8 * 3_600_000) + 8 * 3_600_000
    heard = Listener("btcusdt@markPrice@1s", symbols=("BTCUSDT",))
    heard.venue.advance(due_ms - 3_000)
    heard.run(6)
    shown = {frame["E"]: frame["T"] for frame in heard.frames["btcusdt@markPrice@1s"]}
    assert shown[due_ms - 1000] == shown[due_ms] == due_ms
    assert shown[due_ms + 1000] == due_ms + 8 * 3_600_000
    rows = heard.get("/fapi/v1/fundingRate", symbol="BTCUSDT", limit=3)
    assert [row["fundingTime"] for row in rows] == [due_ms - 16 * 3_600_000, due_ms - 8 * 3_600_000, due_ms]
    assert heard.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")["nextFundingTime"] == due_ms + 8 * 3_600_000


def test_open_interest_is_sampled_every_five_minutes_and_longer_periods_are_among_those() -> None:
    heard = Listener(symbols=("BTCUSDT",))
    heard.run(700, every_ms=1_000)
    rows = heard.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="5m", limit=500)
    times = [row["timestamp"] for row in rows]
    assert times == list(range(times[0], times[0] + 500 * 300_000, 300_000))
    assert START_MS + 700_000 - 300_000 < times[-1] <= START_MS + 700_000
    by_time = {row["timestamp"]: row for row in rows}
    hours = heard.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="1h", limit=30)
    assert all(by_time[row["timestamp"]] == row for row in hours)
    sizes = [Decimal(row["sumOpenInterest"]) for row in rows]
    assert all(abs(later / earlier - 1) < Decimal("0.1") for earlier, later in itertools.pairwise(sizes))
    now = Decimal(heard.get("/fapi/v1/openInterest", symbol="BTCUSDT")["openInterest"])
    assert abs(now / sizes[-1] - 1) < Decimal("0.05")


def test_the_last_day_agrees_with_its_bars() -> None:
    heard = Listener("btcusdt@miniTicker", "btcusdt@ticker", "!miniTicker@arr")
    heard.run(130)
    row = heard.get("/fapi/v1/ticker/24hr", symbol="BTCUSDT")
    minutes = heard.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1440)
    assert Decimal(row["volume"]) == sum(Decimal(bar[5]) for bar in minutes)
    assert Decimal(row["quoteVolume"]) == sum(Decimal(bar[7]) for bar in minutes)
    assert row["count"] == sum(bar[8] for bar in minutes) == row["lastId"] - row["firstId"] + 1
    assert (row["openPrice"], row["lastPrice"]) == (minutes[0][1], minutes[-1][4])
    assert row["openTime"] == minutes[0][0]
    full, small = heard.frames["btcusdt@ticker"][-1], heard.frames["btcusdt@miniTicker"][-1]
    assert {key: full[key] for key in "scohlvq"} == {key: small[key] for key in "scohlvq"}
    assert small in heard.frames["!miniTicker@arr"][-1]


def test_a_spot_coin_costs_what_the_index_says() -> None:
    heard = Listener()
    heard.run(1)
    index = Decimal(heard.get("/fapi/v1/premiumIndex", symbol="1000PEPEUSDT")["indexPrice"])
    spot = Decimal(heard.get("/api/v3/ticker/price", symbol="PEPEUSDT")["price"])
    assert math.isclose(spot * 1000, index, rel_tol=2e-3)


# -- the venue as a whole


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
