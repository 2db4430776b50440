"""Our own trades after a point in time.

The venue tells trades only symbol by symbol, without client ids. Which symbols: those the account has a position or an open
order in, those it paid commission in since then (one list for all symbols), and those where this client has had anything to do
with an order since then. What all three miss is a trade that left no position, cost nothing and was of an order this client has
never heard of; once that order is found, its symbol is asked.

Which order a trade was of: what the stream or a reply said of that order, else the venue is asked. A triggered conditional
order may go by a name that is not ours; its condition's record knows.
"""

from collections.abc import Sequence

import msgspec

from engine.model import Fill, Order, OrderReport, order_id_of
from engine.venues.base import OutcomeUnknown
from engine.venues.binance_usdm.account_wire import IncomeRow, PositionData, UserTradeData
from engine.venues.binance_usdm.endpoints import ALL_ALGOS, ALL_ORDERS, INCOME, POSITIONS, TRADES
from engine.venues.binance_usdm.listing import ROWS, algos_in, orders_in
from engine.venues.binance_usdm.mapping import AccountView, order_id
from engine.venues.binance_usdm.memory import AccountMemory
from engine.venues.binance_usdm.params import waits_here
from engine.venues.binance_usdm.search import OrderFinder
from engine.venues.binance_usdm.signed import Params, SignedClient
from engine.venues.binance_usdm.spans import PAGE, WEEK_MS, read_span
from engine.venues.binance_usdm.wire import decoder
from engine.venues.clock import VenueClock

