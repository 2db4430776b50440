"""Columns of numbers in time order: bars and trades of one instrument.

A series keeps its rows in one float64 array a little longer than its capacity. Rows are appended at the end; when the
end is reached the newest `capacity` rows are moved to the front, once every `capacity / 32` appends: 1 µs for 500 bars,
so an append pays nothing that could be felt, and 200 markets of four intervals and 1,000 trades fit into 42 MB. So the
newest rows are always one contiguous block and a reader gets a view of it, never a copy. A view is valid until the
reader's next `await`. The array grows with what is in it: a quiet market holds no memory for trades it never had.

A row is written as packed bytes, which takes half as long as assigning it, and no number but its key is kept as an object: with
hundreds of markets it is the objects kept from the last message, cold by now, that the next one would pay for.
"""

from functools import cache
from struct import Struct
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

#: The last three are NaN where a venue does not say them.
BAR_COLUMNS = (
    "open_ms", "open", "high", "low", "close", "volume", "cost", "trades", "taker_volume", "taker_cost",
)  # fmt: skip
TRADE_COLUMNS = ("time_ms", "price", "amount", "taker_side", "trade_seq")

_VOLUME = BAR_COLUMNS.index("volume")
_SEQ = TRADE_COLUMNS.index("trade_seq")

_FIRST_ROWS = 16
_MIN_SLACK = 16

Columns = NDArray[np.float64]


class _Packing(Protocol):
    """A `Struct` of float64 over the memory of an array: arrays are buffers, which their types do not say before Python 3.12."""

    size: int

    def pack_into(self, rows: Columns, offset: int, /, *numbers: float) -> None: ...

    def unpack_from(self, rows: Columns, offset: int, /) -> tuple[float, ...]: ...


@cache
def _packing(width: int) -> _Packing:
    return cast("_Packing", Struct(f"{width}d"))


_NUMBER = _packing(1)


