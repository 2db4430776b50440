"""Frames → market state: trades, bars, marks, quotes, liquidations, twice and out of order; and bytes nobody should send."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import DataClass, MarketState
from engine.venues.base import Applied
from engine.venues.binance_usdm import BinanceUsdmSettings
from engine.venues.binance_usdm.feed import BinanceUsdmFeed
from engine.venues.decoding import WireError
from tests.support.binance import MINUTE, SYMBOL, T0, depth, forced, kline, mark, quote, state, trade, wrapped


def _feed() -> BinanceUsdmFeed:
    return BinanceUsdmFeed(SYMBOL, BinanceUsdmSettings())


def _seen(market: MarketState) -> object:
    ticker = tuple(getattr(market.ticker, name) for name in market.ticker.__slots__)
    bars = [series.copy().tolist() for series in market.bars.values()]
    trades, liquidations = market.trades.copy().tolist(), market.forced.copy().tolist()
    return (
        market.book.bids(),
        market.book.asks(),
        market.book.change_id,
        ticker,
        trades,
        bars,
        liquidations,
        market.updates,
    )


def _interleaved(first: Sequence[Any], second: Sequence[Any], turns: Sequence[bool]) -> list[Any]:
    """Two connections' messages as they come in: each in its own order, together in any."""
    left, right = list(first), list(second)
    merged = []
    for turn in turns:
        source = left if turn else right
        if source:
            merged.append(source.pop(0))
    return merged + left + right


turns = st.lists(st.booleans(), max_size=60)


# ── trades ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_trade_is_kept_as_the_venue_told_it() -> None:
    feed, market = _feed(), state()
    assert feed.apply(trade(700, price="60000.10", amount="0.023", maker=True, at=T0), market, 3.0) == Applied.TRADES
    feed.apply(trade(701, at=T0 + 1), market, 4.0)
    assert market.trades.copy()[:, 3].tolist() == [-1.0, 1.0]  # the buyer waited there: the seller took
    assert market.trades.copy()[0].tolist() == [T0, 60000.1, 0.023, -1.0, 700.0]
    assert (market.ticker.last, market.fresh[DataClass.TRADES].updated_s) == (60000.1, 4.0)


def test_a_missing_trade_is_told() -> None:
    feed, market = _feed(), state()
    feed.apply(trade(700), market, 1.0)
    assert feed.apply(trade(704), market, 1.0) == Applied.TRADES | Applied.HOLE
    assert market.trades.missed == 3


@given(st.sets(st.integers(1, 24)), turns)
def test_what_either_of_two_connections_brings_is_there_once(lost: set[int], order: list[bool]) -> None:
    """The first loses some; the second, which lost none, may come before or after it."""
    feed, market = _feed(), state()
    both = _interleaved([n for n in range(25) if n not in lost], range(25), order)
    for n in both:
        feed.apply(trade(n, at=T0 + n), market, 1.0)
    assert market.trades.copy()[:, 4].tolist() == list(range(25))
    assert market.trades.missed == 0
    assert market.quality[DataClass.TRADES].missing == 0  # the feed counts that, from the trades themselves


# ── bars ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _bars(market: MarketState) -> list[list[float]]:
    return market.bars["1m"].copy()[:, [0, 5]].tolist()


def test_a_bar_is_kept_as_the_venue_told_it() -> None:
    feed, market = _feed(), state("1m", "5m")
    frame = kline(T0, at=T0 + 250, volume="12.5", interval="5m")
    assert feed.apply(frame, market, 2.0) == Applied.BARS
    row = [T0, 60000.1, 60002.3, 59999.9, 60001.2, 12.5, 60000.55, 7.0, 0.4, 24000.1]
    assert market.bars["5m"].copy().tolist() == [row]
    assert len(market.bars["1m"]) == 0


