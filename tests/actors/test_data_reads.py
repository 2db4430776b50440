"""What a read returns, what it says of itself, and what it refuses; against a market in memory, so that nothing could be asked."""

import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.data import BadArgument, DataManager, DataUnavailable, VenueMarkets
from engine.model import BAR_COLUMNS, FORCED_COLUMNS, TRADE_COLUMNS, DataClass, DataRow, MarketState, Source, VenueState
from tests.support.data_rig import BOUNDS, EPOCH_MS, POLICY, Rig

S = "BTCUSDT"

#: Every read by its name, with what it takes besides the symbol.
READS = {
    "klines": ("1h", 10),
    "orderbook": (5,),
    "oi_history": ("1h", 10),
    "funding_rate": (),
    "spot_price": (),
    "liquidation_trades": (10,),
    "force_orders": (10,),
    "mark_price": (),
    "trades": (10,),
}
VIEWS = {
    "view_klines": ("1h", 10),
    "view_trades": (10,),
    "view_force_orders": (10,),
    "view_oi": ("1h", 10),
    "view_samples": ("spot", 10),
}
EVERY = READS | VIEWS


@pytest.fixture(scope="module")
def rig():
    made = Rig()
    made.full(S)
    return made


# ── shapes and values ──────────────────────────────────────────────────────────────────────────────────────────────────


@given(limit=st.integers(1, 1000), closed_only=st.booleans())
def test_bars_are_the_newest_of_the_state_in_rows_of_twelve_fields(rig, limit, closed_only):
    bars = rig.state.markets[S].bars["1h"]
    rows = rig.data.klines(S, "1h", limit, closed_only=closed_only)
    known = bars.view()[:-1] if closed_only else bars.view()
    assert len(rows) == min(limit, len(known))
    for row, kept in zip(rows, known[-limit:].tolist(), strict=True):
        at, open_, high, low, close, volume, cost, trades, taker, taker_cost = kept
        assert row == [
            int(at),
            open_,
            high,
            low,
            close,
            volume,
            int(at) + 3_599_999,
            cost,
            trades,
            taker,
            taker_cost,
            0,
        ]
        assert [type(row[place]) for place in (0, 6, 8, 11)] == [int] * 4


def test_a_figure_the_venue_does_not_say_is_none_and_not_nan():
    rig = Rig()
    bars = rig.full(S).bars["1h"]
    bars.upsert((bars.last_key + 3_600_000, 1.0, 2.0, 0.5, 1.5, 3.0, *[math.nan] * 4))
    assert rig.data.klines(S, "1h", 1)[0][7:] == [None, None, None, None, 0]
    assert rig.data.force_orders(S)[-1]["averagePrice"] is None


def test_only_closed_bars_are_those_the_venue_called_closed(rig):
    own = Rig()
    bars = own.full(S).bars["1h"]
    last = tuple(bars.view()[-1].tolist())
    assert own.data.klines(S, "1h", 500, closed_only=True)[-1][0] < last[0]
    bars.upsert(last, closed=True)
    assert own.data.klines(S, "1h", 500, closed_only=True)[-1][0] == last[0]


@pytest.mark.parametrize("limit", [5, 10, 20])
def test_a_book_has_that_many_levels_best_first(rig, limit):
    market = rig.state.markets[S]
    book = rig.data.orderbook(S, limit)
    assert book == {
        "bids": [list(level) for level in market.book.bids(limit)],
        "asks": [list(level) for level in market.book.asks(limit)],
        "timestamp": EPOCH_MS + 5,
    }
    assert len(book["bids"]) == len(book["asks"]) == limit


@given(limit=st.integers(1, 400))
def test_trades_are_the_newest_and_say_who_was_the_maker(rig, limit):
    kept = rig.state.markets[S].trades.view(limit).tolist()
    plain = [{"price": r[1], "qty": r[2], "time": int(r[0]), "isBuyerMaker": r[3] < 0} for r in kept]
    assert rig.data.liquidation_trades(S, limit) == plain
    assert rig.data.trades(S, limit) == [{"id": int(r[4]), **row} for r, row in zip(kept, plain, strict=True)]


