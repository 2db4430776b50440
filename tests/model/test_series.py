"""Bars and trades keep the newest rows in time order, whatever order and from whatever source they come."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import BAR_COLUMNS, Bars, Columns, Series, Trades

MINUTE = 60_000
CAPACITY = 8


def bar(slot: int, volume: float) -> tuple[float, ...]:
    return (float(slot * MINUTE), 1.0, 2.0, 0.5, 1.5, volume, 10 * volume, 3.0, math.nan, math.nan)


def columns(rows: list[tuple[float, ...]], width: int) -> Columns:
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)


def trade(seq: int) -> tuple[float, ...]:
    return (float(1000 + seq), 10.0 + seq, 1.0, 1.0, float(seq))


def add(trades: Trades, seq: int) -> bool:
    return trades.add(time_ms=1000 + seq, price=10.0 + seq, amount=1.0, taker_side=1, trade_seq=seq)


BARS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5).map(float)), max_size=40)


@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 8))
def test_a_series_holds_the_newest_rows_in_one_block(capacity: int, count: int, limit: int) -> None:
    series = Series(capacity, 2)
    for n in range(count):
        series.append((float(n), -1.0))
    expected = list(range(count))[-capacity:]
    assert series.view()[:, 0].tolist() == expected
    assert series.view(limit)[:, 0].tolist() == (expected[-limit:] if limit else [])
    assert (len(series), series.last_key) == (len(expected), expected[-1] if expected else None)
    assert series.newest == ((float(expected[-1]), -1.0) if expected else None)


def test_a_view_cannot_be_written_and_a_copy_stands_apart() -> None:
    series = Series(4, 2)
    series.append((1.0, 2.0))
    with pytest.raises(ValueError, match="read-only"):
        series.view()[0, 0] = 5.0
    kept = series.copy()
    kept[0, 0] = 9.0
    assert series.last_key == 1.0


@given(BARS)
def test_bars_one_by_one_are_the_newest_write_of_each_open_time(writes: list[tuple[int, float]]) -> None:
    """With room for all, any order of writes gives the same bars as a map; unclosed bars are replaced, late ones inserted."""
    bars, expected = Bars(MINUTE, 21), {}
    for slot, volume in writes:
        bars.upsert(bar(slot, volume))
        expected[slot] = volume
    assert [(int(row[0] // MINUTE), row[5]) for row in bars.view()] == sorted(expected.items())


@given(BARS)
def test_bars_stay_sorted_unique_and_bounded(writes: list[tuple[int, float]]) -> None:
    bars = Bars(MINUTE, CAPACITY)
    for slot, volume in writes:
        bars.upsert(bar(slot, volume))
    keys = bars.view()[:, 0].tolist()
    assert keys == sorted(set(keys))
    assert len(keys) <= CAPACITY
    if writes:
        assert keys[-1] == max(slot for slot, _ in writes) * MINUTE


@given(BARS, BARS)
def test_merging_two_sources_gives_the_fuller_version_of_each_bar_in_either_order(
    first: list[tuple[int, float]], second: list[tuple[int, float]]
) -> None:
    fullest: dict[int, float] = {}
    for slot, volume in first + second:
        fullest[slot] = max(volume, fullest.get(slot, 0.0))
    newest = sorted(fullest.items())[-CAPACITY:]
    for sources in ((first, second), (second, first)):
        bars = Bars(MINUTE, CAPACITY)
        for source in sources:
            bars.merge(columns([bar(*row) for row in source], len(BAR_COLUMNS)))
        assert bars.last_key == (newest[-1][0] * MINUTE if newest else None)
        assert [(int(row[0] // MINUTE), row[5]) for row in bars.view()] == newest


@given(st.sets(st.integers(0, 20)))
def test_missing_counts_the_holes(slots: set[int]) -> None:
    bars = Bars(MINUTE, 30)
    for slot in slots:
        bars.upsert(bar(slot, 1.0))
    assert bars.missing() == (max(slots) - min(slots) + 1 - len(slots) if slots else 0)


@given(st.lists(st.integers(0, 30), max_size=40))
def test_trades_never_run_backwards_and_count_what_is_missing_among_those_kept(sequence: list[int]) -> None:
    trades, kept = Trades(CAPACITY), []
    for seq in sequence:
        assert add(trades, seq) is (not kept or seq > kept[-1])
        if not kept or seq > kept[-1]:
            kept.append(seq)
    assert trades.view()[:, 4].tolist() == kept[-CAPACITY:]
    window = kept[-CAPACITY:]
    assert trades.missed == (window[-1] - window[0] + 1 - len(window) if window else 0)
    assert trades.never_seen == (kept[-1] - kept[0] + 1 - len(kept) if kept else 0)


@given(
    st.lists(st.integers(0, 30), max_size=20, unique=True).map(sorted),
    st.lists(st.lists(st.integers(0, 30), max_size=10), max_size=3),
)
def test_a_second_source_fills_the_holes_in_trades(heard: list[int], polls: list[list[int]]) -> None:
    """With room for all: the trades are the union, in order, and `missed` is what neither source gave."""
    trades, known = Trades(31), set(heard)
    for seq in heard:
        add(trades, seq)
    for poll in polls:
        new = trades.merge(columns([trade(seq) for seq in poll], 5))
        assert new == len(set(poll) - known)
        known |= set(poll)
    assert trades.view()[:, 4].tolist() == sorted(known)
    assert trades.missed == trades.never_seen == (max(known) - min(known) + 1 - len(known) if known else 0)
    assert trades.last_seq == (max(known) if known else -1)


def test_trades_older_than_a_full_window_are_not_taken_twice() -> None:
    trades = Trades(4)
    for seq in range(10):
        add(trades, seq)
    assert trades.merge(columns([trade(seq) for seq in range(12)], 5)) == 2
    assert (trades.view()[:, 4].tolist(), trades.missed, trades.never_seen, trades.last_seq) == (
        [8, 9, 10, 11],
        0,
        0,
        11,
    )


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5).map(float), st.booleans()), max_size=40))
def test_a_bar_known_to_be_closed_is_followed_by_no_earlier_version_of_it(
    writes: list[tuple[int, float, bool]],
) -> None:
    """`closed_through_ms` is the newest bar that was called closed or has a later one after it, and never goes back."""
    bars, expected, told, through = Bars(MINUTE, 21), {}, -1, -1
    for slot, volume, closed in writes:
        bars.upsert(bar(slot, volume), closed)
        if closed or slot > told or slot not in expected:
            expected[slot] = volume
        told = max(told, slot) if closed else told
        assert bars.closed_through_ms >= through
        through = bars.closed_through_ms
        assert all(bars.is_closed(known * MINUTE) == (known * MINUTE <= through) for known in expected)
        assert bars.newest is not None
        assert bars.newest[:6] == tuple(bars.view(1)[0, :6].tolist())
        before_newest = sorted(expected)[-2:-1] or [-1]
        known = max(told, *before_newest)
        assert through == (known * MINUTE if known >= 0 else -1)
    assert [(int(row[0] // MINUTE), row[5]) for row in bars.view()] == sorted(expected.items())


def test_a_second_source_may_know_more_bars_closed_but_none_that_is_not_there() -> None:
    bars = Bars(MINUTE, 4)
    bars.merge(columns([], len(BAR_COLUMNS)), closed_through_ms=5 * MINUTE)
    assert bars.closed_through_ms == -1
    bars.merge(columns([bar(1, 1.0), bar(2, 1.0)], len(BAR_COLUMNS)))
    assert bars.closed_through_ms == MINUTE
    bars.merge(columns([bar(2, 2.0)], len(BAR_COLUMNS)), closed_through_ms=5 * MINUTE)
    assert bars.closed_through_ms == 2 * MINUTE


def test_a_version_without_a_volume_gives_way_to_one_with() -> None:
    for first, second in ((math.nan, 1.0), (1.0, math.nan)):
        bars = Bars(MINUTE, 4)
        bars.merge(columns([bar(1, first)], len(BAR_COLUMNS)))
        bars.merge(columns([bar(1, second)], len(BAR_COLUMNS)))
        assert bars.view()[:, 5].tolist() == [1.0]


@given(st.integers(1, 300), st.integers(0, 700))
def test_a_series_holds_little_more_memory_than_its_rows(capacity: int, count: int) -> None:
    series = Series(capacity, 2)
    for n in range(count):
        series.append((float(n), -1.0))
    held = len(series.view().base)
    assert held <= 2 * max(16, min(count, capacity))
    assert held <= capacity + max(16, capacity // 32)