_MAX_PAGES = 60  # of one symbol, in one call; most of them only to find out where the trades lie
_MAX_INCOME_PAGES = 40
_MAX_ORDER_PAGES = 5
_SOON_MS = 60_000  # how far our reading of the venue's clock may be behind
_KEPT_MS = 89 * 86_400_000  # what the venue keeps
_SLACK_MS = 600_000
_FEW = 5  # orders that are cheaper asked for one by one than as a list
_ALGO_WEEKS = 4  # how far back conditional orders are looked through
_DENIES_MS = 600_000  # how long after a trade a denial of its order is not believed
_CONDITIONAL = frozenset({"stop", "stop_market", "take_profit", "take_profit_market", "trailing_stop_market"})
_ENDED = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH"})
_FAR_FUTURE_MS = 4_000_000_000_000
_TRADES = decoder(list[UserTradeData])
_INCOME = decoder(list[IncomeRow])
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
            found, until_ms = await self._trades(symbol, since_ms)
            cut_ms = min(cut_ms, until_ms)
            trades += found
        once = {(trade.time, trade.symbol, trade.id): trade for trade in trades if trade.time <= cut_ms}
        kept = [once[key] for key in sorted(once)]
        if not kept and cut_ms < _FAR_FUTURE_MS:
            raise OutcomeUnknown(f"fills since {since_ms}: expected some where there are more, got none")
        for symbol in sorted({trade.symbol for trade in kept}):
            await self._learn_names(symbol, [trade for trade in kept if trade.symbol == symbol])
        fills = tuple(
            self._view.trade(trade, self._memory.name_of(trade.symbol, trade.orderId) or "") for trade in kept
        )
        return fills, cut_ms == _FAR_FUTURE_MS

    async def of(self, order: Order | OrderReport, symbol: str) -> tuple[tuple[Fill, ...], bool]:
        """Fills of one order, oldest first, and whether they are all. Raises `OutcomeUnknown` when the venue denies it."""
        number = await self._number(order)
        if number is None:
            return (), True
        data = await self._finder.by_id(symbol, number)
        if data is None:
            raise OutcomeUnknown(f"{symbol}: fills of order {number}, which the venue denies")

        async def ask(first_ms: int, last_ms: int) -> list[UserTradeData]:
            window: Params = {"startTime": first_ms, "endTime": last_ms, "limit": PAGE}
            return await self._client.ask(TRADES, {"symbol": symbol, "orderId": number, **window}, _TRADES)

        now_ms = self._clock.now_ms() + _SOON_MS
        first_ms = max(data.time - _SLACK_MS, now_ms - _KEPT_MS)
        last_ms = data.updateTime + _SLACK_MS if data.status in _ENDED else now_ms
        rows, until_ms = await read_span(ask, first_ms, last_ms, most=_MAX_PAGES, crowd=self._crowd)
        once = {row.id: row for row in rows if row.st == 1 and row.orderId == number}
        name = order.client_order_id or self._memory.name(symbol, number, data.clientOrderId)
        return tuple(self._view.trade(once[key], name) for key in sorted(once)), until_ms >= last_ms

    async def _number(self, order: Order | OrderReport) -> int | None:
        """The order's own; of a condition that of the order it became, None as long as it has become none."""
        waits = waits_here(order) if isinstance(order, Order) else order.order_type in _CONDITIONAL
        if not waits or order.triggered:
            return int(order.venue_order_id)
        became = self._memory.became(order.client_order_id)
        if became is None:
            condition = await self._finder.condition(order.client_order_id)
            became = None if condition is None else order_id(condition.actualOrderId)
        return became

    # ── which symbols ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _symbols(self, since_ms: int) -> tuple[set[str], int]:
        """The symbols, and until when they are all of them."""
        held = await self._client.ask(POSITIONS, {}, _POSITIONS)
        symbols = {row.symbol for row in held if row.st == 1} | self._memory.seen_since(since_ms - _SLACK_MS)

        async def ask(first_ms: int, last_ms: int) -> list[IncomeRow]:
            params: Params = {"incomeType": "COMMISSION", "startTime": first_ms, "endTime": last_ms, "limit": PAGE}
            return await self._client.ask(INCOME, params, _INCOME)

        now_ms = self._clock.now_ms() + _SOON_MS
        rows, until_ms = await read_span(ask, since_ms, now_ms, most=_MAX_INCOME_PAGES, crowd=_as_it_is)
        symbols |= {row.symbol for row in rows if row.symbol}
        return symbols, _FAR_FUTURE_MS if until_ms >= now_ms else until_ms

    # ── trades of a symbol ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _trades(self, symbol: str, since_ms: int) -> tuple[list[UserTradeData], int]:
        """Trades, and until when they are all."""

        async def ask(first_ms: int, last_ms: int) -> list[UserTradeData]:
            params: Params = {"symbol": symbol, "startTime": first_ms, "endTime": last_ms, "limit": PAGE}
            return await self._client.ask(TRADES, params, _TRADES)

        now_ms = self._clock.now_ms() + _SOON_MS
        rows, until_ms = await read_span(ask, since_ms, now_ms, most=_MAX_PAGES, crowd=self._crowd)
        ours = [row for row in rows if row.st == 1 and row.symbol == symbol and row.time >= since_ms]
        return ours, _FAR_FUTURE_MS if until_ms >= now_ms else until_ms

    async def _crowd(self, page: list[UserTradeData]) -> list[UserTradeData]:
        """All trades of one millisecond, by trade id: a sweep through the book makes more of them than a page holds."""
        symbol, at_ms = page[0].symbol, page[0].time
        for _ in range(_MAX_PAGES):
            params: Params = {"symbol": symbol, "fromId": max(row.id for row in page) + 1, "limit": PAGE}
            more = await self._client.ask(TRADES, params, _TRADES)
            page = page + [row for row in more if row.time == at_ms]
            if len(more) < PAGE or more[-1].time != at_ms:
                return page
        raise OutcomeUnknown(f"{symbol}: more than {_MAX_PAGES} pages of trades at {at_ms}")

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
        for _ in range(_MAX_ORDER_PAGES):
            rows = orders_in(
                await self._client.ask(ALL_ORDERS, {"symbol": symbol, "orderId": first, "limit": PAGE}, ROWS)
            )
            names |= {row.orderId: row.clientOrderId for row in rows if row.orderId in unknown}
            newest = max((row.orderId for row in rows), default=0)
            if len(rows) < PAGE or newest >= max(unknown):
                break
            first = newest + 1
        return names

    async def _link(self, symbol: str, traded_ms: int) -> None:
        """Learn which orders came from conditional ones of ours."""
        for client_id in self._memory.conditions(symbol):
            data = await self._finder.condition(client_id)
            if data is not None:
                self._view.condition(data)

        async def ask(first_ms: int, last_ms: int) -> list[msgspec.Raw]:
            window: Params = {"symbol": symbol, "startTime": first_ms, "endTime": last_ms, "limit": PAGE}
            return await self._client.ask(ALL_ALGOS, window, ROWS)

        from_ms = max(0, traded_ms - _ALGO_WEEKS * WEEK_MS)
        rows, _ = await read_span(ask, from_ms, traded_ms + _SLACK_MS, most=_MAX_PAGES)
        for row in algos_in(rows):
            became = order_id(row.actualOrderId)
            if became is not None and order_id_of(row.clientAlgoId) is not None:
                self._memory.link(symbol, became, row.clientAlgoId)


async def _as_it_is(page: list[IncomeRow]) -> list[IncomeRow]:
    """A full page of commissions of one millisecond names the symbols as well as a longer one would."""
    return page