def test_an_unclosed_bar_is_replaced_and_after_it_is_closed_the_next_is_appended() -> None:
    feed, market = _feed(), state()
    for at, volume, closed in ((250, "1", False), (500, "2", False), (MINUTE, "3", True)):
        assert feed.apply(kline(T0, at=T0 + at, volume=volume, closed=closed), market, 1.0) == Applied.BARS
    assert market.bars["1m"].is_closed(T0)
    assert feed.apply(kline(T0 + MINUTE, at=T0 + MINUTE + 250, volume="0"), market, 1.0) == Applied.BARS
    assert _bars(market) == [[T0, 3.0], [T0 + MINUTE, 0.0]]


def test_a_bar_whose_predecessor_was_not_seen_closed_or_not_seen_at_all_is_a_hole() -> None:
    feed, market = _feed(), state()
    feed.apply(kline(T0, at=T0 + 250), market, 1.0)
    following = kline(T0 + MINUTE, at=T0 + MINUTE + 250)
    assert feed.apply(following, market, 1.0) == Applied.BARS | Applied.HOLE
    feed.apply(kline(T0 + MINUTE, at=T0 + 2 * MINUTE, closed=True), market, 1.0)
    assert feed.apply(kline(T0 + 3 * MINUTE, at=T0 + 3 * MINUTE + 1), market, 1.0) == Applied.BARS | Applied.HOLE


def test_the_last_version_of_a_bar_counts_even_when_it_comes_late() -> None:
    feed, market = _feed(), state()
    feed.apply(kline(T0, at=T0 + 250, volume="1"), market, 1.0)
    feed.apply(kline(T0 + MINUTE, at=T0 + MINUTE + 250, volume="5"), market, 1.0)
    assert feed.apply(kline(T0, at=T0 + 500, volume="2"), market, 1.0) == Applied.NOTHING
    last = kline(T0, at=T0 + MINUTE, volume="3", closed=True)
    assert feed.apply(last, market, 1.0) == Applied.BARS
    assert feed.apply(last, market, 1.0) == Applied.NOTHING
    assert _bars(market) == [[T0, 3.0], [T0 + MINUTE, 5.0]]


def test_what_rest_has_brought_is_not_overwritten_by_a_message_from_before_it() -> None:
    feed, market = _feed(), state()
    feed.apply(kline(T0, at=T0 + 250, volume="5"), market, 1.0)
    rows = market.bars["1m"].copy()
    rows[0, 5] = 9.0
    market.bars["1m"].merge(rows)
    assert feed.apply(kline(T0, at=T0 + 500, volume="6"), market, 1.0) == Applied.NOTHING
    assert feed.apply(kline(T0, at=T0 + 750, volume="9.5"), market, 1.0) == Applied.BARS


def _versions(bars: int, each: int) -> list[tuple[int, int, str, bool]]:
    """(open time, stamp, volume, closed) of everything one connection sends about some bars."""
    step = MINUTE // each
    return [
        (T0 + bar * MINUTE, T0 + bar * MINUTE + (n + 1) * step, f"{n + 1}.5", n == each - 1)
        for bar in range(bars)
        for n in range(each)
    ]


@given(st.sets(st.integers(0, 19)), turns)
def test_bars_of_two_connections_are_the_venues_in_whatever_order_they_come(lost: set[int], order: list[bool]) -> None:
    """The first loses some messages, the second none."""
    feed, market = _feed(), state()
    whole = _versions(5, 4)
    for open_ms, at, volume, closed in _interleaved([v for n, v in enumerate(whole) if n not in lost], whole, order):
        feed.apply(kline(open_ms, at=at, volume=volume, closed=closed), market, 1.0)
    assert _bars(market) == [[T0 + bar * MINUTE, 4.5] for bar in range(5)]
    assert market.bars["1m"].is_closed(T0 + 4 * MINUTE)


