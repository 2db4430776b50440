"""Holds what a node knows of a market against what is so, bar by bar, level by level, trade by trade. Pure.

The market moves while it is looked at. So the truth is taken twice, with the node's view between them, each further apart than a
frame may fly: what cannot change any more must be equal in every field; what only grows (an open bar's volume, the newest
trade's number) must lie between the two truths; a book must equal the truth of its own update id.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
import numpy as np

from engine.model import BAR_COLUMNS, TRADE_COLUMNS, Columns

__all__ = ["BookTruth", "Difference", "MarketTruth", "View", "book_differences", "closed_differences", "differences"]

Levels = tuple[tuple[float, float], ...]

_COLUMN = {name: number for number, name in enumerate(BAR_COLUMNS)}
_GROWING = tuple(_COLUMN[name] for name in ("high", "volume", "cost", "trades", "taker_volume", "taker_cost"))
_LOW = _COLUMN["low"]
_OPEN = _COLUMN["open"]
_SEQ = TRADE_COLUMNS.index("trade_seq")
_RELATIVE = 1e-12  # both sides read the same decimal text, sums are the venue's own


class BookTruth(msgspec.Struct, frozen=True):
    """The best levels of a book at one update id, best first."""

    change_id: int
    bids: Levels
    asks: Levels


class MarketTruth(msgspec.Struct, frozen=True):
    """What is so at `asked_ms`. `bars` by interval, ascending, the last one open; `samples` by source name, venue time
    first; `marks` by venue time, the last ones told.
    """

    bars: Mapping[str, Columns] = {}
    trades: Columns = np.empty((0, len(TRADE_COLUMNS)))
    asked_ms: int = 0
    marks: Mapping[int, Mapping[str, float | None]] = {}
    samples: Mapping[str, Columns] = {}


class View(msgspec.Struct, frozen=True):
    """What the node shows, copied at one moment. `kept` is how many bars of each interval it promises to have."""

    bars: Mapping[str, Columns] = {}
    kept: int = 0
    trades: Columns = np.empty((0, len(TRADE_COLUMNS)))
    mark: Mapping[str, float | None] = {}
    mark_ms: int = 0
    samples: Mapping[str, Columns] = {}


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it is. `at` names it within its class: an interval and open time, a trade's number, a level."""

    what: str
    at: str
    expected: str
    got: str
    doubled: bool = False

    def __str__(self) -> str:
        return f"{self.what} {self.at}: expected {self.expected}, got {self.got}"


def differences(before: MarketTruth, view: View, after: MarketTruth) -> list[Difference]:
    """All that is wrong with `view`, taken later than `before` and earlier than `after`; empty when nothing is."""
    found: list[Difference] = []
    for interval, rows in before.bars.items():
        found += _bars(interval, rows, view.bars.get(interval), after.bars[interval], view.kept)
    found += _trades(before.trades, view.trades, after.trades)
    found += _mark(before, view, after)
    for name, rows in after.samples.items():
        found += _samples(name, rows, view.samples.get(name))
    return found


# ── bars ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _bars(interval: str, before: Columns, ours: Columns | None, after: Columns, kept: int) -> Iterator[Difference]:
    what = f"bars {interval}"
    if ours is None or not len(ours):
        yield Difference(what, "all", f"{len(before)} bars", "none")
        return
    keys = ours[:, 0]
    if np.any(np.diff(keys) <= 0):
        yield Difference(what, "order", "rising open times", "one that does not rise: a bar twice", doubled=True)
        return
    closed, open_bar = before[:-1], before[-1]
    if kept > 2:  # the node's window may be one or two bars further on
        yield from closed_differences(what, closed[-(kept - 2) :], ours)
    yield from _open_bar(what, open_bar, _row_at(ours, open_bar[0]), _row_at(after, open_bar[0]))
    late = keys[keys > after[-1, 0]]
    if len(late):
        yield Difference(what, str(int(late[0])), "no such bar yet", "a bar")


def closed_differences(what: str, closed: Columns, ours: Columns) -> list[Difference]:
    """Every one of these bars must be among ours, equal in every field."""
    by_key = {int(row[0]): row for row in ours}
    return [each for row in closed for each in _same_row(what, row, by_key.get(int(row[0])))]


def _same_row(what: str, expected: Columns, got: Columns | None) -> Iterator[Difference]:
    at = str(int(expected[0]))
    if got is None:
        yield Difference(what, at, "a bar", "none")
        return
    if np.array_equal(expected, got):
        return
    for name, column in _COLUMN.items():
        if not _same(expected[column], got[column]):
            yield Difference(what, f"{at} {name}", repr(float(expected[column])), repr(float(got[column])))


