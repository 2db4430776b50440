"""Orders and account queries over REST."""

from collections.abc import Sequence

import msgspec

from engine.model import (
    Balance,
    Fill,
    Instrument,
    Order,
    OrderReport,
    Position,
    ProofRules,
    Side,
)
from engine.venues.base import BadReply, FillPage, FlowPage, KeyPermissions, OrderSearch, Refused
from engine.venues.deribit.bars import BarHalves
from engine.venues.deribit.errors import NOT_OPEN
from engine.venues.deribit.fills import fills_of, fills_since
from engine.venues.deribit.linked import linked_params, why_not_linked, why_not_trail
from engine.venues.deribit.mapping import AccountView
from engine.venues.deribit.names import label_currencies
from engine.venues.deribit.params import edit_params, follows, place_params
from engine.venues.deribit.permissions import permissions
from engine.venues.deribit.public import PublicRest
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.search import SOURCES, TRIGGER_SOURCE, OrderFinder, conditional
from engine.venues.deribit.statement import StatementReader
from engine.venues.deribit.wire import OrderData, PlacedResult, PositionData, SummariesResult

_PLACED = msgspec.json.Decoder(PlacedResult)
_ORDER = msgspec.json.Decoder(OrderData)
_ORDERS = msgspec.json.Decoder(list[OrderData])
_COUNT = msgspec.json.Decoder(int)
_POSITIONS = msgspec.json.Decoder(list[PositionData])
_SUMMARIES = msgspec.json.Decoder(SummariesResult)


class DeribitRest(PublicRest):
    """`VenueRest` for one account. Without credentials the private half raises `NotAuthorised`."""

    def __init__(
        self,
        name: str,
        account: str,
        rpc: RpcClient,
        *,
        resolve: ProofRules,
        halves: BarHalves,
        currencies: Sequence[str],
    ) -> None:
        super().__init__(name, rpc, resolve, halves)
        self._view = AccountView(name, account)
        self._finder = OrderFinder(rpc)
        self._currencies = tuple(currencies)
        self._statement = StatementReader(rpc, name, account, currencies)

    # ── orders ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        why = why_not_trail(order, instrument) if follows(order) else ""
        if why:
            raise Refused(why)
        return self._placed((await self._rpc.call(_placing(order), place_params(order, instrument), _PLACED)).result)

    async def submit_linked(
        self, orders: Sequence[Order], instruments: Sequence[Instrument]
    ) -> tuple[tuple[OrderReport, tuple[Fill, ...]], ...]:
        """The reply tells of the first order only, and of the others the ids they begin under."""
        why = why_not_linked(orders, instruments)
        if why:
            raise Refused(why)
        params = linked_params(orders, instruments)
        first = self._placed((await self._rpc.call(_placing(orders[0]), params, _PLACED)).result)
        found = await self._finder.members(orders[1:], instruments[0])
        others = [
            self._view.accepted(order) if data is None else self._view.report(data)
            for order, data in zip(orders[1:], found, strict=True)
        ]
        return (first, *((report, ()) for report in others))

    async def amend(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        return self._placed((await self._rpc.call("private/edit", edit_params(order), _PLACED)).result)

    async def cancel(self, order: Order, instrument: Instrument) -> OrderReport | None:
        """By label too where the id is no order's any more: an exit that waited has another one since its entry was filled."""
        try:
            if order.venue_order_id:
                params = {"order_id": order.venue_order_id}
                return self._view.report((await self._rpc.call("private/cancel", params, _ORDER)).result)
        except Refused as error:
            if error.code not in NOT_OPEN:
                raise
            if order.link is None or not order.link.native:
                return None
        try:
            return await self._cancel_by_label(order, instrument)
        except Refused as error:
            if error.code in NOT_OPEN:
                return None
            raise

    async def cancel_everything(self, symbol: str = "") -> None:
        if symbol:
            await self._rpc.call("private/cancel_all_by_instrument", {"instrument_name": symbol}, _COUNT)
        else:
            await self._rpc.call("private/cancel_all", {}, _COUNT)

    async def open_orders(self) -> tuple[OrderReport, ...]:
        answer = await self._rpc.call("private/get_open_orders", {}, _ORDERS)
        return tuple(self._view.report(data) for data in answer.result)

    async def find_order(self, order: Order, instrument: Instrument) -> OrderSearch:
        data = await self._finder.find(order, instrument)
        sources = (*SOURCES, TRIGGER_SOURCE) if conditional(order) else SOURCES
        return OrderSearch(None if data is None else self._view.report(data), sources)

    # ── account ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def fills_since(self, since_ms: int) -> FillPage:
        trades, complete = await fills_since(self._rpc, self._currencies, since_ms)
        return FillPage(self._view.fills(trades), complete)

    async def fills_of(self, order: Order | OrderReport, instrument: Instrument) -> FillPage:
        if not order.venue_order_id:
            return FillPage((), complete=False)
        return FillPage(self._view.fills(await fills_of(self._rpc, order.venue_order_id)), complete=True)

    async def cash_flows(self, since_ms: int, until_ms: int) -> FlowPage:
        return await self._statement.between(since_ms, until_ms)

    async def permissions(self) -> KeyPermissions:
        return await permissions(self._rpc)

    async def positions(self) -> tuple[Position, ...]:
        answer = await self._rpc.call("private/get_positions", {"currency": "any"}, _POSITIONS)
        return tuple(self._view.position(data, answer.venue_ms) for data in answer.result)

    async def balances(self) -> tuple[Balance, ...]:
        answer = await self._rpc.call("private/get_account_summaries", {}, _SUMMARIES)
        return tuple(self._view.balance(data, answer.venue_ms) for data in answer.result.summaries)

    # ── parts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _placed(self, result: PlacedResult) -> tuple[OrderReport, tuple[Fill, ...]]:
        return self._view.report(result.order), self._view.fills(result.trades)

    async def _cancel_by_label(self, order: Order, instrument: Instrument) -> OrderReport | None:
        """The venue answers with a count; what became of the order is in its state."""
        cancelled = 0
        for currency in label_currencies(instrument):
            params = {"label": order.client_order_id, "currency": currency}
            cancelled += (await self._rpc.call("private/cancel_by_label", params, _COUNT)).result
        if cancelled == 0:
            return None
        data = await self._finder.by_label(order, instrument)
        if data is None:
            raise BadReply(f"{order.client_order_id}: cancelled by label, and then not found by it")
        return self._view.report(data)


def _placing(order: Order) -> str:
    return "private/buy" if order.side is Side.BUY else "private/sell"
