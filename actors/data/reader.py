"""Reads without waiting: for code on the loop, such as a strategy's handlers.

Every read takes what is in memory and asks nobody. The value says its source, its age and whether it is stale or served by
REST in place of its stream (`.info`); what is not there is `DataUnavailable`, what cannot exist is `BadArgument`.

The `view_…` methods return `(columns, info)` without copying: the columns are the feed's own memory, read-only, and valid
until the caller's next `await`, when the feed may write again. Loop thread only.
"""

from typing import Any, TypeAlias

from actors.data.shapes import (
    KlineRow,
    columns_of,
    forced_rows,
    kline_rows,
    numbered_trade_rows,
    oi_rows,
    trade_rows,
)
from actors.data.shelf import Found, Shelf, checked_limit, one_of
from actors.data.values import Number, Record, Rows, ValueInfo
from engine.model import Bars, Columns, DataClass, Freshness, MarketState, Samples

OPEN_INTEREST, FUNDING, SPOT = "open_interest", "funding", "spot"  # names of polled sources

BOOK_DEPTHS = (5, 10, 20)
OI_INTERVALS = ("1h",)

View: TypeAlias = tuple[Columns, ValueInfo]


class DataReader:
    """Reads from a `Shelf`. A symbol is bare or `venue:symbol`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def markets(self, venue: str = "") -> dict[str, MarketState]:
        """What is followed at a venue, the default one unless named, by the shortest name each market has here."""
        name = venue or self._shelf.default_venue
        one_of("venue", name, tuple(self._shelf.venues))
        return {shown: market for shown, _, market in self._shelf.markets(name)}

    # ── bars ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def klines(self, symbol: str, interval: str, limit: int = 300, *, closed_only: bool = False) -> Rows[KlineRow]:
        """The newest bars as rows of twelve fields, oldest first; the last one is unclosed unless `closed_only`."""
        rows, info, bars = self._bars(symbol, interval, limit, closed_only)
        return Rows(kline_rows(rows, bars.interval_ms), info)

    def view_klines(self, symbol: str, interval: str, limit: int = 300, *, closed_only: bool = False) -> View:
        """The same as columns `BAR_COLUMNS`."""
        rows, info, _ = self._bars(symbol, interval, limit, closed_only)
        return rows, info

    def _bars(self, symbol: str, interval: str, limit: int, closed_only: bool) -> tuple[Columns, ValueInfo, Bars]:
        checked_limit(limit)
        what = f"bars {interval}"
        found = self._shelf.find(symbol, what)
        fresh = self._shelf.fresh(found, DataClass.BARS, what)
        one_of("interval", interval, tuple(found.market.bars))
        bars = found.market.bars[interval]
        rows = bars.view(limit + 1)
        if closed_only and len(rows) and rows[-1, 0] > bars.closed_through_ms:
            rows = rows[:-1]
        rows = rows[-limit:]
        if not len(rows):
            raise self._shelf.missing(symbol, what, self._shelf.nothing_yet(found, fresh))
        complete = interval in found.market.loaded
        return rows, self._shelf.served(found, fresh, DataClass.BARS, complete=complete), bars

    # ── book ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def orderbook(self, symbol: str, limit: int = 20) -> Record[Any]:
        """`{bids: [[price, qty]…], asks: …, timestamp}`, best first; `limit` is 5, 10 or 20 levels, `timestamp` the venue's in ms."""
        one_of("limit", limit, BOOK_DEPTHS)
        found = self._shelf.find(symbol, "book")
        fresh = self._shelf.fresh(found, DataClass.BOOK, "book")
        book = found.market.book
        if not book.ready:
            lost = "a message of it was lost; a new snapshot is on its way"
            why = lost if book.gaps else self._shelf.nothing_yet(found, fresh)
            raise self._shelf.missing(symbol, "book", why)
        if book.best_bid() is None and book.best_ask() is None:
            raise self._shelf.missing(symbol, "book", "the venue shows no levels on either side")
        sides = {
            "bids": [[price, amount] for price, amount in book.bids(limit)],
            "asks": [[price, amount] for price, amount in book.asks(limit)],
            "timestamp": book.venue_ms,
        }
        return Record(sides, self._shelf.served(found, fresh, DataClass.BOOK))

    # ── trades and liquidations ────────────────────────────────────────────────────────────────────────────────────────

    def trades(self, symbol: str, limit: int = 500) -> Rows[dict[str, Any]]:
        """The newest public trades as `{id, price, qty, time, isBuyerMaker}`, oldest first."""
        view, info = self._trades(symbol, limit, "trades")
        return Rows(numbered_trade_rows(view), info)

    def liquidation_trades(self, symbol: str, limit: int = 500) -> Rows[dict[str, Any]]:
        """The newest public trades as `{price, qty, time, isBuyerMaker}`, oldest first.

        The name is historical: these are ordinary aggregated trades, by which a caller may judge how dense liquidations are. The
        liquidations themselves are `force_orders`.
        """
        view, info = self._trades(symbol, limit, "liquidation trades")
        return Rows(trade_rows(view), info)

    def view_trades(self, symbol: str, limit: int = 500) -> View:
        """Trades as columns `TRADE_COLUMNS`."""
        return self._trades(symbol, limit, "trades")

    def _trades(self, symbol: str, limit: int, what: str) -> View:
        checked_limit(limit)
        found = self._shelf.find(symbol, what)
        fresh = self._shelf.fresh(found, DataClass.TRADES, what)
        view = found.market.trades.view(limit)
        if not len(view):
            raise self._shelf.missing(symbol, what, self._shelf.nothing_yet(found, fresh))
        return view, self._shelf.served(found, fresh, DataClass.TRADES, complete="trades" in found.market.loaded)

    def force_orders(self, symbol: str, limit: int = 100) -> Rows[dict[str, Any]]:
        """The newest liquidations as `{side, price, averagePrice, qty, filledQty, time}`, oldest first, since the feed began."""
        view, info = self.view_force_orders(symbol, limit)
        return Rows(forced_rows(view), info)

    def view_force_orders(self, symbol: str, limit: int = 100) -> View:
        """Liquidations as columns `FORCED_COLUMNS`."""
        checked_limit(limit)
        found = self._shelf.find(symbol, "liquidations")
        fresh = self._shelf.fresh(found, DataClass.FORCED, "liquidations")
        view = found.market.forced.view(limit)
        if not len(view):
            raise self._shelf.missing(symbol, "liquidations", "none was announced since the feed began")
        return view, self._shelf.served(found, fresh, DataClass.FORCED)

    # ── prices ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def mark_price(self, symbol: str) -> Record[Any]:
        """`{markPrice, indexPrice, timestamp}`; the index is None where the venue does not say it."""
        found = self._shelf.find(symbol, "mark price")
        fresh, data_class = self._mark(found, "mark price")
        ticker = found.market.ticker
        if ticker.mark is None:
            raise self._shelf.missing(symbol, "mark price", self._shelf.nothing_yet(found, fresh))
        figures = {
            "markPrice": ticker.mark,
            "indexPrice": ticker.index,
            "timestamp": ticker.mark_ms or ticker.venue_ms,
        }
        return Record(figures, self._shelf.served(found, fresh, data_class))

    def funding_rate(self, symbol: str) -> Record[Any]:
        """`{rate, nextTime, markPrice, timestamp}` by whatever said it last: the mark price's stream, or the poll for it.

        `nextTime` (ms) is None at a venue that pays funding all the time.
        """
        found = self._shelf.find(symbol, "funding rate")
        market = found.market
        samples = market.samples.get(FUNDING)
        live = market.mark_fresh if market.ticker.funding is not None else None
        if live is not None and (samples is None or not len(samples) or live.updated_s >= samples.fresh.updated_s):
            ticker = market.ticker
            figures: dict[str, Any] = {
                "rate": ticker.funding,
                "nextTime": ticker.next_funding_ms,
                "markPrice": ticker.mark,
                "timestamp": ticker.mark_ms or ticker.venue_ms,
            }
            return Record(figures, self._shelf.served(found, live, self._mark_class(found)))
        samples = self._shelf.samples(found, FUNDING, "funding rate")
        row = samples.view(1)[0].tolist()
        at, rate, next_ms, mark = columns_of(samples, ("time_ms", "rate", "next_funding_ms", "mark"))(row)
        figures = {
            "rate": rate,
            "nextTime": int(next_ms) if next_ms == next_ms else None,
            "markPrice": mark if mark == mark else None,
            "timestamp": int(at),
        }
        return Record(figures, self._shelf.served(found, samples.fresh))

    def spot_price(self, symbol: str) -> Number:
        """The price of the same coin at the spot market."""
        found = self._shelf.find(symbol, "spot price")
        samples = self._shelf.samples(found, SPOT, "spot price")
        row = samples.view(1)[0].tolist()
        return Number(columns_of(samples, ("price",))(row)[0], self._shelf.served(found, samples.fresh))

    def _mark(self, found: Found, what: str) -> tuple[Freshness, DataClass]:
        data_class = self._mark_class(found)
        return self._shelf.fresh(found, data_class, what), data_class

    @staticmethod
    def _mark_class(found: Found) -> DataClass:
        """The class mark and funding come with: one of their own, or the ticker."""
        fresh = found.market.fresh
        return DataClass.TICKER if DataClass.MARK not in fresh and DataClass.TICKER in fresh else DataClass.MARK

    # ── polled sources ─────────────────────────────────────────────────────────────────────────────────────────────────

    def oi_history(self, symbol: str, interval: str = "1h", limit: int = 100) -> Rows[dict[str, Any]]:
        """Open interest as `{timestamp, sumOpenInterest, sumOpenInterestValue}`, oldest first; kept by the hour only."""
        samples, info = self._oi(symbol, interval, limit)
        return Rows(oi_rows(samples, limit), info)

    def view_oi(self, symbol: str, interval: str = "1h", limit: int = 100) -> View:
        """Open interest as columns; `view_samples` says which."""
        samples, info = self._oi(symbol, interval, limit)
        return samples.view(limit), info

    def _oi(self, symbol: str, interval: str, limit: int) -> tuple[Samples, ValueInfo]:
        checked_limit(limit)
        one_of("interval", interval, OI_INTERVALS)
        found = self._shelf.find(symbol, "open interest")
        samples = self._shelf.samples(found, OPEN_INTEREST, "open interest")
        return samples, self._shelf.served(found, samples.fresh)

    def view_samples(self, symbol: str, source: str, limit: int = 100) -> tuple[Columns, tuple[str, ...], ValueInfo]:
        """The rows of any polled source by its name in the routing table, and what its columns are called."""
        checked_limit(limit)
        found = self._shelf.find(symbol, source)
        samples = self._shelf.samples(found, source, source)
        return samples.view(limit), samples.columns, self._shelf.served(found, samples.fresh)
