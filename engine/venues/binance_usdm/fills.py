"""Our own trades after a point in time.

The venue tells trades only symbol by symbol, without client ids. Which symbols: those the account has a position or an open
order in, those it paid commission in since then (one list for all symbols), and those where this client has had anything to do
with an order since then. What all three miss is a trade that left no position, cost nothing and was of an order this client has
never heard of; once that order is found, its symbol is asked.

Which order a trade was of: what the stream or a reply said of that order, else the venue is asked. A triggered conditional
order may go by a name that is not ours; its condition's record knows.
"""

from collections.abc import Sequence

from engine.model import Fill, order_id_of
from engine.venues.base import OutcomeUnknown
from engine.venues.binance_usdm.account_wire import IncomeData, PositionData, UserTradeData
from engine.venues.binance_usdm.endpoints import ALL_ALGOS, ALL_ORDERS, INCOME, POSITIONS, TRADES
from engine.venues.binance_usdm.listing import ROWS, algos_in, orders_in
from engine.venues.binance_usdm.mapping import AccountView, order_id
from engine.venues.binance_usdm.memory import AccountMemory
from engine.venues.binance_usdm.search import OrderFinder
from engine.venues.binance_usdm.signed import Params, SignedClient
from engine.venues.binance_usdm.wire import decoder
from engine.venues.clock import VenueClock

_PAGE = 1000
_MAX_PAGES = 5  # of one symbol, in one call
_MAX_INCOME_PAGES = 10
_WEEK_MS = 7 * 86_400_000
_KEPT_MS = 89 * 86_400_000  # what the venue keeps
_SLACK_MS = 600_000
_FEW = 5  # orders that are cheaper asked for one by one than as a list
_ALGO_WEEKS = 4  # how far back conditional orders are looked through
_DENIES_MS = 600_000  # how long after a trade a denial of its order is not believed
_FAR_FUTURE_MS = 4_000_000_000_000
_TRADES = decoder(list[UserTradeData])
_INCOME = decoder(list[IncomeData])
_POSITIONS = decoder(list[PositionData])


