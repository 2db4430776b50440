"""Methods that look at orders through `actors.trading`."""

from typing import Any

from actors.admin._desk import Desk, Method
from actors.trading import Filters


async def history(desk: Desk, filters: Filters) -> dict[str, Any]:
    return await desk.trading.get_order_history(filters)


METHODS = {"order.history": Method(Filters, history)}
