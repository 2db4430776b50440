"""What is held in memory against what a venue answers: where they differ. Pure, and careful: only what must be equal is called wrong."""

from collections.abc import Sequence

import msgspec
import numpy as np

from engine.model import BAR_COLUMNS, Bars, Book, Columns
from engine.venues.base import BookSnapshot

_SAME = 1e-9  # relative: figures a venue adds up itself differ in the last digits


class Best(msgspec.Struct, frozen=True):
    """The best of both sides of a book, and which of the venue's changes it is after."""

    change_id: int
    bid: tuple[float, float] | None
    ask: tuple[float, float] | None


def settled_span(bars: Bars, now_ms: int, settle_ms: int, count: int) -> tuple[int, int] | None:
    """Open times of the first and last of the newest `count` bars that ended `settle_ms` ago and are known to be closed."""
    keys = bars.view()[:, 0]
    settled = min(bars.closed_through_ms, now_ms - settle_ms - bars.interval_ms)
    known = keys[keys <= settled][-count:]
    return (int(known[0]), int(known[-1])) if len(known) else None


class WrongBar(msgspec.Struct, frozen=True):
    """One bar as the venue has it, and what was held in its place."""

    row: tuple[float, ...]
    difference: str


def wrong_bars(bars: Bars, theirs: Columns) -> list[WrongBar]:
    """Rows of `theirs`, closed bars all, that `bars` has otherwise or lacks. A figure one side does not say is not compared.

    What is older than the oldest bar held is not lacking: it was let go.
    """
    held = bars.view()
    if not len(held):
        return []
    ours = dict(zip(held[:, 0].tolist(), held, strict=True))
    wrong = []
    for row in theirs:
        mine = ours.get(row[0])
        if row[0] >= held[0, 0] and (mine is None or not _same(mine, row)):
            wrong.append(WrongBar(tuple(row.tolist()), _difference(mine, row)))
    return wrong


def _difference(ours: Columns | None, theirs: Columns) -> str:
    if ours is None:
        return "it was lacking"
    names = [name for n, name in enumerate(BAR_COLUMNS) if not _same(ours[n : n + 1], theirs[n : n + 1])]
    return ", ".join(
        f"{name} was {ours[BAR_COLUMNS.index(name)]:g}, is {theirs[BAR_COLUMNS.index(name)]:g}" for name in names
    )


def _same(ours: Columns, theirs: Columns) -> bool:
    said = ~(np.isnan(ours) | np.isnan(theirs))
    return bool(np.allclose(ours[said], theirs[said], rtol=_SAME, atol=0.0))


def best_of(book: Book) -> Best | None:
    """The top of `book` as it stands, None while it shows nothing."""
    return Best(book.change_id, book.best_bid(), book.best_ask()) if book.ready else None


def same_book(ours: Sequence[Best | None], theirs: BookSnapshot) -> bool | None:
    """Whether the tops are equal; None if none of `ours` is after the same change, which proves nothing."""
    for best in ours:
        if best is not None and best.change_id == theirs.change_id:
            return (best.bid, best.ask) == (next(iter(theirs.bids), None), next(iter(theirs.asks), None))
    return None


def same_mark(ours: Sequence[float | None], theirs: float | None, tolerance: float) -> bool | None:
    """Whether one of `ours`, the mark before and after the question, is about `theirs`; None where there is none to compare."""
    marks = [mark for mark in ours if mark is not None]
    if not marks or not theirs:
        return None
    return any(abs(mark - theirs) <= tolerance * abs(theirs) for mark in marks)