class Series:
    """Rows of equal width ordered by their first column; `last_key` is that of the newest row, None when there is none."""

    __slots__ = ("_end", "_row", "_rows", "_start", "capacity", "last_key")

    def __init__(self, capacity: int, width: int) -> None:
        self.capacity = capacity
        self._row = _packing(width)
        self._rows = np.empty((min(capacity, _FIRST_ROWS), width), dtype=np.float64)
        self._start = 0
        self._end = 0
        self.last_key: float | None = None

    def __len__(self) -> int:
        return self._end - self._start

    def view(self, limit: int | None = None) -> Columns:
        """The newest `limit` rows, oldest first, without a copy; shape (rows, columns)."""
        start = self._start if limit is None else max(self._start, self._end - limit)
        view = self._rows[start : self._end]
        view.flags.writeable = False
        return view

    def copy(self, limit: int | None = None) -> Columns:
        """The same rows as `view`, safe to keep and to hand to another thread."""
        return self.view(limit).copy()

    def append(self, row: tuple[float, ...]) -> None:
        if self._end == len(self._rows):
            self._make_room()
        self._write(self._end, row)
        self.last_key = row[0]
        self._end += 1
        if self._end - self._start > self.capacity:
            self._start += 1

    @property
    def newest(self) -> tuple[float, ...] | None:
        """The last row as plain numbers, None when there is none."""
        return self._row.unpack_from(self._rows, (self._end - 1) * self._row.size) if self._end > self._start else None

    def last(self, column: int) -> float:
        """One number of the newest row, which must be there."""
        return _NUMBER.unpack_from(self._rows, (self._end - 1) * self._row.size + column * _NUMBER.size)[0]

    def _write(self, at: int, row: tuple[float, ...]) -> None:
        self._row.pack_into(self._rows, at * self._row.size, *row)

    def _make_room(self) -> None:
        """At the array's end: a longer one, or the newest rows at its front."""
        self._load(self._rows[self._start : self._end], room=len(self))

    def _load(self, kept: Columns, *, room: int = 0) -> None:
        """Hold the newest `capacity` of `kept` and nothing else.

        An array that is too short is replaced once, by one with `room` for more and no longer than there is use for: what
        is replaced again and again leaves holes in the heap.
        """
        kept = kept[-self.capacity :]
        slack = max(_MIN_SLACK, self.capacity // 32)
        if len(kept) + min(room, slack) > len(self._rows):
            rows = min(len(kept) + max(room, slack), self.capacity + slack)
            self._rows = np.empty((rows, self._rows.shape[1]), dtype=np.float64)
        self._start, self._end = 0, len(kept)
        self._rows[: self._end] = kept
        self.last_key = float(kept[-1, 0]) if len(kept) else None


class Bars(Series):
    """Bars of one interval, columns `BAR_COLUMNS`.

    The newest bar is unclosed until a later one appears or the venue says that it is closed.
    """

    __slots__ = ("_closed_ms", "interval_ms")

    def __init__(self, interval_ms: int, capacity: int = 500) -> None:
        super().__init__(capacity, len(BAR_COLUMNS))
        self.interval_ms = interval_ms
        self._closed_ms = -1

    @property
    def closed_through_ms(self) -> int:
        """Open time of the newest bar known to be closed, -1 if none is."""
        before_last = int(self._rows[self._end - 2, 0]) if len(self) > 1 else -1
        return max(self._closed_ms, before_last)

    def is_closed(self, open_ms: float) -> bool:
        """Whether a bar that begins at `open_ms` is known to be closed."""
        return open_ms <= self._closed_ms or (self.last_key is not None and open_ms < self.last_key)

    def upsert(self, row: tuple[float, ...], closed: bool = False) -> None:
        """Write one bar by its open time: the same replaces, a later one appends, an older one mends history.

        `closed`: the venue says that this is the bar's last version. An earlier version that comes after it changes
        nothing.
        """
        newest = self.last_key
        if newest is None or row[0] > newest:
            self.append(row)
        elif row[0] < newest:
            self._mend(row, closed)
        elif closed or row[0] > self._closed_ms:
            self._write(self._end - 1, row)
        if closed and row[0] > self._closed_ms:
            self._closed_ms = int(row[0])

    def merge(self, rows: Columns, closed_through_ms: int = -1) -> None:
        """Add bars from a second source, which knows them closed up to `closed_through_ms`.

        Of two versions of one bar the one with more volume is the later, so the order in which the sources answered
        does not matter.
        """
        both = np.concatenate((self.view(), rows))
        both = both[np.lexsort((np.nan_to_num(both[:, _VOLUME], nan=-1.0), both[:, 0]))]
        self._load(both[np.append(both[1:, 0] != both[:-1, 0], True)] if len(both) else both)
        if len(self):
            self._closed_ms = max(self._closed_ms, min(closed_through_ms, int(self._rows[self._end - 1, 0])))

    def missing(self) -> int:
        """How many bars between the oldest and the newest are not there."""
        if len(self) < 2:
            return 0
        span = self._rows[self._end - 1, 0] - self._rows[self._start, 0]
        return int(span // self.interval_ms) + 1 - len(self)

    def _mend(self, row: tuple[float, ...], closed: bool) -> None:
        keys = self._rows[self._start : self._end, 0]
        at = int(np.searchsorted(keys, row[0]))
        if keys[at] == row[0]:
            if closed or row[0] > self._closed_ms:
                self._write(self._start + at, row)
        elif at > 0 or len(self) < self.capacity:  # what is older than a full window is not kept
            self._load(np.insert(self._rows[self._start : self._end], at, row, axis=0))


class Trades(Series):
    """Public trades, columns `TRADE_COLUMNS`; `taker_side` is 1 for a buyer, -1 for a seller.

    Venues number an instrument's trades without holes, so `missed` and `never_seen` are exact.
    """

    __slots__ = ("_first_seq", "last_seq", "never_seen")

    def __init__(self, capacity: int = 1000) -> None:
        super().__init__(capacity, len(TRADE_COLUMNS))
        self._first_seq = -1
        self.last_seq = -1
        self.never_seen = 0  # between the first ever and the last; of what is older than what is kept, for good

    @property
    def missed(self) -> int:
        """How many between the oldest and the newest that are kept are not there."""
        return self.last_seq - int(self._rows[self._start, _SEQ]) + 1 - len(self) if len(self) else 0

    def add(self, *, time_ms: int, price: float, amount: float, taker_side: int, trade_seq: int) -> bool:
        """Append one trade; a sequence number not above the last is a replay and changes nothing (False)."""
        if trade_seq <= self.last_seq:
            return False
        if self.last_seq >= 0:
            self.never_seen += trade_seq - self.last_seq - 1
        else:
            self._first_seq = trade_seq
        self.last_seq = trade_seq
        self.append((float(time_ms), price, amount, float(taker_side), float(trade_seq)))
        return True

    def merge(self, rows: Columns) -> int:
        """Add trades from a second source, in any order; those already here stay as they are.

        Returns how many were new.
        """
        if len(self) == self.capacity:  # what is older than a full window is not kept
            rows = rows[rows[:, _SEQ] >= self.view()[0, _SEQ]]
        if not len(rows):
            return 0
        both = np.concatenate((self.view(), rows))
        merged = both[np.unique(both[:, _SEQ], return_index=True)[1]]
        new = len(merged) - len(self)
        first, last = int(merged[0, _SEQ]), int(merged[-1, _SEQ])
        known = self.last_seq - self._first_seq + 1 - self.never_seen if self.last_seq >= 0 else 0
        self._first_seq = first if self._first_seq < 0 else min(self._first_seq, first)
        self.last_seq = max(self.last_seq, last)
        self.never_seen = self.last_seq - self._first_seq + 1 - known - new
        self._load(merged)
        return new
