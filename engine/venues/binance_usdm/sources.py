"""What is asked for from time to time and never streamed. A further source is a class of a few lines and its row here.

What is asked for is good for two intervals and the time a pass takes: a bound of one interval would be broken by every
poll that is not perfectly in time.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from engine.model import Columns, DataRow
from engine.venues.base import PolledSource
from engine.venues.binance_usdm.names import spot_names
from engine.venues.binance_usdm.public import BinanceUsdmRest


class OpenInterest:
    """Open interest at each full hour, in contracts and in quote currency."""

    name = "open_interest"
    columns: tuple[str, ...] = ("time_ms", "sum_open_interest", "sum_open_interest_value")
    row = DataRow(via="poll", poll_s=300.0, age_s=660.0, keep=300)
    at_once = False

    async def fetch(self, rest: BinanceUsdmRest, symbols: Sequence[str], limit: int) -> Mapping[str, Columns]:
        found: dict[str, Columns] = {}
        for symbol in symbols:
            rows = await rest.open_interest_history(symbol, "1h", limit)
            if rows:
                table = ((row.timestamp, row.sumOpenInterest, row.sumOpenInterestValue) for row in rows)
                found[symbol] = _columns(table, self.columns)
        return found


class Funding:
    """The rate of the running interval as it stands, when it is due, and the mark price beside it; a zero among the last two
    is none. Absent where no rate is said: of a future with a delivery date."""

    name = "funding"
    columns: tuple[str, ...] = ("time_ms", "rate", "next_funding_ms", "mark")
    row = DataRow(via="poll", poll_s=3600.0, age_s=7260.0, keep=100)
    at_once = True

    async def fetch(self, rest: BinanceUsdmRest, symbols: Sequence[str], limit: int) -> Mapping[str, Columns]:
        marks = await rest.marks()
        found: dict[str, Columns] = {}
        for symbol in symbols:
            mark = marks.get(symbol)
            if mark is not None and mark.lastFundingRate != "":
                due_ms, price = mark.nextFundingTime or math.nan, mark.markPrice or math.nan
                found[symbol] = _columns(((mark.time, mark.lastFundingRate, due_ms, price),), self.columns)
        return found


class Spot:
    """The spot price of what one contract is on; absent where there is no such market. Its time is when we asked."""

    name = "spot"
    columns: tuple[str, ...] = ("time_ms", "price")
    row = DataRow(via="poll", poll_s=60.0, age_s=130.0, keep=100)
    at_once = True

    async def fetch(self, rest: BinanceUsdmRest, symbols: Sequence[str], limit: int) -> Mapping[str, Columns]:
        asked_ms, prices = await rest.spot_prices()
        found: dict[str, Columns] = {}
        for symbol in symbols:
            price = next((prices[name] * coins for name, coins in spot_names(symbol) if name in prices), None)
            if price is not None:
                found[symbol] = _columns(((asked_ms, price),), self.columns)
        return found


def _columns(rows: Iterable[tuple[float, ...]], names: tuple[str, ...]) -> Columns:
    return np.array(list(rows), dtype=np.float64).reshape(-1, len(names))


SOURCES: Mapping[str, PolledSource[BinanceUsdmRest]] = {
    source.name: source for source in (OpenInterest(), Funding(), Spot())
}