@given(limit=st.integers(1, 400))
def test_open_interest_is_the_newest_of_the_state(rig, limit):
    kept = rig.state.markets[S].samples["open_interest"].view(limit).tolist()
    names = ("timestamp", "sumOpenInterest", "sumOpenInterestValue")
    assert rig.data.oi_history(S, "1h", limit) == [dict(zip(names, row, strict=True)) for row in kept]


def test_prices_and_liquidations_have_the_documented_names(rig):
    market = rig.state.markets[S]
    price = market.bars["1h"].view()[-1, 4]
    ticker = market.ticker
    assert rig.data.spot_price(S) == price * 0.9999
    assert isinstance(rig.data.spot_price(S), float)
    assert rig.data.mark_price(S) == {"markPrice": ticker.mark, "indexPrice": price, "timestamp": EPOCH_MS}
    assert list(rig.data.funding_rate(S)) == ["rate", "nextTime", "markPrice", "timestamp"]
    assert rig.data.force_orders(S) == [
        {"side": "SELL", "price": price, "averagePrice": None, "qty": 2.0, "filledQty": 1.5, "time": EPOCH_MS}
    ]


def test_funding_is_of_whoever_said_it_last(rig):
    own = Rig()
    market = own.full(S)
    assert own.data.funding_rate(S)["rate"] == market.ticker.funding
    assert own.data.funding_rate(S).info.source is Source.STREAM
    own.clock.now_s += 10
    market.samples["funding"].take(np.array([[EPOCH_MS + 1, 0.0007, EPOCH_MS + 9, 55.0]]), own.clock.now_s)
    polled = own.data.funding_rate(S)
    assert polled == {"rate": 0.0007, "nextTime": EPOCH_MS + 9, "markPrice": 55.0, "timestamp": EPOCH_MS + 1}
    assert polled.info.source is Source.REST
    market.ticker.funding = None
    assert own.data.funding_rate(S) == polled


@pytest.mark.parametrize("name", READS)
async def test_the_coroutines_are_the_same_reads_with_the_same_defaults_and_do_not_wait(rig, name):
    plain, waiting = getattr(rig.data, name), getattr(rig.data, f"get_{name}")
    assert inspect.signature(plain).parameters == inspect.signature(waiting).parameters
    read = waiting(S, *READS[name])
    with pytest.raises(StopIteration) as done:
        read.send(None)  # a coroutine that waits for anything would yield
    assert done.value.value == plain(S, *READS[name])


@pytest.mark.parametrize("name", READS)
def test_values_are_written_as_the_plain_thing_and_belong_to_the_caller(rig, name):
    value = getattr(rig.data, name)(S, *READS[name])
    assert json.loads(json.dumps(value)) == value
    if isinstance(value, list | dict):
        value.clear()
        assert getattr(rig.data, name)(S, *READS[name])


# ── views ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_views_share_the_memory_of_the_state_and_cannot_be_written(rig):
    market = rig.state.markets[S]
    views = {
        "klines": (rig.data.view_klines(S, "1h", 50)[0], market.bars["1h"].view(), len(BAR_COLUMNS)),
        "trades": (rig.data.view_trades(S, 50)[0], market.trades.view(), len(TRADE_COLUMNS)),
        "forced": (rig.data.view_force_orders(S)[0], market.forced.view(), len(FORCED_COLUMNS)),
        "oi": (rig.data.view_oi(S)[0], market.samples["open_interest"].view(), 3),
        "samples": (rig.data.view_samples(S, "spot")[0], market.samples["spot"].view(), 2),
    }
    for name, (view, kept, width) in views.items():
        assert np.shares_memory(view, kept), name
        assert view.shape[1] == width
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1.0
    assert rig.data.view_samples(S, "spot")[1] == ("time_ms", "price")


# ── what a value says of itself ────────────────────────────────────────────────────────────────────────────────────────