@given(st.permutations(_versions(3, 3)))
def test_messages_in_any_order_never_double_a_bar_or_take_back_its_last_version(order: list[Any]) -> None:
    feed, market = _feed(), state()
    for open_ms, at, volume, closed in order:
        feed.apply(kline(open_ms, at=at, volume=volume, closed=closed), market, 1.0)
    assert _bars(market)[-1] == [T0 + 2 * MINUTE, 3.5]
    assert len({row[0] for row in _bars(market)}) == len(market.bars["1m"])
    assert all(row[1] == 3.5 for row in _bars(market)[1:])


# ── mark, quotes, liquidations ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_symbol_may_be_spelled_in_any_letters() -> None:
    """币安人生USDT is one."""
    symbol = "币安人生USDT"
    feed, market = BinanceUsdmFeed(symbol, BinanceUsdmSettings()), state()
    for number in (7, 8):
        frame = trade(number).replace(SYMBOL.encode(), symbol.encode())
        feed.apply(frame.replace(SYMBOL.lower().encode(), symbol.lower().encode()), market, 1.0)
    assert market.trades.last_seq == 8


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=6))
def test_of_marks_and_quotes_the_newest_stays(order: list[int], again: list[int]) -> None:
    feed, market = _feed(), state()
    for n in (*order, *again):
        feed.apply(mark(T0 + n, price=f"{100 + n}", rate=f"0.000{n}"), market, 1.0)
        feed.apply(quote(50 + n, bid=f"{200 + n}", at=T0 + n), market, 1.0)
    ticker = market.ticker
    assert (ticker.mark, ticker.funding, ticker.mark_ms) == (105.0, 0.0005, T0 + 5)
    assert (ticker.bid, ticker.venue_ms) == (205.0, T0 + 5)


def test_a_mark_brings_index_funding_and_when_it_is_due() -> None:
    feed, market = _feed(), state()
    assert feed.apply(mark(T0), market, 1.0) == Applied.MARK
    ticker = market.ticker
    assert (ticker.mark, ticker.index) == (60000.12345678, 60001.23)
    assert (ticker.funding, ticker.next_funding_ms) == (0.0001, T0 + 3_600_000)
    feed.apply(mark(T0 + 1000, rate="", due=0), market, 1.0)  # a contract without funding
    assert (ticker.funding, ticker.next_funding_ms) == (None, None)
    nothing = mark(T0 + 2000, price="0.00000000").replace(b'"60001.23"', b'""')  # one that is not traded yet
    assert feed.apply(nothing, market, 1.0) == Applied.MARK
    assert (ticker.mark, ticker.index, ticker.mark_ms) == (None, None, T0 + 2000)


def test_an_empty_side_of_a_quote_is_none() -> None:
    feed, market = _feed(), state()
    assert feed.apply(quote(1, bid="0"), market, 1.0) == Applied.TICKER
    assert (market.ticker.bid, market.ticker.ask) == (None, 60000.2)


@given(turns)
def test_a_liquidation_two_connections_bring_is_there_once(order: list[bool]) -> None:
    feed, market = _feed(), state()
    times = [T0 + 1000 * n for n in range(6)]
    for at in _interleaved(times, times, order):
        feed.apply(forced(at, side="SELL" if at % 2000 else "BUY"), market, 1.0)
    assert market.forced.copy()[:, 0].tolist() == times
    assert market.forced.copy()[0].tolist() == [T0, 59910.0, 59940.5, 0.014, 0.014, 1.0]


