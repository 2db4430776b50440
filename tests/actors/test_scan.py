"""A scan: what its figures are, whom it leaves out and why, and that it changes nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors._momentum import RETURN_BARS, SPAN, momentum_of, standard
from actors.data import BadArgument
from actors.scan import MIN_BARS, Factor, analyze_symbol, batch_scan, scan
from engine.model import DataClass, MarketState
from tests.support.data_rig import Rig


def market_of(count: int, **how) -> Rig:
    rig = Rig()
    for n in range(count):
        rig.full(f"S{n}USDT", seed=n, **how)
    return rig


prices = st.lists(st.floats(1.0, 1000.0), min_size=MIN_BARS, max_size=120)


@given(st.lists(prices, min_size=1, max_size=4))
def test_momentum_of_all_rows_at_once_is_that_of_each_alone_by_the_textbook(rows):
    change, slope, volatility = momentum_of([np.array(row) for row in rows])
    for n, row in enumerate(rows):
        logs = np.log(row)
        averages = [logs[0]]
        for value in logs[1:]:
            averages.append(averages[-1] + 2.0 / (SPAN + 1) * (value - averages[-1]))
        assert change[n] == pytest.approx(row[-1] / row[-1 - RETURN_BARS] - 1)
        assert slope[n] == pytest.approx((averages[-1] - averages[-1 - RETURN_BARS]) / RETURN_BARS, abs=1e-9)
        assert volatility[n] == pytest.approx(np.diff(logs).std(), abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_distances_are_clipped_and_zero_where_all_are_alike(figures):
    found = standard(np.array(figures))
    assert np.all(np.abs(found) <= 3.0)
    assert np.all(standard(np.full(len(figures), figures[0])) == 0.0)


def test_each_factor_is_what_it_says():
    rig = market_of(1)
    market = rig.state.markets["S0USDT"]
    (row,) = scan(rig.data).rows
    bids, asks = (sum(amount for _, amount in side(20)) for side in (market.book.bids, market.book.asks))
    trades = market.trades.view()
    oi = market.samples["open_interest"].view(25)[:, 1]
    assert row.price == market.bars["1h"].view()[-1, 4]
    assert row.imbalance == pytest.approx((bids - asks) / (bids + asks))
    assert row.delta == pytest.approx((trades[:, 2] * trades[:, 3]).sum() / trades[:, 2].sum())
    assert row.open_interest_change == pytest.approx(oi[-1] / oi[0] - 1)
    assert row.funding == market.ticker.funding
    assert row.basis == pytest.approx(1.0001 / 0.9999 - 1)
    assert row.momentum.keys() == {"1h", "4h"}
    assert (row.stale, row.degraded, row.score) == ((), (), 0.0)


def test_rows_are_sorted_by_score_and_a_scan_twice_is_the_same():
    rig = market_of(20)
    first = scan(rig.data)
    scores = [row.score for row in first.rows]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    assert scan(rig.data) == first


def test_a_symbol_without_an_input_is_unavailable_and_says_which_and_why():
    rig = market_of(6)
    markets = list(rig.state.markets.values())
    markets[0].book.lose()
    markets[1].samples["spot"] = rig.empty("OTHER").samples["spot"]
    markets[2].bars["4h"] = rig.full("SHORT", bars=MIN_BARS - 1).bars["4h"]
    markets[3].samples["open_interest"].take(np.array([[9e12, 1.0, 1.0]]), 0.0)
    for name in ("OTHER", "SHORT"):
        del rig.state.markets[name]
    found = scan(rig.data)
    assert {row.symbol for row in found.rows} == {"S3USDT", "S4USDT", "S5USDT"}
    why = {one.symbol: (one.what, one.why) for one in found.unavailable}
    assert why["S0USDT"][0] == "book"
    assert why["S1USDT"] == ("spot price", "nothing came yet")
    assert why["S2USDT"] == ("bars 4h", f"at least {MIN_BARS} are needed, {MIN_BARS - 1} are there")
    assert why.keys() == {"S0USDT", "S1USDT", "S2USDT"}


def test_a_row_names_the_inputs_that_are_stale_or_served_in_place_of_a_stream():
    rig = market_of(2)
    market = rig.state.markets["S1USDT"]
    rig.clock.now_s += 3.0  # the book may be one second old
    market.touch(DataClass.BOOK, market.fresh[DataClass.BOOK].source, rig.clock.now_s)
    market.modes["market"] = "polling"
    rows = {row.symbol: row for row in scan(rig.data).rows}
    assert rows["S0USDT"].stale == ("imbalance",)
    assert rows["S0USDT"].degraded == ()
    assert rows["S1USDT"].stale == ()
    assert set(rows["S1USDT"].degraded) >= {"bars 1h", "bars 4h", "delta"}


def test_factors_and_intervals_can_be_chosen_and_default_to_what_the_venue_has():
    rig = market_of(2)
    chosen = scan(rig.data, factors=[Factor.DELTA], intervals=["4h"])
    assert (chosen.factors, chosen.intervals) == ((Factor.DELTA,), ("4h",))
    assert chosen.rows[0].funding is None
    for market in rig.state.markets.values():
        del market.samples["spot"], market.samples["open_interest"]
    assert set(scan(rig.data).factors) == set(Factor) - {Factor.BASIS, Factor.OPEN_INTEREST}
    minutes = Rig()
    minutes.full("A", ("1m", "5m", "15m"))
    assert scan(minutes.data).intervals == ("15m", "5m")


def test_nothing_followed_is_a_scan_of_nothing_and_bad_intervals_are_refused():
    rig = Rig()
    rig.state.markets["A"] = MarketState("binance:A", bounds_s={})
    with pytest.raises(BadArgument, match="intervals"):
        scan(rig.data)
    with pytest.raises(BadArgument, match="7m"):
        batch_scan(rig.data, ["A"], intervals=["7m"])
    with pytest.raises(BadArgument, match="venue"):
        scan(rig.data, "kraken")


def test_one_symbol_can_be_analysed_by_itself():
    rig = market_of(1)
    reading = analyze_symbol(rig.data, "S0USDT", factors=[Factor.FUNDING], intervals=["1h"])
    assert reading.figures.keys() == {Factor.FUNDING}
    assert len(reading.closes["1h"]) == 300
