"""Finding one order by the label of one attempt, wherever the venue may keep it.

Four sources, asked in this order: orders with the label (open ones first), then the history of the instrument in both of its stores. The recent
store is current at once but forgets a closed order after 30 minutes; the archive keeps everything but is indexed late. Closed orders without a
fill are in either only with `include_unfilled`, older ones only with `include_old`. A conditional order is in neither once its condition was
met or it was cancelled: its end is in a log of its own, with the id of the order it became. An order that never was is in none of them; which
answers count as proof is not decided here.
"""

from collections.abc import Iterable, Sequence

import msgspec

from engine.model import Instrument, Order
from engine.venues.base import OutcomeUnknown, Refused, VenueError
from engine.venues.deribit.errors import ORDER_NOT_FOUND
from engine.venues.deribit.mapping import LIVE, TRIGGERED
from engine.venues.deribit.names import NO_MORE, label_currencies
from engine.venues.deribit.params import follows
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.wire import HistoryResult, OrderData, TriggerLogData, TriggerLogResult

SOURCES = ("open orders by label", "state by label", "recent history", "archived history")
TRIGGER_SOURCE = "log of conditional orders"

_PAGE = 1000
_MAX_PAGES = 10
_SLACK_MS = 600_000  # how much older than the end of its validity an order may be
_ORDERS = msgspec.json.Decoder(list[OrderData])
_ORDER = msgspec.json.Decoder(OrderData)
_HISTORY = msgspec.json.Decoder(HistoryResult)
_LOG = msgspec.json.Decoder(TriggerLogResult)


class OrderFinder:
    """Every question raises a `VenueError` when it is not answered: silence is not absence."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def find(self, order: Order, instrument: Instrument) -> OrderData | None:
        """What the venue knows of the order's current attempt; None when every source answered and none knew it."""
        found = await self.by_label(order, instrument)
        for historical in (False, True):
            found = found or await self._in_history(order, instrument, historical=historical)
        if conditional(order) and (found is None or found.order_state == TRIGGERED):
            found = await self._in_trigger_log(order, instrument) or found
        return found

    async def by_label(self, order: Order, instrument: Instrument) -> OrderData | None:
        found: list[OrderData] = []
        for currency in label_currencies(instrument):
            params = {"currency": currency, "label": order.client_order_id}
            for method in ("private/get_open_orders_by_label", "private/get_order_state_by_label"):
                found += await self._orders(method, params)
        return _newest(found, order.client_order_id)

    async def members(self, orders: Sequence[Order], instrument: Instrument) -> list[OrderData | None]:
        """What the venue knows of orders it has just taken. None where it did not say: no answer here denies anything."""
        try:
            params = {"instrument_name": instrument.symbol}
            live = await self._orders("private/get_open_orders_by_instrument", params)
            return [_newest(live, order.client_order_id) or await self.by_label(order, instrument) for order in orders]
        except VenueError:
            return [None] * len(orders)

    async def _orders(self, method: str, params: dict[str, str]) -> list[OrderData]:
        try:
            return (await self._rpc.call(method, params, _ORDERS)).result
        except Refused as error:
            if error.code == ORDER_NOT_FOUND:
                return []
            raise

    async def _in_history(self, order: Order, instrument: Instrument, *, historical: bool) -> OrderData | None:
        """Newest first, until a page reaches back before the attempt was sent."""
        params: dict[str, object] = {
            "instrument_name": instrument.symbol,
            "count": _PAGE,
            "include_old": True,
            "include_unfilled": True,
            "historical": historical,
            "with_continuation": True,
        }
        oldest_ms = _oldest_ms(order)
        for _ in range(_MAX_PAGES):
            page = (await self._rpc.call("private/get_order_history_by_instrument", params, _HISTORY)).result
            found = _newest(page.orders, order.client_order_id)
            if found is not None or page.continuation in NO_MORE:
                return found
            if page.orders and all(data.last_update_timestamp < oldest_ms for data in page.orders):
                return None
            params["continuation"] = page.continuation
        raise OutcomeUnknown(f"{order.client_order_id}: history is longer than {_MAX_PAGES} pages of {_PAGE}")

    async def _in_trigger_log(self, order: Order, instrument: Instrument) -> OrderData | None:
        """What a conditional order came to."""
        params: dict[str, object] = {"instrument_name": instrument.symbol, "count": _PAGE}
        params["currency"] = label_currencies(instrument)[0]
        oldest_ms = _oldest_ms(order)
        for _ in range(_MAX_PAGES):
            page = (await self._rpc.call("private/get_trigger_order_history", params, _LOG)).result
            ours = [entry for entry in page.entries if entry.label == order.client_order_id]
            if ours:
                return await self._outcome(order, max(ours, key=lambda entry: entry.timestamp))
            if page.continuation in NO_MORE:
                return None
            if page.entries and all(entry.timestamp < oldest_ms for entry in page.entries):
                return None
            params["continuation"] = page.continuation
        raise OutcomeUnknown(f"{order.client_order_id}: the log is longer than {_MAX_PAGES} pages of {_PAGE}")

    async def _outcome(self, order: Order, entry: TriggerLogData) -> OrderData:
        """The order it became, under our label whether the venue repeats that or not; else how it ended."""
        if entry.order_state == TRIGGERED:
            if not entry.order_id:
                raise OutcomeUnknown(f"{order.client_order_id}: it was triggered, and the venue does not say into what")
            params = {"order_id": entry.order_id}
            became = (await self._rpc.call("private/get_order_state", params, _ORDER)).result
            return msgspec.structs.replace(became, label=order.client_order_id)
        state, _, reason = entry.order_state.partition(":")
        return OrderData(
            order_id=entry.trigger_order_id,
            order_state=state,
            order_type=order.order_type.value,
            instrument_name=entry.instrument_name,
            direction=entry.direction,
            amount=entry.amount,
            last_update_timestamp=entry.timestamp,
            label=order.client_order_id,
            cancel_reason=reason or None,
        )


def conditional(order: Order) -> bool:
    """Whether it waits at the venue, for a price or for another order, before it is in the market."""
    released = order.link is not None and order.link.native and bool(order.link.entry)
    return order.order_type.has_trigger or follows(order) or released


def _oldest_ms(order: Order) -> int:
    """No stamp of the venue on the attempt is older. By the venue's clock where it is known: ours may be wrong by hours,
    and a search that stops too early would prove what is not true."""
    times = [at_ms for at_ms in (order.valid_until_ms, order.submitted_at_ms) if at_ms is not None]
    return min(times, default=order.created_at_ms) - _SLACK_MS


def _newest(orders: Iterable[OrderData], label: str) -> OrderData | None:
    """The order with the label that lives, or ended last; what a spent trigger became comes before the trigger itself."""
    ours = [data for data in orders if data.label == label]
    return max(ours, key=_standing, default=None)


def _standing(data: OrderData) -> tuple[bool, bool, int]:
    return data.order_state in LIVE, data.order_state != TRIGGERED, data.last_update_timestamp
