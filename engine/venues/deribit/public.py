"""Market data over REST: instruments, book, ticker, trades, bars."""

import msgspec
import numpy as np

from engine.model import BAR_COLUMNS, Columns, Instrument, ProofRules
from engine.venues.base import BookSnapshot, MarkSnapshot, TickerSnapshot, TradeRow
from engine.venues.decoding import WireError
from engine.venues.deribit.bars import UNSAID, BarHalves, merge_halves
from engine.venues.deribit.instruments import read_instruments
from engine.venues.deribit.names import RESOLUTIONS
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.wire import ChartResult, OrderBookResult, TickerData, TradeData, TradesResult

_DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10_000)
_MAX_TRADES = 1000
_MAX_BARS = 5000  # what one call is known to return
_TIME = msgspec.json.Decoder(int)
_LISTING = msgspec.json.Decoder(list[msgspec.Raw])
_BOOK = msgspec.json.Decoder(OrderBookResult)
_TICKER = msgspec.json.Decoder(TickerData)
_TRADES = msgspec.json.Decoder(TradesResult)
_CHART = msgspec.json.Decoder(ChartResult)


class PublicRest:
    """The half of `VenueRest` that needs no account."""

    def __init__(self, name: str, rpc: RpcClient, resolve: ProofRules, halves: BarHalves) -> None:
        self.name = name
        self.resolve = resolve
        self._rpc = rpc
        self._halves = halves

    async def server_time_ms(self) -> int:
        return (await self._rpc.call("public/get_time", {}, _TIME)).result

    async def instruments(self) -> tuple[Instrument, ...]:
        rows = await self._rpc.call("public/get_instruments", {"currency": "any", "expired": False}, _LISTING)
        return read_instruments(rows.result, self.name)

    async def book(self, symbol: str, depth: int) -> BookSnapshot:
        """At least `depth` levels a side, if there are as many; the venue knows 1 to 10000."""
        allowed = next((step for step in _DEPTHS if step >= depth), _DEPTHS[-1])
        answer = await self._rpc.call("public/get_order_book", {"instrument_name": symbol, "depth": allowed}, _BOOK)
        data = answer.result
        return BookSnapshot(tuple(data.bids), tuple(data.asks), data.change_id, data.timestamp)

    async def ticker(self, symbol: str) -> TickerSnapshot:
        data = (await self._rpc.call("public/ticker", {"instrument_name": symbol}, _TICKER)).result
        return TickerSnapshot(
            bid=data.best_bid_price or None,
            ask=data.best_ask_price or None,
            last=data.last_price or None,
            mark=data.mark_price,
            index=data.index_price,
            funding=data.current_funding,
            open_interest=data.open_interest,
            venue_ms=data.timestamp,
        )

    async def mark(self, symbol: str) -> MarkSnapshot:
        ticker = await self.ticker(symbol)
        return MarkSnapshot(ticker.mark, ticker.index, ticker.funding, None, ticker.venue_ms)

    async def trades(
        self, symbol: str, limit: int, *, after_seq: int | None = None, history: bool = False
    ) -> tuple[TradeRow, ...]:
        """At most 1000. One budget line serves all requests here, so `history` makes no difference."""
        params: dict[str, str | int] = {"instrument_name": symbol, "count": max(1, min(limit, _MAX_TRADES))}
        params |= {"sorting": "desc"} if after_seq is None else {"sorting": "asc", "start_seq": after_seq + 1}
        page = (await self._rpc.call("public/get_last_trades_by_instrument", params, _TRADES)).result
        return tuple(trade_row(trade) for trade in sorted(page.trades, key=lambda trade: trade.trade_seq))

    async def bars(self, symbol: str, interval: str, start_ms: int, end_ms: int, *, history: bool = False) -> Columns:
        """Rows of `BAR_COLUMNS`, ascending; at most 5000 of the venue's own bars a call."""
        resolution, parts = RESOLUTIONS[interval]
        params = {
            "instrument_name": symbol,
            "start_timestamp": start_ms,
            "end_timestamp": end_ms,
            "resolution": resolution,
        }
        rows = _rows((await self._rpc.call("public/get_tradingview_chart_data", params, _CHART)).result)
        if parts == 1:
            return rows
        self._halves.seed(symbol, rows)
        return merge_halves(rows)

    async def close(self) -> None:
        await self._rpc.close()


def trade_row(data: TradeData) -> TradeRow:
    return TradeRow(data.timestamp, data.price, data.amount, 1 if data.direction == "buy" else -1, data.trade_seq)


def _rows(chart: ChartResult) -> Columns:
    columns = (chart.ticks, chart.open, chart.high, chart.low, chart.close, chart.volume, chart.cost)
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or max(lengths) > _MAX_BARS * 2:
        raise WireError("$", f"columns of one length up to {_MAX_BARS * 2}", f"lengths {sorted(lengths)}")
    if any(later <= earlier for earlier, later in zip(chart.ticks, chart.ticks[1:], strict=False)):
        raise WireError("ticks", "ascending bar starts", "a bar that is not later than the one before")
    rows = np.empty((len(chart.ticks), len(BAR_COLUMNS)), dtype=np.float64)
    rows[:, : len(columns)] = np.array(columns, dtype=np.float64).T
    rows[:, len(columns) :] = UNSAID
    return rows
