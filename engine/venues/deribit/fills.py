"""Our own trades after a point in time, from both of the venue's stores.

The recent store is current at once and forgets after 24 hours; the archive is complete but late. Both are read and merged by trade id, so a
client that was away for a week misses nothing and one that was away for a second misses nothing either.
"""

from collections.abc import Sequence

import msgspec

from engine.venues.base import BadReply, Refused
from engine.venues.deribit.errors import ORDER_NOT_FOUND
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.wire import UserTradeData, UserTradesResult

_PAGE = 1000
_FAR_FUTURE_MS = 4_000_000_000_000
_MAX_CROWDED = 20  # milliseconds in a row with more trades than a page holds
_TRADES = msgspec.json.Decoder(UserTradesResult)
_ORDER_TRADES = msgspec.json.Decoder(list[UserTradeData])


async def fills_since(rpc: RpcClient, currencies: Sequence[str], since_ms: int) -> tuple[list[UserTradeData], bool]:
    """Trades from `since_ms` on, oldest first, and whether they are all.

    A page that was cut ends where it was cut for every source: what lies behind is asked for again, so nothing is skipped.
    """
    found: dict[tuple[str, str], UserTradeData] = {}
    cut_ms = _FAR_FUTURE_MS
    for currency in currencies:
        for historical in (False, True):
            trades, complete = await _since(rpc, currency, since_ms, historical=historical)
            if not complete:
                cut_ms = min(cut_ms, trades[-1].timestamp)
            found.update(((trade.instrument_name, trade.trade_id), trade) for trade in trades)
    kept = [trade for trade in found.values() if trade.timestamp <= cut_ms]
    return sorted(kept, key=lambda trade: (trade.timestamp, trade.trade_id)), cut_ms == _FAR_FUTURE_MS


async def fills_of(rpc: RpcClient, order_id: str) -> list[UserTradeData]:
    """All trades of one order, oldest first."""
    found: dict[str, UserTradeData] = {}
    for historical in (False, True):
        params = {"order_id": order_id, "sorting": "asc", "historical": historical}
        try:
            trades = (await rpc.call("private/get_user_trades_by_order", params, _ORDER_TRADES)).result
        except Refused as error:  # the recent store forgets orders that ended
            if error.code != ORDER_NOT_FOUND:
                raise
            continue
        found.update((trade.trade_id, trade) for trade in trades)
    return sorted(found.values(), key=lambda trade: (trade.timestamp, trade.trade_id))


async def _since(rpc: RpcClient, currency: str, since_ms: int, *, historical: bool) -> tuple[list[UserTradeData], bool]:
    """One source, oldest first. A page that is cut spans at least two times, or asking from its end would bring it again."""
    trades: list[UserTradeData] = []
    for _ in range(_MAX_CROWDED):
        page = await _page(rpc, currency, since_ms, historical=historical)
        if page.has_more and not page.trades:
            raise BadReply(f"trades in {currency} since {since_ms}: expected some where there are more, got none")
        page.trades.sort(key=lambda trade: trade.timestamp)
        trades += page.trades
        if not page.has_more or page.trades[0].timestamp < page.trades[-1].timestamp:
            return trades, not page.has_more
        for order_id in sorted({trade.order_id for trade in page.trades}):
            trades += await _of_order(rpc, order_id, page.trades[0].timestamp, historical=historical)
        since_ms = page.trades[0].timestamp + 1
    return trades, False


async def _page(rpc: RpcClient, currency: str, since_ms: int, *, historical: bool) -> UserTradesResult:
    params = {
        "currency": currency,
        "start_timestamp": since_ms,
        "end_timestamp": _FAR_FUTURE_MS,
        "count": _PAGE,
        "sorting": "asc",
        "historical": historical,
    }
    return (await rpc.call("private/get_user_trades_by_currency_and_time", params, _TRADES)).result


async def _of_order(rpc: RpcClient, order_id: str, at_ms: int, *, historical: bool) -> list[UserTradeData]:
    """An order's trades of one millisecond: a sweep through the book makes more of them than a page holds."""
    params = {"order_id": order_id, "sorting": "asc", "historical": historical}
    trades = (await rpc.call("private/get_user_trades_by_order", params, _ORDER_TRADES)).result
    return [trade for trade in trades if trade.timestamp == at_ms]
