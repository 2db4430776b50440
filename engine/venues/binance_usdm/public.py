"""Market data over REST."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
import numpy as np
import trio

from engine.model import BAR_COLUMNS, INTERVAL_MS, Columns, Instrument
from engine.net import Priority
from engine.venues.base import BookSnapshot, MarkSnapshot, TickerSnapshot, TradeRow
from engine.venues.binance_usdm.bars import bar_columns, pages
from engine.venues.binance_usdm.credits import DATA, FUNDING, SPOT, WEIGHT, Limits, bars_weight, depth_weight
from engine.venues.binance_usdm.instruments import read_instruments
from engine.venues.binance_usdm.rest import Price, Query, RestClient
from engine.venues.binance_usdm.shared import Shared
from engine.venues.binance_usdm.wire import (
    BarRow,
    DayRow,
    DepthReply,
    ExchangeInfo,
    FundingRow,
    InterestHistoryRow,
    InterestRow,
    MarkRow,
    PriceRow,
    QuoteRow,
    ServerTime,
    SymbolRow,
    TradeEvent,
    decoder,
)
from engine.venues.clock import VenueClock
from engine.venues.decoding import WireError, decode

_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_MAX_TRADES = 1000
_MAX_HISTORY = 500
_GOOD_TRIP_S = 1.0
_TIME = decoder(ServerTime)
_INFO = decoder(ExchangeInfo)
_BOOK = decoder(DepthReply)
_BARS = decoder(list[BarRow])
_TRADES = decoder(list[TradeEvent])
_ROWS = decoder(list[msgspec.Raw])
_MARK = decoder(MarkRow)
_QUOTE = decoder(QuoteRow)
_PRICE = decoder(PriceRow)
_DAY = decoder(DayRow)
_FUNDING = decoder(list[FundingRow])
_INTEREST = decoder(InterestRow)
_INTERESTS = decoder(list[InterestHistoryRow])

Row = TypeVar("Row", bound=SymbolRow)


class BinanceUsdmRest:
    """See `engine.venues.base.PublicRest`; below that, what only this venue has."""

    def __init__(self, name: str, futures: RestClient, spot: RestClient, limits: Limits, clock: VenueClock) -> None:
        self.name = name
        self._futures = futures
        self._spot = spot
        self._limits = limits
        self._clock = clock
        self._marks = Shared(self._mark_row, self.marks, enough=10)
        self._quotes = Shared(self._quote_row, self._quote_rows, enough=3)
        self._prices = Shared(self._price_row, self._price_rows, enough=2)

    async def server_time_ms(self) -> int:
        """The windows of the venue's limits follow this reading, unless it was so long on the way that it says little: then only
        if our clock cannot be right by it."""
        asked_s = trio.current_time()
        venue_ms = (await self._ask("/fapi/v1/time", {}, _TIME, 1, Priority.QUERY)).serverTime
        trip_s = trio.current_time() - asked_s
        if trip_s <= _GOOD_TRIP_S or not 0 <= self._clock.now_ms() - venue_ms <= trip_s * 1000:
            self._clock.observe(venue_ms + trip_s * 500)
        return venue_ms

    async def instruments(self) -> tuple[Instrument, ...]:
        """What is listed now. The reply also says how much may be asked a minute, and that holds from here on."""
        info = await self._ask("/fapi/v1/exchangeInfo", {}, _INFO, 1, Priority.QUERY)
        self._limits.heard(info.rateLimits)
        return read_instruments(info.symbols, self.name)

    async def book(self, symbol: str, depth: int) -> BookSnapshot:
        """At least `depth` levels a side, if there are as many; the venue knows 5 to 1000."""
        limit = next((step for step in _DEPTHS if step >= depth), _DEPTHS[-1])
        query: Query = {"symbol": symbol, "limit": limit}
        data = await self._ask("/fapi/v1/depth", query, _BOOK, depth_weight(limit))
        return BookSnapshot(tuple(data.bids), tuple(data.asks), data.lastUpdateId, data.E)

    async def ticker(self, symbol: str) -> TickerSnapshot:
        """Without the open interest, which is a question of its own here."""
        quote = await self._quotes.get(symbol)
        last = await self._prices.get(symbol)
        mark = mark_of(await self._marks.get(symbol))
        return TickerSnapshot(
            bid=quote.bidPrice or None,
            ask=quote.askPrice or None,
            last=last.price or None,
            mark=mark.mark,
            index=mark.index,
            funding=mark.funding,
            open_interest=None,
            venue_ms=quote.time,
        )

    async def mark(self, symbol: str) -> MarkSnapshot:
        return mark_of(await self._marks.get(symbol))

    async def trades(
        self, symbol: str, limit: int, *, after_seq: int | None = None, history: bool = False
    ) -> tuple[TradeRow, ...]:
        """Aggregate trades, at most 1000 of the last 48 hours: as the stream brings and numbers them."""
        query: dict[str, str | int] = {"symbol": symbol, "limit": max(1, min(limit, _MAX_TRADES))}
        if after_seq is not None:
            query["fromId"] = after_seq + 1
        rows = await self._ask("/fapi/v1/aggTrades", query, _TRADES, 20, _urgency(history))
        rows.sort(key=lambda row: row.a)
        return tuple(TradeRow(row.T, row.p, row.q, -1 if row.m else 1, row.a) for row in rows)

    async def bars(self, symbol: str, interval: str, start_ms: int, end_ms: int, *, history: bool = False) -> Columns:
        """In the requests that cost least. The newest bar is unclosed while its interval lasts."""
        parts = [np.empty((0, len(BAR_COLUMNS)))]
        for first_ms, last_ms, count in pages(interval, start_ms, end_ms):
            query: Query = {
                "symbol": symbol,
                "interval": interval,
                "startTime": first_ms,
                "endTime": last_ms + INTERVAL_MS[interval] - 1,
                "limit": count,
            }
            rows = await self._ask("/fapi/v1/klines", query, _BARS, bars_weight(count), _urgency(history))
            if rows and not first_ms <= rows[0].open_ms <= rows[-1].open_ms <= last_ms:
                got = f"{rows[0].open_ms} to {rows[-1].open_ms}"
                raise WireError("open time", f"bars from {first_ms} to {last_ms}", got)
            parts.append(bar_columns(rows, interval))
        return np.concatenate(parts)

    async def close(self) -> None:
        await self._futures.close()
        await self._spot.close()

    # ── what only this venue has ───────────────────────────────────────────────────────────────────────────────────────

    async def marks(self) -> dict[str, MarkRow]:
        """Mark price and funding of every symbol."""
        return by_symbol(await self._ask("/fapi/v1/premiumIndex", {}, _ROWS, 10), _MARK)

    async def day_tickers(self) -> dict[str, DayRow]:
        """Price and volume of the last 24 hours of every symbol."""
        return by_symbol(await self._ask("/fapi/v1/ticker/24hr", {}, _ROWS, 40, Priority.QUERY), _DAY)

    async def funding_history(self, symbol: str, limit: int) -> list[FundingRow]:
        """The newest funding payments, ascending."""
        query: Query = {"symbol": symbol, "limit": max(1, min(limit, _MAX_HISTORY))}
        return await self._futures.get("/fapi/v1/fundingRate", query, _FUNDING, Price(FUNDING, 1, Priority.HISTORY))

    async def open_interest(self, symbol: str) -> InterestRow:
        return await self._ask("/fapi/v1/openInterest", {"symbol": symbol}, _INTEREST, 1)

    async def open_interest_history(self, symbol: str, period: str, limit: int) -> list[InterestHistoryRow]:
        """The newest rows, ascending; at most 500 of the last month."""
        query: Query = {"symbol": symbol, "period": period, "limit": max(1, min(limit, _MAX_HISTORY))}
        price = Price(DATA, 1, Priority.HISTORY)
        rows = await self._futures.get("/futures/data/openInterestHist", query, _INTERESTS, price)
        return sorted(rows, key=lambda row: row.timestamp)

    async def spot_prices(self) -> tuple[int, dict[str, float]]:
        """The venue's time when we asked, and the last price of every spot market."""
        asked_ms = self._clock.now_ms()
        rows = by_symbol(await self._spot.get("/api/v3/ticker/price", {}, _ROWS, Price(SPOT, 4)), _PRICE)
        prices = {name: row.price for name, row in rows.items() if row.price > 0.0}
        if not prices:
            raise WireError("price", "one above zero", f"none in {len(rows)} rows")
        return asked_ms, prices

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _mark_row(self, symbol: str) -> MarkRow:
        return await self._ask("/fapi/v1/premiumIndex", {"symbol": symbol}, _MARK, 1)

    async def _quote_row(self, symbol: str) -> QuoteRow:
        return await self._ask("/fapi/v1/ticker/bookTicker", {"symbol": symbol}, _QUOTE, 2)

    async def _quote_rows(self) -> Mapping[str, QuoteRow]:
        return by_symbol(await self._ask("/fapi/v1/ticker/bookTicker", {}, _ROWS, 5), _QUOTE)

    async def _price_row(self, symbol: str) -> PriceRow:
        return await self._ask("/fapi/v2/ticker/price", {"symbol": symbol}, _PRICE, 1)

    async def _price_rows(self) -> Mapping[str, PriceRow]:
        return by_symbol(await self._ask("/fapi/v2/ticker/price", {}, _ROWS, 2), _PRICE)

    async def _ask(
        self,
        path: str,
        query: Query,
        reply: msgspec.json.Decoder["_Reply"],
        weight: float,
        priority: Priority = Priority.POLL,
    ) -> "_Reply":
        return await self._futures.get(path, query, reply, Price(WEIGHT, weight, priority))


_Reply = TypeVar("_Reply")


def by_symbol(rows: list[msgspec.Raw], reading: msgspec.json.Decoder[Row]) -> dict[str, Row]:
    """The rows of this product. One that does not decode is left out: it must not hide the others. `WireError` if there is
    none: a list of all symbols that is empty is a failed question, not an answer."""
    found: dict[str, Row] = {}
    broken: WireError | None = None
    for raw in rows:
        try:
            row = decode(reading, raw)
        except WireError as error:
            broken = error
            continue
        if row.st == 1:
            found[row.symbol] = row
    if not found:
        raise broken or WireError("$", "a row of this product", f"none in {len(rows)} rows")
    return found


def mark_of(row: MarkRow) -> MarkSnapshot:
    return MarkSnapshot(
        mark=row.markPrice or None,
        index=row.indexPrice or None,
        funding=None if row.lastFundingRate == "" else row.lastFundingRate,
        next_funding_ms=row.nextFundingTime or None,
        venue_ms=row.time,
    )


def _urgency(history: bool) -> Priority:
    return Priority.HISTORY if history else Priority.POLL
