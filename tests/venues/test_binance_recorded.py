"""What the venue really answered loads, and its unclosed last bar is replaced, never doubled."""

from typing import Any

import msgspec
import numpy as np

from engine.model import BAR_COLUMNS, INTERVAL_MS, Bars, MarketState, Samples
from engine.net import HttpReply, HttpRequest
from engine.venues.base import Applied
from engine.venues.binance_usdm import BinanceUsdmSettings
from engine.venues.binance_usdm.feed import BinanceUsdmFeed
from engine.venues.binance_usdm.sources import SOURCES
from tests.support.binance import recorded, reply, state, venue_over

CLOSE_MS = 6


class Recorded:
    """A venue that answers `klines` from one recorded file, by the rules of the endpoint."""

    def __init__(self, rows: list[list[Any]]) -> None:
        self.rows = rows
        self.asked: list[int] = []

    async def answer(self, request: HttpRequest) -> HttpReply:
        query = dict(pair.split("=") for pair in request.path.partition("?")[2].split("&"))
        start_ms, end_ms, limit = (int(query[name]) for name in ("startTime", "endTime", "limit"))
        self.asked.append(limit)
        return reply([row for row in self.rows if start_ms <= row[0] <= end_ms][:limit])


def _frame(symbol: str, interval: str, row: list[Any], *, volume: str, closed: bool) -> bytes:
    """The next message of the stream about the bar of a REST row."""
    bar = {"t": row[0], "T": row[CLOSE_MS], "s": symbol, "i": interval, "f": 1, "L": 2, "x": closed, "B": "0"}
    bar |= dict(zip("ohlc", row[1:5], strict=True)) | {"v": volume, "q": row[7], "n": row[8], "V": row[9], "Q": row[10]}
    at = row[CLOSE_MS] + 1 if closed else row[CLOSE_MS] - 1
    data = {"e": "kline", "E": at, "s": symbol, "k": bar}
    return msgspec.json.encode({"stream": f"{symbol.lower()}@kline_{interval}", "data": data})


async def _load(line: dict[str, Any]) -> MarketState:
    """A market whose bars are the file's, brought by the client as history is."""
    rows, interval = line["rows"], line["interval"]
    market = state(interval, kept=1000)
    venue = Recorded(rows)
    rest = venue_over(venue.answer).public()
    columns = await rest.bars(line["symbol"], interval, rows[0][0], rows[-1][0])
    await rest.close()
    assert sum(venue.asked) == (rows[-1][0] - rows[0][0]) // INTERVAL_MS[interval] + 1
    market.bars[interval].merge(columns)
    return market


async def test_every_recorded_file_loads_and_its_unclosed_last_bar_is_replaced() -> None:
    files = 0
    for line in recorded("klines.jsonl.gz"):
        market = await _load(line)
        _is_what_was_recorded(market.bars[line["interval"]], line["rows"])
        _last_bar_is_replaced(market, line)
        files += 1
    assert files == 48 * 3


def _is_what_was_recorded(bars: Bars, rows: list[list[Any]]) -> None:
    wanted = [[float(row[at]) for at in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)] for row in rows]
    assert len(BAR_COLUMNS) == len(wanted[0])
    assert np.array_equal(bars.view(), np.array(wanted))
    assert not bars.is_closed(rows[-1][0])


def _last_bar_is_replaced(market: MarketState, line: dict[str, Any]) -> None:
    symbol, interval, rows = line["symbol"], line["interval"], line["rows"]
    bars, count, last = market.bars[interval], len(rows), rows[-1]
    feed = BinanceUsdmFeed(symbol, BinanceUsdmSettings())
    more = float(last[5]) * 2 + 1
    frames = [
        _frame(symbol, interval, last, volume=str(more), closed=False),
        _frame(symbol, interval, last, volume=str(more + 1), closed=True),
    ]
    for frame in (*frames, *frames):  # twice: as two connections would bring them
        feed.apply(frame, market, 1.0)
        assert (len(bars), bars.last_key) == (count, last[0])
    assert bars.view()[-1, 5] == more + 1
    assert bars.is_closed(last[0])
    following = [last[0] + INTERVAL_MS[interval], *last[1:6], last[CLOSE_MS] + INTERVAL_MS[interval], *last[7:]]
    assert feed.apply(_frame(symbol, interval, following, volume="1", closed=False), market, 1.0) == Applied.BARS
    assert (len(bars), bars.missing()) == (min(count + 1, bars.capacity), 0)


async def test_every_recorded_open_interest_loads() -> None:
    files = 0
    for line in recorded("open_interest_hist.jsonl.gz"):

        async def answer(_request: HttpRequest, rows: list[Any] = line["rows"]) -> HttpReply:
            return reply(rows)

        rest = venue_over(answer).public()
        source = SOURCES["open_interest"]
        columns = (await source.fetch(rest, [line["symbol"]], 300))[line["symbol"]]
        await rest.close()
        samples = Samples(source.columns, capacity=500, bound_s=1.0)
        samples.take(columns, 1.0)
        samples.take(columns, 2.0)
        assert len(samples) == len(line["rows"])
        assert samples.view()[-1, 1] == float(line["rows"][-1]["sumOpenInterest"])
        files += 1
    assert files == 48