def _open_bar(what: str, least: Columns, got: Columns | None, most: Columns | None) -> Iterator[Difference]:
    """The bar that was open at first: between what it was then and what it is now."""
    at = f"{int(least[0])} (open)"
    if got is None:
        yield Difference(what, at, "a bar", "none")
        return
    if not _same(least[_OPEN], got[_OPEN]):
        yield Difference(what, f"{at} open", repr(float(least[_OPEN])), repr(float(got[_OPEN])))
    if most is None:
        return
    for column in (*_GROWING, _LOW):
        low, high = sorted((float(least[column]), float(most[column])))
        if not (_at_most(low, got[column]) and _at_most(got[column], high)):
            yield Difference(what, f"{at} {BAR_COLUMNS[column]}", f"{low!r} to {high!r}", repr(float(got[column])))


def _row_at(rows: Columns, key: float) -> Columns | None:
    at = int(np.searchsorted(rows[:, 0], key))
    return rows[at] if at < len(rows) and rows[at, 0] == key else None


# ── trades ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _trades(before: Columns, ours: Columns, after: Columns) -> Iterator[Difference]:
    """No hole between our first and our last, every row as it was, and none missing that there was before."""
    if not len(ours):
        if len(before):
            yield Difference("trades", "all", f"up to {int(before[-1, _SEQ])}", "none")
        return
    steps = np.diff(ours[:, _SEQ])
    for at in np.flatnonzero(steps != 1.0)[:5]:
        twice = bool(steps[at] <= 0)
        yield Difference("trades", str(int(ours[at, _SEQ])), "the next number", f"{steps[at]:+.0f}", doubled=twice)
    truth = {int(row[_SEQ]): row for rows in (before, after) for row in rows}
    for row in ours:
        expected = truth.get(int(row[_SEQ]))
        if expected is not None and not np.array_equal(expected, row):
            yield Difference("trades", str(int(row[_SEQ])), str(expected.tolist()), str(row.tolist()))
    if len(before) and ours[-1, _SEQ] < before[-1, _SEQ]:
        yield Difference("trades", "last", f"at least {int(before[-1, _SEQ])}", str(int(ours[-1, _SEQ])))
    if len(after) and ours[-1, _SEQ] > after[-1, _SEQ]:
        yield Difference("trades", "last", f"at most {int(after[-1, _SEQ])}", str(int(ours[-1, _SEQ])))


# ── the rest ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _mark(before: MarketTruth, view: View, after: MarketTruth) -> Iterator[Difference]:
    """As new as the first truth's last mark, no newer than the second truth, and equal to the mark of its own time."""
    newest_ms = max(before.marks, default=0)
    if not newest_ms <= view.mark_ms <= after.asked_ms:
        yield Difference("mark", "time", f"{newest_ms} to {after.asked_ms}", str(view.mark_ms))
    told = after.marks.get(view.mark_ms, {})
    for name, expected in told.items():
        if not _same_or_none(expected, view.mark.get(name)):
            yield Difference("mark", f"{view.mark_ms} {name}", repr(expected), repr(view.mark.get(name)))


def _samples(name: str, truth: Columns, ours: Columns | None) -> Iterator[Difference]:
    """Every row of ours whose time the truth has is the truth's, and there is at least one row."""
    if ours is None or not len(ours):
        if len(truth):
            yield Difference(name, "all", f"{len(truth)} rows", "none")
        return
    by_time = {row[0]: row for row in truth}
    for row in ours:
        expected = by_time.get(row[0])
        if expected is not None and not all(map(_same, expected, row)):
            yield Difference(name, str(int(row[0])), str(expected.tolist()), str(row.tolist()))


def book_differences(truth: BookTruth, ours: BookTruth) -> list[Difference]:
    """Level by level as far as both sides go; for two books of one update id."""
    assert truth.change_id == ours.change_id, "books of one moment"
    return [
        *_side("bids", truth.bids, ours.bids, truth.change_id),
        *_side("asks", truth.asks, ours.asks, truth.change_id),
    ]


def _side(side: str, truth: Levels, ours: Levels, change_id: int) -> Iterable[Difference]:
    if len(ours) < min(len(truth), 20):
        yield Difference("book", f"{change_id} {side}", f"{min(len(truth), 20)} levels", f"{len(ours)}")
    for number, (expected, got) in enumerate(zip(truth, ours, strict=False)):
        if expected != got:
            yield Difference("book", f"{change_id} {side} {number}", str(expected), str(got))


def _same(expected: float, got: float) -> bool:
    return bool(
        expected == got or abs(expected - got) <= _RELATIVE * abs(expected) or (np.isnan(expected) and np.isnan(got))
    )


def _same_or_none(expected: float | None, got: float | None) -> bool:
    return expected is got if expected is None or got is None else _same(expected, got)


def _at_most(low: float, high: float) -> bool:
    return low <= high or _same(low, high)
