"""Our own trades after a point in time, from both of the venue's stores.

The recent store is current at once and forgets after 24 hours; the archive is complete but late. Both are read and merged by trade id, so a
client that was away for a week misses nothing and one that was away for a second misses nothing either.
"""

from collections.abc import Sequence

import msgspec

from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.wire import UserTradeData, UserTradesResult

_PAGE = 1000
_FAR_FUTURE_MS = 4_000_000_000_000
_TRADES = msgspec.json.Decoder(UserTradesResult)


async def fills_since(rpc: RpcClient, currencies: Sequence[str], since_ms: int) -> tuple[list[UserTradeData], bool]:
    """Trades from `since_ms` on, oldest first, and whether they are all.

    A page that was cut ends where it was cut for every source: what lies behind is asked for again, so nothing is skipped.
    """
    found: dict[tuple[str, str], UserTradeData] = {}
    cut_ms = _FAR_FUTURE_MS
    for currency in currencies:
        for historical in (False, True):
            page = await _page(rpc, currency, since_ms, historical=historical)
            if page.has_more and page.trades:
                cut_ms = min(cut_ms, max(trade.timestamp for trade in page.trades))
            found.update(((trade.instrument_name, trade.trade_id), trade) for trade in page.trades)
    kept = [trade for trade in found.values() if trade.timestamp <= cut_ms]
    return sorted(kept, key=lambda trade: (trade.timestamp, trade.trade_id)), cut_ms == _FAR_FUTURE_MS


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
