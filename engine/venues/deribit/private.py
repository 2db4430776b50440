"""Orders and account queries over REST."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from engine.model import (
    Balance,
    Fill,
    Instrument,
    Order,
    OrderReport,
    OrderType,
    Position,
    ProofRules,
    Side,
    TimeInForce,
    TriggerBy,
    plain,
)
from engine.venues.base import BadReply, FillPage, OrderSearch, Refused
from engine.venues.deribit.bars import BarHalves
from engine.venues.deribit.errors import NOT_OPEN
from engine.venues.deribit.fills import fills_since
from engine.venues.deribit.mapping import AccountView
from engine.venues.deribit.names import label_currencies
from engine.venues.deribit.public import PublicRest
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.search import SOURCES, TRIGGER_SOURCE, OrderFinder
from engine.venues.deribit.wire import OrderData, PlacedResult, PositionData, SummariesResult

_TIMES_IN_FORCE = {
    TimeInForce.GTC: "good_til_cancelled",
    TimeInForce.IOC: "immediate_or_cancel",
    TimeInForce.FOK: "fill_or_kill",
}
_TRIGGERS = {TriggerBy.MARK: "mark_price", TriggerBy.INDEX: "index_price", TriggerBy.LAST: "last_price"}
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

    # ── orders ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        method = "private/buy" if order.side is Side.BUY else "private/sell"
        return self._placed((await self._rpc.call(method, place_params(order, instrument), _PLACED)).result)

    async def amend(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        return self._placed((await self._rpc.call("private/edit", edit_params(order), _PLACED)).result)

    async def cancel(self, order: Order, instrument: Instrument) -> OrderReport | None:
        try:
            if order.venue_order_id:
                params = {"order_id": order.venue_order_id}
                return self._view.report((await self._rpc.call("private/cancel", params, _ORDER)).result)
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
        sources = (*SOURCES, TRIGGER_SOURCE) if order.order_type.has_trigger else SOURCES
        return OrderSearch(None if data is None else self._view.report(data), sources)

    # ── account ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def fills_since(self, since_ms: int) -> FillPage:
        trades, complete = await fills_since(self._rpc, self._currencies, since_ms)
        return FillPage(self._view.fills(trades), complete)

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


def place_params(order: Order, instrument: Instrument) -> Mapping[str, Any]:
    """Parameters of `private/buy` and `private/sell`.

    Post-only always comes with `reject_post_only`: the venue would otherwise move the price, and no price is changed silently.
    """
    triggered = order.order_type.has_trigger
    return {
        "instrument_name": instrument.symbol,
        "amount": _number(order.amount),
        "type": order.order_type.value,
        "price": _number(order.price),
        "label": order.client_order_id,
        "time_in_force": None if order.order_type is OrderType.STOP_MARKET else _TIMES_IN_FORCE[order.time_in_force],
        "post_only": order.post_only or None,
        "reject_post_only": order.post_only or None,
        "reduce_only": order.reduce_only or None,
        "trigger": _TRIGGERS[order.trigger_by] if triggered else None,
        "trigger_price": _number(order.trigger_price),
        "valid_until": order.valid_until_ms,
    }


def edit_params(order: Order) -> Mapping[str, Any]:
    """Parameters of `private/edit`. The flags are always spelled out: their documented defaults differ from page to page."""
    if order.amend is None:
        raise ValueError(f"{order.order_id}: expected an order with an amendment, got none")
    return {
        "order_id": order.venue_order_id,
        "amount": _number(order.amend.amount),
        "price": _number(order.amend.price),
        "post_only": order.post_only,
        "reject_post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "trigger_price": _number(order.trigger_price) if not order.triggered else None,
        "valid_until": order.amend.valid_until_ms,
    }


def _number(value: Decimal | None) -> msgspec.Raw | None:
    """A JSON number with exactly the digits of `value`."""
    return None if value is None else msgspec.Raw(plain(value).encode())
