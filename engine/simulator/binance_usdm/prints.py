"""The public trades of one symbol: single ones, and aggregates of what was taken at one price at one time.

Both carry numbers without holes. Aggregates are kept packed, since there are many of them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from struct import Struct

import msgspec

__all__ = ["AggTrade", "Print", "Prints"]

KEEP = 5_000
KEEP_SINGLE = 1_000


class Print(msgspec.Struct, frozen=True, gc=False):
    """One trade. Price and amount in units."""

    trade_id: int
    price: int
    amount: int
    at_ms: int
    buyer_takes: bool


class AggTrade(msgspec.Struct, gc=False):
    """`first_id` and `last_id` are those of the trades in it."""

    agg_id: int
    price: int
    amount: int
    first_id: int
    last_id: int
    at_ms: int
    buyer_takes: bool

    def takes(self, trade: Print) -> bool:
        """Whether a trade that follows was made in the same go."""
        return trade.price == self.price and trade.buyer_takes is self.buyer_takes and trade.at_ms == self.at_ms


_PACKED = Struct("<qqqqqq?")


class Prints:
    """`next_agg_id` is the number of the first aggregate."""

    def __init__(self, next_agg_id: int) -> None:
        self._next_id = next_agg_id
        self._kept: deque[bytes] = deque(maxlen=KEEP)
        self._single: deque[Print] = deque(maxlen=KEEP_SINGLE)

    def add(self, trades: Iterable[Print]) -> list[AggTrade]:
        """Count the trades of one go, oldest first; return the aggregates they make."""
        made: list[AggTrade] = []
        for trade in trades:
            self._single.append(trade)
            if made and made[-1].takes(trade):
                made[-1].amount += trade.amount
                made[-1].last_id = trade.trade_id
                continue
            first = trade.trade_id
            made.append(
                AggTrade(self._next_id, trade.price, trade.amount, first, first, trade.at_ms, trade.buyer_takes)
            )
            self._next_id += 1
        self._kept.extend(_PACKED.pack(*msgspec.structs.astuple(row)) for row in made)
        return made

    def singles(self, limit: int) -> list[Print]:
        """The last trades, oldest first."""
        return list(self._single)[-limit:]

    def last(self, limit: int) -> list[AggTrade]:
        """The last aggregates, oldest first."""
        return list(self._unpacked(max(0, len(self._kept) - limit), limit))

    def from_id(self, agg_id: int, limit: int) -> list[AggTrade]:
        """Aggregates from a number on; older ones than are kept are left out."""
        first_id = self._next_id - len(self._kept)
        return list(self._unpacked(max(0, agg_id - first_id), limit))

    def between(self, start_ms: int, end_ms: int, limit: int) -> list[AggTrade]:
        """The first aggregates within [start_ms, end_ms]."""
        rows = (row for row in self._unpacked(0, len(self._kept)) if start_ms <= row.at_ms <= end_ms)
        return list(islice(rows, limit))

    def _unpacked(self, place: int, count: int) -> Iterator[AggTrade]:
        return (AggTrade(*_PACKED.unpack(packed)) for packed in islice(self._kept, place, place + count))
