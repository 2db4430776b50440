"""Frames → market state: recorded shapes, continuity, and bytes nobody should send."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import BAR_COLUMNS, DataClass, MarketState
from engine.venues.base import Applied
from engine.venues.deribit import WireError
from engine.venues.deribit.bars import UNSAID, BarHalves, merge_halves
from engine.venues.deribit.feed import DeribitFeed
from tests.support.deribit import PERPETUAL, note

BOOK = f"book.{PERPETUAL}.100ms"
TICKER = f"ticker.{PERPETUAL}.100ms"
TRADES = f"trades.{PERPETUAL}.100ms"
H2 = 7_200_000
SNAPSHOT: dict[str, Any] = {
    "type": "snapshot",
    "timestamp": 1_790_000_000_000,
    "instrument_name": PERPETUAL,
    "change_id": 118850968930,
    "bids": [["new", 83211.5, 1.0002e6], ["new", 83211.0, 20.0]],
    "asks": [["new", 83212.0, 3.2e4], ["new", 83213.0, 10]],
}


def _state() -> MarketState:
    return MarketState("x", bounds_s=dict.fromkeys(DataClass, 5.0), intervals=("1m", "4h"))


def _feed() -> DeribitFeed:
    return DeribitFeed(PERPETUAL, BarHalves())


def _change(previous: int, change_id: int, bids: list[Any] = [], asks: list[Any] = []) -> bytes:  # noqa: B006
    data = SNAPSHOT | {
        "type": "change",
        "prev_change_id": previous,
        "change_id": change_id,
        "bids": bids,
        "asks": asks,
    }
    return note(BOOK, data)


def _seen(state: MarketState) -> object:
    ticker = tuple(getattr(state.ticker, name) for name in state.ticker.__slots__)
    bars = [series.copy().tolist() for series in state.bars.values()]
    return state.book.bids(), state.book.asks(), state.book.change_id, ticker, len(state.trades), bars, state.updates


# ── book ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_snapshot_then_changes_whose_ids_skip_numbers() -> None:
    feed, state = _feed(), _state()
    assert feed.apply(note(BOOK, SNAPSHOT), state, 1.0) == Applied.BOOK | Applied.SNAPSHOT
    change = _change(118850968930, 118850969743, [["delete", 83211.5, 0.0]], [["new", 83211.5, 7.0]])
    assert feed.apply(change, state, 2.0) == Applied.BOOK
    assert state.book.bids() == ((83211.0, 20.0),)
    assert state.book.asks() == ((83211.5, 7.0), (83212.0, 32000.0), (83213.0, 10.0))
    assert state.fresh[DataClass.BOOK].updated_s == 2.0


def test_a_lost_message_shows_nothing_until_the_next_snapshot() -> None:
    feed, state = _feed(), _state()
    feed.apply(note(BOOK, SNAPSHOT), state, 1.0)
    assert feed.apply(_change(1, 2), state, 2.0) & Applied.GAP
    assert not state.book.ready
    assert feed.apply(_change(2, 3), state, 3.0) == Applied.NOTHING
    assert state.fresh[DataClass.BOOK].updated_s == 1.0
    assert feed.apply(note(BOOK, SNAPSHOT), state, 4.0) == Applied.BOOK | Applied.SNAPSHOT
    assert state.book.ready


def test_a_change_without_a_predecessor_is_a_gap() -> None:
    feed, state = _feed(), _state()
    feed.apply(note(BOOK, SNAPSHOT), state, 1.0)
    assert feed.apply(note(BOOK, SNAPSHOT | {"type": "change"}), state, 2.0) & Applied.GAP


def test_a_crossed_snapshot_is_a_gap() -> None:
    feed, state = _feed(), _state()
    crossed = SNAPSHOT | {"bids": [["new", 83215.0, 1.0]]}
    assert feed.apply(note(BOOK, crossed), state, 1.0) & Applied.GAP
    assert not state.book.ready


# ── ticker, trades, bars ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ticker_without_quotes_and_trades_has_none_of_them() -> None:
    state = _state()
    data = {"timestamp": 1, "best_bid_price": 0.0, "best_ask_price": None, "last_price": None, "mark_price": 5.0e-8}
    assert _feed().apply(note(TICKER, data), state, 1.0) == Applied.TICKER
    assert (state.ticker.bid, state.ticker.ask, state.ticker.last, state.ticker.mark) == (None, None, None, 5e-8)


def test_trades_are_added_once_however_often_they_are_sent() -> None:
    feed, state = _feed(), _state()
    trade = {
        "trade_seq": 5,
        "trade_id": "400",
        "timestamp": 1,
        "price": 83000.5,
        "amount": 10.0,
        "direction": "sell",
        "starbase_match_id": 225046781992378368,
        "starbase_timestamp": 1790000000000000000,
    }
    assert feed.apply(note(TRADES, [trade, trade | {"trade_seq": 6, "direction": "buy"}]), state, 1.0) == Applied.TRADES
    assert feed.apply(note(TRADES, [trade]), state, 2.0) == Applied.NOTHING
    assert state.trades.copy()[:, 3].tolist() == [-1.0, 1.0]


def _bar(tick: int, high: float = 10.0, volume: float = 1.0) -> dict[str, Any]:
    return {"tick": tick, "open": 5.0, "high": high, "low": 4.0, "close": 6.0, "volume": volume, "cost": 2.0}


def test_an_unclosed_bar_is_replaced_and_a_later_one_appended() -> None:
    feed, state = _feed(), _state()
    channel = f"chart.trades.{PERPETUAL}.1"
    for tick, volume in ((60_000, 1.0), (60_000, 2.0), (120_000, 0.0)):
        assert feed.apply(note(channel, _bar(tick, volume=volume)), state, 1.0) == Applied.BARS
    assert state.bars["1m"].copy()[:, [0, 5]].tolist() == [[60_000, 2.0], [120_000, 0.0]]


def test_a_four_hour_bar_is_made_of_both_halves_or_not_at_all() -> None:
    state, halves = _state(), BarHalves()
    feed, channel = DeribitFeed(PERPETUAL, halves), f"chart.trades.{PERPETUAL}.120"
    assert feed.apply(note(channel, _bar(H2)), state, 1.0) == Applied.NOTHING
    for tick, high in ((2 * H2, 12.0), (3 * H2, 11.0), (3 * H2, 13.0), (4 * H2, 9.0)):
        assert feed.apply(note(channel, _bar(tick, high)), state, 1.0) == Applied.BARS
    rows = state.bars["4h"].copy()
    assert rows[:, [0, 2, 5]].tolist() == [[2 * H2, 13.0, 2.0], [4 * H2, 9.0, 1.0]]


def test_the_first_half_may_come_from_rest() -> None:
    state, halves = _state(), BarHalves()
    first = [[0.0, 5.0, 20.0, 4.0, 6.0, 7.0, 2.0, *UNSAID]]
    halves.seed(PERPETUAL, merge_halves_input(first))
    feed = DeribitFeed(PERPETUAL, halves)
    assert feed.apply(note(f"chart.trades.{PERPETUAL}.120", _bar(H2, 10.0, 3.0)), state, 1.0) == Applied.BARS
    assert state.bars["4h"].copy()[0, :7].tolist() == [0.0, 5.0, 20.0, 4.0, 6.0, 10.0, 4.0]


def merge_halves_input(rows: list[list[float]]) -> Any:
    import numpy as np

    return np.array(rows)


@given(st.integers(min_value=0, max_value=20), st.integers(min_value=0, max_value=12))
def test_merged_bars_begin_every_four_hours_and_keep_the_volume(start: int, count: int) -> None:
    rows = [[float((start + n) * H2), 5.0, 6.0 + n, 4.0 - n, 5.5, 1.0, 2.0, *UNSAID] for n in range(count)]
    merged = merge_halves(merge_halves_input(rows).reshape(-1, len(BAR_COLUMNS)))
    assert all(row[0] % (2 * H2) == 0 for row in merged.tolist())
    dropped = 1 if count and start % 2 else 0
    assert merged[:, 5].sum() == count - dropped


# ── bad input ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "broken",
    [
        note(BOOK, SNAPSHOT | {"bids": [["new", 83211.5, -1.0]]}),
        note(BOOK, SNAPSHOT | {"bids": [["improve", 83211.5, 1.0]]}),
        note(BOOK, SNAPSHOT | {"bids": [["new", "83211.5", 1.0]]}),
        note(BOOK, SNAPSHOT | {"bids": [["new", 83211.5]]}),
        note(BOOK, SNAPSHOT | {"bids": [["new", 0.0, 1.0]]}),
        note(BOOK, SNAPSHOT).replace(b"1000200.0", b"1e400"),
        note(BOOK, SNAPSHOT).replace(b"1000200.0", b"NaN"),
        note(BOOK, SNAPSHOT | {"change_id": -5}),
        note(BOOK, SNAPSHOT | {"change_id": 2**63}),
        note(BOOK, SNAPSHOT | {"timestamp": "now"}),
        note(BOOK, {key: value for key, value in SNAPSHOT.items() if key != "change_id"}),
        note(TICKER, {"timestamp": 1, "best_bid_price": -1}),
        note(TICKER, []),
        note(TRADES, {"price": 1}),
        note(TRADES, [{"timestamp": 1, "price": 1, "amount": 1, "direction": "up", "trade_seq": 1}]),
        note(f"chart.trades.{PERPETUAL}.1", {"tick": 1}),
        note(f"chart.trades.{PERPETUAL}.7", _bar(1)),
        note(f"book.{PERPETUAL}.none.10.100ms", {}),
        note("platform_state", {"maintenance": True}),
        note(BOOK, SNAPSHOT)[:-9],
        note(BOOK, SNAPSHOT).replace(b"snapshot", b"snap\xff\xfe"),
        b"[" * 100_000,
        b"",
        b"null",
        b"\xff\xfe\x00",
    ],
)
def test_a_broken_frame_is_a_wire_error_and_changes_nothing(broken: bytes) -> None:
    feed, state = _feed(), _state()
    feed.apply(note(BOOK, SNAPSHOT), state, 1.0)
    before = _seen(state)
    with pytest.raises(WireError) as error:
        feed.apply(broken, state, 2.0)
    assert all((error.value.field, error.value.expected, error.value.got))
    assert _seen(state) == before


channels = st.sampled_from([BOOK, TICKER, TRADES, f"chart.trades.{PERPETUAL}.1", f"chart.trades.{PERPETUAL}.120", "x"])
numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.none(), st.text(max_size=5))
junk = st.recursive(
    numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)
fields = st.sampled_from([*SNAPSHOT, "prev_change_id", "best_bid_price", "tick", "price", "direction", "trade_seq"])


@given(channels, st.one_of(junk, st.dictionaries(fields, junk), st.lists(st.dictionaries(fields, junk), max_size=2)))
def test_any_json_in_a_channel_decodes_or_is_a_wire_error(channel: str, data: Any) -> None:
    feed, state = _feed(), _state()
    before = _seen(state)
    try:
        frame = note(channel, data)
    except (msgspec.MsgspecError, OverflowError):
        return  # not JSON
    try:
        feed.apply(frame, state, 1.0)
    except WireError:
        assert _seen(state) == before


@given(st.binary(max_size=200), st.integers(0, 500), st.integers(0, 500))
def test_damaged_and_random_bytes_are_wire_errors(noise: bytes, start: int, length: int) -> None:
    whole = note(BOOK, SNAPSHOT)
    for frame in (noise, whole[:start] + noise + whole[start + length :]):
        feed, state = _feed(), _state()
        before = _seen(state)
        try:
            feed.apply(frame, state, 1.0)
        except WireError:
            assert _seen(state) == before
