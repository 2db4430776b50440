"""Lists over a span of time, read whole.

The venue cuts a list that is longer than a page and does not say at which end. So a full page is taken for no answer: its span
is halved and both halves are asked for, the earlier one first, until every page is short of full.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAGE = 1000
WEEK_MS = 7 * 86_400_000  # the longest span the venue takes
Ask = Callable[[int, int], Awaitable[list[T]]]


async def read_span(
    ask: Ask[T],
    first_ms: int,
    last_ms: int,
    *,
    most: int,
    crowd: Callable[[list[T]], Awaitable[list[T]]] | None = None,
) -> tuple[list[T], int]:
    """Rows from `first_ms` to `last_ms`, and until when they are all: before `last_ms` when `most` questions were not enough.

    `crowd` completes the full page of a single millisecond; without it the list ends before such a one.
    """
    spans = _weeks(first_ms, last_ms)
    rows: list[T] = []
    for _ in range(most):
        if not spans:
            return rows, last_ms
        first, last = spans.pop()
        page = await ask(first, last)
        if len(page) < PAGE:
            rows += page
        elif first < last:
            middle = (first + last) // 2
            spans += [(middle + 1, last), (first, middle)]
        elif crowd is not None:
            rows += await crowd(page)
        else:
            return rows, first - 1
    return rows, spans[-1][0] - 1 if spans else last_ms


def _weeks(first_ms: int, last_ms: int) -> list[tuple[int, int]]:
    """The earliest comes last."""
    starts = range(first_ms, last_ms + 1, WEEK_MS)
    return [(start, min(start + WEEK_MS - 1, last_ms)) for start in reversed(starts)]
