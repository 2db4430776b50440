"""Finding one order by the label of one attempt, wherever the venue may keep it.

Four sources, asked in this order: orders with the label (open ones first), then the history of the instrument in both of its stores. The recent
store is current at once but forgets a closed order after 30 minutes; the archive keeps everything but is indexed late. Closed orders without a
fill are in either only with `include_unfilled`, older ones only with `include_old`. An order that never was is in none of them; which
answers count as proof is not decided here.
"""

from collections.abc import Iterable

import msgspec

from engine.model import Instrument, Order
from engine.venues.base import OutcomeUnknown, Refused
from engine.venues.deribit.errors import ORDER_NOT_FOUND
from engine.venues.deribit.mapping import TRIGGERED
from engine.venues.deribit.names import label_currencies
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.wire import HistoryResult, OrderData

SOURCES = ("open orders by label", "state by label", "recent history", "archived history")

_PAGE = 1000
_MAX_PAGES = 10
_SLACK_MS = 60_000  # between our clock at submission and the venue's stamp on the order
_NO_MORE = (None, "", "none", 0)
_ORDERS = msgspec.json.Decoder(list[OrderData])
_HISTORY = msgspec.json.Decoder(HistoryResult)


class OrderFinder:
    """Every question raises a `VenueError` when it is not answered: silence is not absence."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def find(self, order: Order, instrument: Instrument) -> OrderData | None:
        """What the venue knows of the order's current attempt; None when every source answered and none knew it."""
        found = await self.by_label(order, instrument)
        for historical in (False, True):
            found = found or await self._in_history(order, instrument, historical=historical)
        return found

    async def by_label(self, order: Order, instrument: Instrument) -> OrderData | None:
        found: list[OrderData] = []
        for currency in label_currencies(instrument):
            params = {"currency": currency, "label": order.client_order_id}
            for method in ("private/get_open_orders_by_label", "private/get_order_state_by_label"):
                found += await self._orders(method, params)
        return _newest(found, order.client_order_id)

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
        oldest_ms = (order.submitted_at_ms or order.created_at_ms) - _SLACK_MS
        for _ in range(_MAX_PAGES):
            page = (await self._rpc.call("private/get_order_history_by_instrument", params, _HISTORY)).result
            found = _newest(page.orders, order.client_order_id)
            if found is not None or page.continuation in _NO_MORE or not page.orders:
                return found
            if all(data.last_update_timestamp < oldest_ms for data in page.orders):
                return None
            params["continuation"] = page.continuation
        raise OutcomeUnknown(f"{order.client_order_id}: history is longer than {_MAX_PAGES} pages of {_PAGE}")


def _newest(orders: Iterable[OrderData], label: str) -> OrderData | None:
    """The order with the label that lives or ended last; what a spent trigger became comes before the trigger itself."""
    ours = [data for data in orders if data.label == label]
    return max(ours, key=lambda data: (data.order_state != TRIGGERED, data.last_update_timestamp), default=None)
