"""Bars over REST: which rows to ask for, and rows of the wire → columns."""

from collections.abc import Iterator

import numpy as np

from engine.model import BAR_COLUMNS, INTERVAL_MS, Columns
from engine.venues.binance_usdm.credits import bars_split
from engine.venues.binance_usdm.wire import BarRow
from engine.venues.decoding import WireError

MAX_BARS = 20_000  # a call; of a longer span it brings the newest


def pages(interval: str, start_ms: int, end_ms: int) -> Iterator[tuple[int, int, int]]:
    """(first open time, last open time, number of bars) of each request that together ask for the bars that begin from
    `start_ms` to `end_ms`."""
    step_ms = INTERVAL_MS[interval]
    last = end_ms // step_ms
    first = max(-(-start_ms // step_ms), last - MAX_BARS + 1)
    for count in bars_split(max(0, last - first + 1)):
        yield first * step_ms, (first + count - 1) * step_ms, count
        first += count


def bar_columns(rows: list[BarRow], interval: str) -> Columns:
    """Rows of `BAR_COLUMNS`. `WireError` unless they ascend by whole intervals."""
    step_ms = INTERVAL_MS[interval]
    before_ms = -1
    for row in rows:
        if row.open_ms <= before_ms or row.open_ms % step_ms:
            raise WireError("open time", f"the start of a bar of {interval} after {before_ms}", str(row.open_ms))
        before_ms = row.open_ms
    table = [
        (
            row.open_ms, row.open, row.high, row.low, row.close,
            row.volume, row.cost, row.trades, row.taker_volume, row.taker_cost,
        )
        for row in rows
    ]  # fmt: skip
    return np.array(table, dtype=np.float64).reshape(len(rows), len(BAR_COLUMNS))
