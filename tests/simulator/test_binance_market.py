"""Books, trades, liquidations, marks and figures of the simulated Binance USD-M agree with its streams."""

import itertools
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator.binance_usdm import DEFAULT_SYMBOLS
from engine.simulator.orders import Kind, Lifetime, OrderSpec, Side
from tests.support.binance_venue import PAIR, START_MS, Listener, levels

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
