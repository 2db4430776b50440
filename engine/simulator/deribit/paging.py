"""Pages of long answers: by count and direction, and by continuation tokens."""

from collections.abc import Sequence
from typing import TypeVar

from engine.simulator.deribit.params import invalid

__all__ = ["continue_from", "newest_first", "take_page"]

T = TypeVar("T")


def newest_first(sorting: str, *, ranged: bool) -> bool:
    """Without an order asked for, a range is answered oldest first, the latest trades newest first."""
    return sorting == "desc" or (sorting == "default" and not ranged)


def take_page(rows: Sequence[T], count: int, *, descending: bool) -> tuple[Sequence[T], bool]:
    """The first `count` rows in the direction asked for, from rows oldest first; and whether there are more."""
    page = rows[: -count - 1 : -1] if descending else rows[:count]
    return page, len(rows) > len(page)


def continue_from(rows: Sequence[T], count: int, token: str | None) -> tuple[Sequence[T], str | None]:
    """A page that starts where a token says, and the token of the next one (None at the end)."""
    start = 0
    if token not in (None, "none", ""):
        if not str(token).isdecimal() or int(str(token)) > len(rows):
            raise invalid("continuation")
        start = int(str(token))
    end = start + count
    return rows[start:end], str(end) if end < len(rows) else None
