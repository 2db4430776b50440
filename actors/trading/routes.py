"""An order that goes where it costs least: what is asked of a route, and how its choice looks from outside."""

from typing import Any

import msgspec

from actors.routing import Considered, Routed
from actors.trading.records import exact


def choice_record(chosen: Routed) -> dict[str, Any]:
    """Where an order should go now, and what every instrument of the route would cost or why it cannot serve."""
    return {
        "route": chosen.route,
        "instrument_name": chosen.instrument,
        "account_id": chosen.account,
        "amount": exact(chosen.amount),
        "net_price": _price(chosen.net_price),
        "considered": [considered_record(one) for one in chosen.considered],
    }


def considered_record(one: Considered) -> dict[str, Any]:
    """One instrument of a route; figures are None where it cannot serve, and `reason` says why."""
    told = msgspec.structs.asdict(one)
    return {
        "instrument_name": told.pop("instrument"),
        "account_id": told.pop("account"),
        **{name: _price(value) if name in ("price", "net_price") else value for name, value in told.items()},
    }


def _price(value: Any) -> Any:
    """An average over a book has no end of digits."""
    return None if value is None else exact(round(value, 8))