@given(turns, st.lists(st.booleans(), min_size=20, max_size=20))
def test_second_copies_are_no_disorder_and_an_overtaken_message_is(order: list[bool], swapped: list[bool]) -> None:
    """Two connections, each in its own order; and then one connection whose messages overtake each other."""
    feed, market = _feed(), state()
    frames = [[depth(u=n, at=T0 + n), mark(T0 + n), quote(n, at=T0 + n)] for n in range(1, 21)]
    frames = [[*each, kline(T0, at=T0 + n + 1, volume=f"{n}")] for n, each in enumerate(frames)]
    for each in _interleaved(frames, frames, order):
        for frame in each:
            feed.apply(frame, market, 1.0)
    counted = [market.quality[name] for name in (DataClass.BOOK, DataClass.MARK, DataClass.TICKER, DataClass.BARS)]
    assert [(quality.out_of_order, quality.duplicates) for quality in counted] == [(0, 20)] * 4
    feed, market = _feed(), state()
    for n, swap in enumerate(swapped):
        for frame in (mark(T0 + 2 * n + 1 + swap), mark(T0 + 2 * n + 2 - swap)):
            feed.apply(frame, market, 1.0)
    assert market.quality[DataClass.MARK].out_of_order == sum(swapped)


# ── frames ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_unknown_fields_other_orders_of_keys_and_numbers_as_numbers_are_all_the_same() -> None:
    plain = b'{ "data" : {"m":true,"T":5,"q":0.5,"p":7,"a":3,"new":{"stream":[1]}} , "stream" : "btcusdt@aggTrade" }'
    feed, market = _feed(), state()
    assert feed.apply(plain, market, 1.0) == Applied.TRADES
    assert market.trades.copy().tolist() == [[5.0, 7.0, 0.5, -1.0, 3.0]]


@pytest.mark.parametrize(
    "broken",
    [
        depth(u=9).replace(b'"60000.00"', b'"sixty"'),
        depth(u=9).replace(b'"60000.00"', b'"-1"'),
        depth(u=9).replace(b'"60000.00"', b'"NaN"'),
        depth(u=9).replace(b'"60000.00"', b"1e400"),
        depth(u=9).replace(b'"u":9', b'"u":-9'),
        depth(u=9).replace(b'"u":9', b'"w":9'),
        depth("depth@100ms", u=9),  # the settings say depth20
        trade(9).replace(b'"m":false', b'"m":"perhaps"'),
        trade(9).replace(b'"0.023"', b"null"),
        trade(2**53 + 1),  # a column of float64 could not tell it from the one before
        kline(T0, at=T0 - 1),
        kline(T0 + 1, at=T0 + 2),
        kline(T0, at=T0 + 1, interval="2h"),
        mark(T0 + 1).replace(b'"0.00010000"', b'"soon"'),
        forced(T0 + 1).replace(b'"SELL"', b'"HOLD"'),
        wrapped("aggTrade", []),
        wrapped("markPrice@arr", [{}]),
        wrapped("", {}),
        trade(9).replace(b"btcusdt@", b"ethusdt@"),
        trade(9)[:-9],
        b"[" * 100_000,
        b"",
        b"null",
        b"\xff\xfe\x00",
    ],
)
def test_a_broken_frame_is_a_wire_error_and_changes_nothing(broken: bytes) -> None:
    feed, market = _feed(), state("1m")
    for frame in (depth(u=5), trade(5), kline(T0, at=T0), mark(T0), quote(5), forced(T0)):
        feed.apply(frame, market, 1.0)
    before = _seen(market)
    with pytest.raises(WireError) as error:
        feed.apply(broken, market, 2.0)
    assert all((error.value.field, error.value.expected, error.value.got))
    assert _seen(market) == before


WHOLE = (depth(u=5), trade(5), kline(T0, at=T0), mark(T0), quote(5), forced(T0), depth("depth@100ms", u=5, pu=1))


@given(st.sampled_from(WHOLE), st.binary(max_size=60), st.integers(0, 400), st.integers(0, 400))
def test_damaged_and_random_bytes_are_wire_errors_or_frames(
    whole: bytes, noise: bytes, start: int, length: int
) -> None:
    for frame in (noise, whole[:start] + noise + whole[start + length :]):
        feed, market = _feed(), state()
        before = _seen(market)
        try:
            feed.apply(frame, market, 1.0)
        except WireError:
            assert _seen(market) == before
