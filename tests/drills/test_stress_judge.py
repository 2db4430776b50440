"""The judge of the stress drill: what is so passes, whatever moved meanwhile, and every single untruth is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.model import BAR_COLUMNS, TRADE_COLUMNS, Columns
from scripts.drills._stress_judge import BookTruth, MarketTruth, View, book_differences, differences

MINUTE_MS = 60_000
KEPT = 20
TIMES = st.integers(0, 10_000)


def bars(seed: int, count: int = KEPT) -> Columns:
    dice = np.random.default_rng(seed)
    rows = dice.uniform(1.0, 100.0, (count, len(BAR_COLUMNS)))
    rows[:, 0] = (1 + np.arange(count)) * MINUTE_MS
    rows[:, 2] = rows[:, 1:5].max(axis=1)
    rows[:, 3] = rows[:, 1:5].min(axis=1)
    return rows


def grown(rows: Columns, share: float) -> Columns:
    """The same bars after some more trades in the open one."""
    rows = rows.copy()
    rows[-1, 5:] += 10 * share
    rows[-1, 2] += share
    rows[-1, 3] -= share / 10
    return rows


def rolled(rows: Columns) -> Columns:
    """The same bars after the open one closed and a new one began."""
    row = rows[-1].copy()
    row[0] += MINUTE_MS
    return np.vstack((rows, row))


def trades(first: int, count: int) -> Columns:
    seqs = np.arange(first, first + count, dtype=np.float64)
    return np.column_stack((seqs * 10, 100 + seqs, seqs % 7 + 1, seqs % 2 * 2 - 1, seqs))


def truth(seed: int, *, share: float = 0.0, more_trades: int = 0, mark_ms: int = 5) -> MarketTruth:
    return MarketTruth(
        bars={"1m": grown(bars(seed), share)},
        trades=trades(50, 30 + more_trades),
        asked_ms=mark_ms + 1,
        marks={at_ms: {"mark": 1.5 + at_ms, "next": None} for at_ms in range(mark_ms - 3, mark_ms + 1)},
        samples={"open_interest": np.array([[1.0, 2.0], [3.0, 4.0]])},
    )


def view_of(so: MarketTruth) -> View:
    mark_ms = max(so.marks)
    return View(so.bars, KEPT, so.trades, so.marks[mark_ms], mark_ms, so.samples)


@given(st.integers(0, 2**20), *[st.floats(0, 1)] * 3, st.integers(0, 5), st.integers(0, 5))
def test_a_view_between_two_truths_has_no_differences(seed, first, second, third, some, more):
    first, second, third = sorted((first, second, third))
    before = truth(seed, share=first)
    at = truth(seed, share=second, more_trades=some, mark_ms=6)
    after = truth(seed, share=third, more_trades=some + more, mark_ms=7)
    assert differences(before, view_of(at), after) == []


def test_a_bar_may_close_between_view_and_truth_on_either_side():
    before = truth(1)
    after = replace(before, bars={"1m": rolled(before.bars["1m"])})
    assert differences(before, view_of(before), after) == []
    assert differences(before, view_of(after), after) == []


@given(st.integers(0, 2**20), st.integers(2, KEPT - 2), st.integers(0, len(BAR_COLUMNS) - 1), st.floats(1e-6, 10))
def test_one_wrong_field_of_one_closed_bar_is_found(seed, row, column, error):
    so = truth(seed)
    wrong = so.bars["1m"].copy()
    wrong[row, column] += error if column else 1
    assert differences(so, replace(view_of(so), bars={"1m": wrong}), so)


@given(st.integers(0, 2**20), st.integers(2, KEPT - 1))
def test_a_missing_bar_and_a_doubled_one_are_found(seed, row):
    so = truth(seed)
    rows = so.bars["1m"]
    for wrong in (np.delete(rows, row, axis=0), np.insert(rows, row, rows[row], axis=0)):
        assert differences(so, replace(view_of(so), bars={"1m": wrong}), so)


@given(st.integers(0, 2**20), st.floats(0, 1), st.sampled_from((2, 5, 6, 7, 8, 9)))
def test_an_open_bar_that_is_behind_or_ahead_is_found(seed, share, column):
    before, after = truth(seed, share=share), truth(seed, share=share + 0.1)
    for so, step in ((before, -0.001), (after, 0.001)):
        wrong = so.bars["1m"].copy()
        wrong[-1, column] += step
        assert differences(before, replace(view_of(so), bars={"1m": wrong}), after)


def test_no_bars_at_all_are_found():
    so = truth(1)
    assert differences(so, replace(view_of(so), bars={}), so)


def test_a_bar_from_the_future_is_found():
    so = truth(1)
    assert differences(so, replace(view_of(so), bars={"1m": rolled(so.bars["1m"])}), so)


@given(st.integers(1, 28))
def test_a_hole_in_the_trades_and_a_trade_twice_are_found(at):
    so = truth(1)
    for wrong in (np.delete(so.trades, at, axis=0), np.insert(so.trades, at, so.trades[at], axis=0)):
        assert differences(so, replace(view_of(so), trades=wrong), so)


@given(st.integers(0, 29), st.integers(0, len(TRADE_COLUMNS) - 1))
def test_one_wrong_field_of_one_trade_is_found(at, column):
    so = truth(1)
    wrong = so.trades.copy()
    wrong[at, column] += 1
    assert differences(so, replace(view_of(so), trades=wrong), so)


def test_trades_that_end_too_early_or_go_on_too_far_are_found():
    so = truth(1)
    for wrong in (so.trades[:-1], trades(50, 31), so.trades[:0]):
        assert differences(so, replace(view_of(so), trades=wrong), so)


def test_a_mark_that_is_too_old_or_too_new_or_wrong_is_found():
    so = truth(1)
    for wrong_ms in (4, 7):
        assert differences(so, replace(view_of(so), mark_ms=wrong_ms), so)
    for wrong in ({"mark": 0.0, "next": None}, {"mark": 6.5, "next": 1.0}, {"next": None}):
        assert differences(so, replace(view_of(so), mark=wrong), so)


def test_wrong_and_missing_samples_are_found_and_older_ones_are_none_of_our_business():
    so = truth(1)
    older = np.vstack(([0.5, 9.0], so.samples["open_interest"]))
    assert differences(so, replace(view_of(so), samples={"open_interest": older}), so) == []
    for wrong in ({}, {"open_interest": np.array([[3.0, 4.5]])}):
        assert differences(so, replace(view_of(so), samples=wrong), so)


LEVELS = tuple((100.0 - n, 1.0 + n) for n in range(25))


@given(st.integers(0, 19), st.booleans(), st.booleans())
def test_one_wrong_level_is_found(number, price, bid):
    so = BookTruth(7, LEVELS, LEVELS[::-1])
    assert book_differences(so, replace(so, bids=so.bids[:20], asks=so.asks[:20])) == []
    side = list(so.bids if bid else so.asks)
    side[number] = (side[number][0] + 0.5, side[number][1]) if price else (side[number][0], side[number][1] + 0.5)
    assert book_differences(so, replace(so, **{"bids" if bid else "asks": tuple(side)}))


@pytest.mark.parametrize("levels", [0, 5, 19])
def test_a_book_with_too_few_levels_is_found(levels):
    so = BookTruth(7, LEVELS, LEVELS)
    assert book_differences(so, replace(so, bids=so.bids[:levels]))