class FillReader:
    """See the module's page."""

    def __init__(
        self, client: SignedClient, view: AccountView, memory: AccountMemory, finder: OrderFinder, clock: VenueClock
    ) -> None:
        self._client = client
        self._view = view
        self._memory = memory
        self._finder = finder
        self._clock = clock

    async def since(self, since_ms: int) -> tuple[tuple[Fill, ...], bool]:
        """Fills from `since_ms` on, oldest first, and whether they are all.

        A symbol whose trades were cut ends every symbol's where it was cut: what lies behind is asked for again.
        """
        since_ms = max(since_ms, self._clock.now_ms() - _KEPT_MS)
        symbols, cut_ms = await self._symbols(since_ms)
        trades: list[UserTradeData] = []
        for symbol in sorted(symbols):
            found, complete = await self._trades(symbol, since_ms)
            if not complete and found:
                cut_ms = min(cut_ms, found[-1].time)
            trades += found
        kept = sorted(
            (trade for trade in trades if trade.time <= cut_ms), key=lambda trade: (trade.time, trade.symbol, trade.id)
        )
        for symbol in sorted({trade.symbol for trade in kept}):
            await self._learn_names(symbol, [trade for trade in kept if trade.symbol == symbol])
        fills = tuple(
            self._view.trade(trade, self._memory.name_of(trade.symbol, trade.orderId) or "") for trade in kept
        )
        return fills, cut_ms == _FAR_FUTURE_MS

    # ── which symbols ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _symbols(self, since_ms: int) -> tuple[set[str], int]:
        """The symbols, and until when they are all of them."""
        held = await self._client.ask(POSITIONS, {}, _POSITIONS)
        symbols = {row.symbol for row in held if row.st == 1} | self._memory.seen_since(since_ms - _SLACK_MS)
        from_ms = since_ms
        for _ in range(_MAX_INCOME_PAGES):
            params: Params = {"incomeType": "COMMISSION", "startTime": from_ms, "limit": _PAGE}
            rows = await self._client.ask(INCOME, params, _INCOME)
            symbols |= {row.symbol for row in rows if row.symbol}
            if len(rows) < _PAGE:
                return symbols, _FAR_FUTURE_MS
            newest_ms = max(row.time for row in rows)
            from_ms = newest_ms if newest_ms > from_ms else newest_ms + 1
        return symbols, from_ms

    # ── trades of a symbol ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _trades(self, symbol: str, since_ms: int) -> tuple[list[UserTradeData], bool]:
        """Ascending. A week at a time until there is a trade, then by trade id: a page within one millisecond is no trap."""
        rows: list[UserTradeData] = []
        from_ms, now_ms = since_ms, self._clock.now_ms()
        while not rows and from_ms <= now_ms:
            params: Params = {
                "symbol": symbol,
                "startTime": from_ms,
                "endTime": from_ms + _WEEK_MS - 1,
                "limit": _PAGE,
            }
            rows = await self._client.ask(TRADES, params, _TRADES)
            from_ms += _WEEK_MS
        complete = len(rows) < _PAGE and from_ms > now_ms
        for _ in range(_MAX_PAGES - 1):
            if complete:
                break
            params = {"symbol": symbol, "fromId": max(row.id for row in rows) + 1, "limit": _PAGE}
            page = await self._client.ask(TRADES, params, _TRADES)
            complete = len(page) < _PAGE
            rows += page
        ours = {row.id: row for row in rows if row.st == 1 and row.symbol == symbol and row.time >= since_ms}
        return sorted(ours.values(), key=lambda row: row.id), complete

    # ── whose they are ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _learn_names(self, symbol: str, trades: Sequence[UserTradeData]) -> None:
        """Know the client id of every order that is traded here. Raises `OutcomeUnknown` for an order that the venue denies
        and that may be ours."""
        unknown = {trade.orderId for trade in trades if self._memory.name_of(symbol, trade.orderId) is None}
        if not unknown:
            return
        strangers = await self._ask_names(symbol, unknown, trades)
        if strangers:
            await self._link(symbol, min(trade.time for trade in trades if trade.orderId in strangers))

    async def _ask_names(self, symbol: str, unknown: set[int], trades: Sequence[UserTradeData]) -> set[int]:
        """Ask for the orders; those with a name that is not ours, or with none, are strangers."""
        names: dict[int, str] = await self._in_all(symbol, unknown) if len(unknown) > _FEW else {}
        for number in sorted(unknown - names.keys()):
            data = await self._finder.by_id(symbol, number)
            if data is not None:
                names[number] = data.clientOrderId
                continue
            traded_ms = max(trade.time for trade in trades if trade.orderId == number)
            if self._clock.now_ms() - traded_ms < _DENIES_MS:
                raise OutcomeUnknown(f"{symbol}: a trade of order {number}, which the venue denies")
            names[number] = ""
        named = {number: self._memory.name(symbol, number, said) for number, said in names.items()}
        return {number for number, name in named.items() if order_id_of(name) is None}

    async def _in_all(self, symbol: str, unknown: set[int]) -> dict[int, str]:
        names: dict[int, str] = {}
        first = min(unknown)
        for _ in range(_MAX_PAGES):
            rows = orders_in(
                await self._client.ask(ALL_ORDERS, {"symbol": symbol, "orderId": first, "limit": _PAGE}, ROWS)
            )
            names |= {row.orderId: row.clientOrderId for row in rows if row.orderId in unknown}
            newest = max((row.orderId for row in rows), default=0)
            if len(rows) < _PAGE or newest >= max(unknown):
                break
            first = newest + 1
        return names

    async def _link(self, symbol: str, traded_ms: int) -> None:
        """Learn which orders came from conditional ones of ours."""
        for client_id in self._memory.conditional(symbol):
            data = await self._finder.condition(client_id)
            if data is not None:
                self._view.condition(data)
        until_ms = traded_ms + _SLACK_MS
        for _ in range(_ALGO_WEEKS):
            window: Params = {
                "symbol": symbol,
                "startTime": max(0, until_ms - _WEEK_MS + 1),
                "endTime": until_ms,
                "limit": _PAGE,
            }
            for row in algos_in(await self._client.ask(ALL_ALGOS, window, ROWS)):
                became = order_id(row.actualOrderId)
                if became is not None and order_id_of(row.clientAlgoId) is not None:
                    self._memory.link(symbol, became, row.clientAlgoId)
            until_ms -= _WEEK_MS