def fresh_of(market, name):
    """What the age of a read hangs on."""
    classes = {
        "klines": DataClass.BARS,
        "orderbook": DataClass.BOOK,
        "liquidation_trades": DataClass.TRADES,
        "trades": DataClass.TRADES,
        "force_orders": DataClass.FORCED,
        "mark_price": DataClass.MARK,
        "funding_rate": DataClass.MARK,
    }
    samples = {"oi_history": "open_interest", "spot_price": "spot"}
    return market.samples[samples[name]].fresh if name in samples else market.fresh[classes[name]]


@pytest.mark.parametrize("name", READS)
@given(late_s=st.floats(0, 10_000))
def test_age_and_staleness_follow_the_state(name, late_s):
    rig = Rig()
    fresh = fresh_of(rig.full(S), name)
    rig.clock.now_s += late_s
    info = getattr(rig.data, name)(S, *READS[name]).info
    if name == "funding_rate":
        fresh = rig.state.markets[S].fresh[DataClass.MARK]
    assert info.source is fresh.source
    assert info.age_s == pytest.approx(late_s, abs=1e-6)
    assert info.stale == (rig.clock.now_s - fresh.updated_s > fresh.bound_s)


def test_what_rest_serves_in_place_of_a_stream_is_degraded_and_what_is_always_polled_is_not():
    rig = Rig(policy={**POLICY, "trades": DataRow(via="poll")})
    market = rig.full(S)
    market.modes["market"] = "polling"
    degraded = {name: getattr(rig.data, name)(S, *READS[name]).info.degraded for name in READS}
    assert {name for name, is_so in degraded.items() if is_so} == {
        "klines",
        "force_orders",
        "mark_price",
        "funding_rate",
    }
    assert rig.data.get_stats()["degraded_symbols"] == 1


def test_history_that_is_still_coming_is_served_and_said_to_be_incomplete():
    rig = Rig()
    market = rig.full(S)
    market.loaded.clear()
    assert not rig.data.klines(S, "1h").info.complete
    market.loaded.add("1h")
    assert rig.data.klines(S, "1h").info.complete
    assert not rig.data.klines(S, "4h").info.complete


# ── what is not there ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_ever_silently_empty(name):
    rig = Rig()
    with pytest.raises(DataUnavailable, match="not followed"):
        getattr(rig.data, name)(S, *EVERY[name])
    rig.empty(S)
    with pytest.raises(DataUnavailable, match=r"nothing came yet|none was announced") as caught:
        getattr(rig.data, name)(S, *EVERY[name])
    assert caught.value.symbol == S
    assert caught.value.what in str(caught.value)
    bare = MarketState(f"binance:{S}", bounds_s={})
    rig.state.markets[S] = bare
    with pytest.raises(DataUnavailable, match="binance has no such data"):
        getattr(rig.data, name)(S, *EVERY[name])
    assert rig.data.get_stats()["cache_misses"] == 3


@pytest.mark.parametrize(("name", "row"), [("orderbook", "book"), ("trades", "trades"), ("spot_price", "spot")])
def test_what_is_off_in_the_routing_table_says_so(name, row):
    rig = Rig(policy={**POLICY, row: DataRow(via="off")})
    rig.state.markets[S] = MarketState(f"binance:{S}", bounds_s={})
    with pytest.raises(DataUnavailable, match="off in the routing table of binance"):
        getattr(rig.data, name)(S, *READS[name])


def test_a_venue_in_trouble_is_named_as_the_reason():
    rig = Rig()
    rig.empty(S)
    rig.state.problem = "NotSent: connection refused"
    with pytest.raises(DataUnavailable, match="connection refused"):
        rig.data.klines(S, "1h")


def test_a_symbol_the_venue_does_not_list_is_named_as_the_reason():
    rig = Rig()
    rig.empty(S)
    with pytest.raises(DataUnavailable, match="nothing came yet"):
        rig.data.klines(S, "1h")
    rig.state.instruments = {"OTHER": None}
    with pytest.raises(DataUnavailable, match="does not list it"):
        rig.data.klines(S, "1h")


