"""Looking at orders: nothing changes, and what is read is what is stored."""

from collections.abc import Mapping
from typing import Any

from actors.trading.caller import Caller, Record
from actors.trading.history import Filters, filters_of, page_of, records_of


class Looking(Caller):
    """Long listings come in pages."""

    async def get_order_history(self, filters: Mapping[str, Any] | Filters | None = None) -> Record:
        """`{orders, next}`: records, newest first; see `Filters`. Raises AdvancedOrderError."""
        page = await page_of(self._parts.store, filters_of(filters, self._parts.default_venue))
        return {"orders": await records_of(self._parts.store, page.orders), "next": page.next}

    async def review_orders(self) -> list[Record]:
        """Records of the orders that wait for a person, oldest first; `review` says why."""
        orders = [order for order in self._parts.store.live_orders() if order.review]
        return await records_of(self._parts.store, orders)
