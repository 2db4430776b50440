"""Four-hour bars out of the venue's two-hour ones; Deribit has no 240-minute resolution.

High, low, volume and cost of a four-hour bar need both halves. A stream that begins in the second half has never seen the first, so REST
leaves its newest halves here and the feed adds the ones it is sent. A bar whose first half is unknown is not made up.
"""

import math

import numpy as np

from engine.model import BAR_COLUMNS, Columns
from engine.venues.deribit.names import BAR_4H_MS

Row = tuple[float, ...]

#: In place of `BAR_COLUMNS` the venue does not say: number of trades, the takers' volume and cost.
UNSAID = (math.nan, math.nan, math.nan)

_VOLUME = BAR_COLUMNS.index("volume")
_MAX_SYMBOLS = 5_000


class BarHalves:
    """The newest two-hour bars of each symbol, of the four-hour bar in progress."""

    def __init__(self) -> None:
        self._halves: dict[str, dict[float, Row]] = {}

    def seed(self, symbol: str, rows: Columns) -> None:
        """Remember the newest halves of `rows` (ascending)."""
        for row in rows[-2:]:
            self.put(symbol, tuple(row.tolist()))

    def put(self, symbol: str, row: Row) -> Row | None:
        """Remember one half; the four-hour bar it belongs to, or None while that bar's first half is unknown."""
        start_ms = row[0] - row[0] % BAR_4H_MS
        known = self._halves.get(symbol)
        if known is None:
            if len(self._halves) >= _MAX_SYMBOLS:
                return None
            known = self._halves[symbol] = {}
        if known and row[0] >= start_ms > max(known):
            known.clear()  # a new four-hour bar
        known[row[0]] = row
        if start_ms not in known:
            return None
        return merged([half for at_ms, half in sorted(known.items()) if start_ms <= at_ms <= row[0]])


def merged(halves: list[Row]) -> Row:
    """One bar of consecutive parts, stamped with the start of its four hours."""
    first, last = halves[0], halves[-1]
    return (
        first[0] - first[0] % BAR_4H_MS,
        first[1],
        max(half[2] for half in halves),
        min(half[3] for half in halves),
        last[4],
        *(sum(column) for column in zip(*(half[_VOLUME:] for half in halves), strict=True)),
    )


def merge_halves(rows: Columns) -> Columns:
    """Four-hour bars of ascending two-hour ones; a leading second half without its first is dropped."""
    groups: dict[float, list[Row]] = {}
    for row in rows.tolist():
        groups.setdefault(row[0] - row[0] % BAR_4H_MS, []).append(tuple(row))
    whole = [merged(halves) for start_ms, halves in groups.items() if halves[0][0] == start_ms]
    return np.array(whole, dtype=np.float64).reshape(len(whole), rows.shape[1])