def test_a_book_that_lost_a_message_is_unavailable_until_its_next_snapshot():
    rig = Rig()
    market = rig.full(S)
    market.book.lose()
    with pytest.raises(DataUnavailable, match="a message of it was lost"):
        rig.data.orderbook(S)


def test_a_book_without_any_level_is_unavailable_and_one_without_a_side_is_not():
    rig = Rig()
    book = rig.full(S).book
    book.replace((), (), change_id=9, venue_ms=5)
    with pytest.raises(DataUnavailable, match="no levels"):
        rig.data.orderbook(S)
    book.replace(((5.0, 1.0),), (), change_id=10, venue_ms=6)
    assert rig.data.orderbook(S)["asks"] == []


def test_a_bare_symbol_is_the_default_venue_s_or_the_only_venue_s_that_follows_it():
    rig = Rig()
    rig.full(S)
    for name in ("deribit", "other"):
        rig.venues[name] = VenueMarkets(VenueState(name))
    theirs = rig.venues["deribit"].state.markets["BTC-PERPETUAL"] = rig.full("X")
    del rig.state.markets["X"]
    assert rig.data.mark_price("BTC-PERPETUAL") == rig.data.mark_price("deribit:BTC-PERPETUAL")
    rig.venues["other"].state.markets["BTC-PERPETUAL"] = theirs
    with pytest.raises(DataUnavailable, match="deribit:BTC-PERPETUAL, other:BTC-PERPETUAL"):
        rig.data.mark_price("BTC-PERPETUAL")
    assert rig.data.mark_price(S) == rig.data.mark_price(f"binance:{S}")
    assert list(rig.data.markets()) == [S]
    assert list(rig.data.markets("deribit")) == ["deribit:BTC-PERPETUAL"]
    with pytest.raises(DataUnavailable, match="no venue of that name"):
        rig.data.mark_price("kraken:BTC")
    with pytest.raises(DataUnavailable, match="not followed"):
        rig.data.mark_price("deribit:ETH-PERPETUAL")


# ── bad arguments ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("klines", ("2h", 10), "interval"),
        ("klines", ("5m", 10), "interval"),
        ("klines", ("1h", 0), "limit"),
        ("klines", ("1h", True), "limit"),
        ("klines", ("1h", 1.5), "limit"),
        ("orderbook", (0,), "limit"),
        ("orderbook", (21,), "limit"),
        ("oi_history", ("4h", 10), "interval"),
        ("oi_history", ("1h", -1), "limit"),
        ("trades", (0,), "limit"),
        ("liquidation_trades", (-5,), "limit"),
        ("force_orders", (0,), "limit"),
        ("view_samples", ("spot", 0), "limit"),
    ],
)
def test_a_bad_argument_names_the_field_what_was_expected_and_what_came(rig, name, arguments, field):
    before = rig.data.get_stats()
    with pytest.raises(BadArgument) as caught:
        getattr(rig.data, name)(S, *arguments)
    assert isinstance(caught.value, ValueError)
    assert caught.value.field == field
    assert caught.value.expected
    assert caught.value.got == repr(arguments[1 if field == "limit" and len(arguments) > 1 else 0])
    after = rig.data.get_stats()
    assert (after["cache_hits"], after["cache_misses"]) == (before["cache_hits"], before["cache_misses"])


def test_an_unknown_venue_to_list_is_a_bad_argument(rig):
    with pytest.raises(BadArgument, match="venue: expected one of binance"):
        rig.data.markets("kraken")


def test_a_reader_can_be_put_over_any_state():
    """What a tool or a bench needs: no tree, no routing table."""
    rig = Rig()
    state = VenueState("v")
    state.markets["A"] = rig.full("A")
    data = DataManager({"v": VenueMarkets(state)}, rig.clock, default_venue="v")
    assert len(data.klines("A", "1h")) == 300
    assert not data.klines("A", "1h").info.degraded
    assert set(BOUNDS) <= set(state.markets["A"].fresh)
