"""Finding one order by the client id of one attempt, wherever the venue may keep it.

A normal order is asked for by its client id, then looked for among the open ones and among all of the time it can have been
placed in. A conditional order lives at endpoints of its own, with the same three sources; once triggered its record names the
order it became, which is then what counts. This venue has denied existing orders for minutes; which denials are proof is not
decided here. Orders that ended without a fill are forgotten after three days, everything after ninety: an attempt so old that
a denial says nothing is never reported absent.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from engine.model import Instrument, Order, OrderReport
from engine.venues.base import OutcomeUnknown, Refused
from engine.venues.binance_usdm.account_wire import AlgoData, OrderData
from engine.venues.binance_usdm.endpoints import (
    ALL_ALGOS,
    ALL_ORDERS,
    GET_ALGO,
    GET_ORDER,
    OPEN_ALGOS_OF,
    OPEN_ORDERS_OF,
    Call,
)
from engine.venues.binance_usdm.errors import NOT_OPEN
from engine.venues.binance_usdm.listing import ALGO, ORDER, ROWS, algos_in, orders_in
from engine.venues.binance_usdm.mapping import SPENT, AccountView, order_id
from engine.venues.binance_usdm.params import waits_here
from engine.venues.binance_usdm.signed import Params, SignedClient
from engine.venues.binance_usdm.spans import PAGE, read_span
from engine.venues.clock import VenueClock

T = TypeVar("T")
Named = Callable[[list[msgspec.Raw], str], T | None]  # of rows, the one that goes by a client id

SOURCES = ("order", "open orders", "all orders")
ALGO_SOURCES = ("conditional order", "open conditional orders", "all conditional orders")

_MAX_PAGES = 40  # of them most are only to find out where the orders lie
_SLACK_MS = 600_000  # how much older than the end of its validity an order may be
_LATEST_MS = 86_400_000  # how long after it was sent an order can at most have been placed, whatever our clock shows
_FORGOTTEN_MS = 89 * 86_400_000


class OrderFinder:
    """Every question raises a `VenueError` when it is not answered: silence is not absence."""

    def __init__(self, client: SignedClient, view: AccountView, clock: VenueClock) -> None:
        self._client = client
        self._view = view
        self._clock = clock

    async def find(self, order: Order, instrument: Instrument) -> OrderReport | None:
        """What the venue knows of the order's current attempt; None when every source answered and none knew it."""
        if waits_here(order):
            return await self._conditional(order, instrument.symbol)
        data = await self._plain(order, instrument.symbol)
        if data is None:
            self._deny(order)
        return None if data is None else self._view.report(data)

    async def by_id(self, symbol: str, venue_id: int) -> OrderData | None:
        return await self._order({"symbol": symbol, "orderId": venue_id})

    async def condition(self, client_id: str) -> AlgoData | None:
        """A conditional order by its client id."""
        try:
            data = await self._client.ask(GET_ALGO, {"clientAlgoId": client_id}, ALGO)
        except Refused as error:
            if error.code in NOT_OPEN:
                return None
            raise
        return data if data.clientAlgoId == client_id else None

    # ── normal orders ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _plain(self, order: Order, symbol: str) -> OrderData | None:
        client_id = order.client_order_id
        found = await self._order({"symbol": symbol, "origClientOrderId": client_id})
        if found is not None and found.clientOrderId == client_id:
            return found
        rows = await self._client.ask(OPEN_ORDERS_OF, {"symbol": symbol}, ROWS)
        return _named(rows, client_id) or await self._in_all(ALL_ORDERS, order, symbol, _named)

    async def _order(self, params: Params) -> OrderData | None:
        try:
            return await self._client.ask(GET_ORDER, params, ORDER)
        except Refused as error:
            if error.code in NOT_OPEN:
                return None
            raise

    # ── conditional orders ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _conditional(self, order: Order, symbol: str) -> OrderReport | None:
        data = await self._algo(order, symbol)
        if data is not None:
            return await self._outcome(data)
        if order.triggered and order.venue_order_id.isdigit():  # its record may be forgotten before the order is
            became = await self.by_id(symbol, int(order.venue_order_id))
            if became is not None:
                report = self._view.report(became)
                return msgspec.structs.replace(report, client_order_id=order.client_order_id, triggered=True)
        self._deny(order)
        return None

    async def _algo(self, order: Order, symbol: str) -> AlgoData | None:
        client_id = order.client_order_id
        found = await self.condition(client_id)
        if found is not None:
            return found
        rows = await self._client.ask(OPEN_ALGOS_OF, {"symbol": symbol}, ROWS)
        return _algo_named(rows, client_id) or await self._in_all(ALL_ALGOS, order, symbol, _algo_named)

    async def _outcome(self, data: AlgoData) -> OrderReport:
        """The order it became, under our client id whatever its own is; else the condition itself."""
        report = self._view.condition(data)
        became = order_id(data.actualOrderId)
        if became is None:
            if data.algoStatus in SPENT and data.algoStatus != "TRIGGERING":
                raise OutcomeUnknown(
                    f"{data.clientAlgoId}: {data.algoStatus.lower()}, and the venue does not say into what"
                )
            return report
        order = await self.by_id(data.symbol, became)
        if order is None:
            raise OutcomeUnknown(f"{data.clientAlgoId}: it became order {became}, which the venue denies")
        return self._view.report(order)

    # ── both ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _in_all(self, call: Call, order: Order, symbol: str, named: Named[T]) -> T | None:
        """Among all of the time it can have been placed in. Raises `OutcomeUnknown` where that holds too much to read."""

        async def ask(first_ms: int, last_ms: int) -> list[msgspec.Raw]:
            return await self._client.ask(call, _window(symbol, first_ms, last_ms), ROWS)

        rows, until_ms = await read_span(ask, _first_ms(order), _last_ms(order), most=_MAX_PAGES)
        found = named(rows, order.client_order_id)
        if found is None and until_ms < _last_ms(order):
            raise OutcomeUnknown(f"{order.client_order_id}: {call.what} goes on after {_MAX_PAGES} pages of {PAGE}")
        return found

    def _deny(self, order: Order) -> None:
        if self._clock.now_ms() - _last_ms(order) > _FORGOTTEN_MS:
            raise OutcomeUnknown(f"{order.client_order_id}: so old that the venue may have forgotten it")


def _window(symbol: str, first_ms: int, last_ms: int) -> Params:
    return {"symbol": symbol, "startTime": first_ms, "endTime": last_ms, "limit": PAGE}


def _times(order: Order) -> list[int]:
    """By the venue's clock where it is known: ours may be wrong by hours, and a search that looks in the wrong place would
    prove what is not true."""
    times = [at_ms for at_ms in (order.valid_until_ms, order.submitted_at_ms) if at_ms is not None]
    return times or [order.created_at_ms]


def _first_ms(order: Order) -> int:
    return max(0, min(_times(order)) - _SLACK_MS, _last_ms(order) - 6 * _LATEST_MS)


def _last_ms(order: Order) -> int:
    return max(_times(order)) + _LATEST_MS


def _named(rows: list[msgspec.Raw], client_id: str) -> OrderData | None:
    """The newest: an id may be used again once its order is over."""
    ours = [row for row in orders_in(rows) if row.clientOrderId == client_id]
    return max(ours, key=lambda row: row.orderId, default=None)


def _algo_named(rows: list[msgspec.Raw], client_id: str) -> AlgoData | None:
    ours = [row for row in algos_in(rows) if row.clientAlgoId == client_id]
    return max(ours, key=lambda row: row.algoId, default=None)
