"""An order as everybody outside sees it: one shape, one set of names for its states, one place that makes it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from engine.model import ZERO, Fill, Order, OrderState, plain

#: Our states by the names callers know; two of them say more than the state alone, see `status_of`.
STATUS = {
    OrderState.WAITING: "created",
    OrderState.SUBMITTING: "submitting",
    OrderState.OPEN: "open",
    OrderState.UNKNOWN: "unknown",
    OrderState.FILLED: "filled",
    OrderState.CANCELLED: "cancelled",
    OrderState.REJECTED: "rejected",
    OrderState.EXPIRED: "expired",
}
UNTRIGGERED = "untriggered"  # waits for conditions, a trail or the order it is linked to
TRIGGERED = "triggered"  # these were met, and it has not left yet
REVIEW = "review"  # waits for a person
PARTIALLY_FILLED = "partially_filled"
STATES_OF = {
    **{status: (state,) for state, status in STATUS.items()},
    UNTRIGGERED: (OrderState.WAITING,),
    TRIGGERED: (OrderState.WAITING,),
    REVIEW: (OrderState.WAITING, OrderState.UNKNOWN),
    PARTIALLY_FILLED: (OrderState.OPEN,),
}


def status_of(order: Order) -> str:
    """The public name of where an order is."""
    if order.review and not order.state.terminal:
        return REVIEW
    waits = order.conditional or (order.link is not None and bool(order.link.after))
    if order.state is OrderState.WAITING and waits:
        return UNTRIGGERED
    if order.state is OrderState.WAITING and order.met_at_ms is not None:
        return TRIGGERED
    if order.state is OrderState.OPEN and order.filled_amount > ZERO:
        return PARTIALLY_FILLED
    return STATUS[order.state]


def order_record(order: Order, *, executed_at_ms: int | None = None) -> dict[str, Any]:
    """The public record. Figures are exact decimals (text in JSON), times are UTC (ISO 8601 in JSON), `conditions` is what
    `submit_advanced_order` takes. `executed_at_ms`: of its newest fill.
    """
    return {
        "id": order.order_id,
        "order_id": order.order_id,
        "account_id": order.account,
        "instrument_name": order.instrument,
        "amount": exact(order.amount),
        "direction": str(order.side),
        "order_type": str(order.order_type),
        "price": exact(order.price),
        "status": status_of(order),
        "created_at": moment(order.created_at_ms),
        "updated_at": moment(order.updated_at_ms),
        "executed_at": moment(executed_at_ms),
        "filled_amount": exact(order.filled_amount),
        "avg_price": exact(order.average_price or ZERO),
        "priority": str(order.priority),
        "conditions": _conditions(order),
        "metadata": dict(order.metadata),
        # beyond what every order has
        "trigger_price": exact(order.trigger_price),
        "time_in_force": str(order.time_in_force),
        "reduce_only": order.reduce_only,
        "trail": None if order.trail is None else msgspec.to_builtins(order.trail),
        "due_at": moment(order.due_at_ms or None),
        "expires_at": moment(order.expires_at_ms),
        "group": order.link.group if order.link else "",
        "native": order.native_trail or (order.link is not None and order.link.native),
        "plan": order.plan,
        "strategy": order.strategy,
        "request_key": order.request_key,
        "venue_order_id": order.venue_order_id,
        "reason": order.reason,
        "review": order.review,
    }


def _conditions(order: Order) -> list[Any]:
    """Those that must hold together, and as lists those of which one is enough."""
    return [*map(msgspec.to_builtins, order.conditions), *(list(map(msgspec.to_builtins, g)) for g in order.any_of)]


def fill_record(fill: Fill) -> dict[str, Any]:
    """One execution, in the same words."""
    return {
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "account_id": fill.account,
        "instrument_name": fill.instrument,
        "direction": str(fill.side),
        "amount": exact(fill.amount),
        "price": exact(fill.price),
        "fee": exact(fill.fee),
        "fee_currency": fill.fee_currency,
        "executed_at": moment(fill.filled_at_ms),
    }


def executed_at_ms(fills: Iterable[Fill]) -> int | None:
    """When the newest of them happened."""
    return max((fill.filled_at_ms for fill in fills), default=None)


def exact(value: Decimal | None) -> Decimal | None:
    """The same figure, printing without exponent and without zeros at its end."""
    return None if value is None else Decimal(plain(value))


def moment(at_ms: int | None) -> datetime | None:
    """UTC with a zone, to the millisecond."""
    return (
        None if at_ms is None else datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    )
