"""What is really so about an account, for drills to compare a client's view with."""

from typing import Any

from engine.simulator.accounts import Account
from engine.simulator.links import Seat
from engine.simulator.orders import Order

__all__ = ["truth_of"]


def truth_of(account: Account) -> dict[str, Any]:
    """`orders` of any state by order id, `fills` oldest first, `positions` by instrument, `balances` by currency. An order's
    `trigger_order_id` is whose place it took: a condition's that was met, or that of an exit that waited for its entry."""
    return {
        "orders": {
            order.order_id: {
                "order_id": order.order_id,
                "label": order.label,
                "instrument_name": order.instrument,
                "direction": order.side.value,
                "state": order.state.value,
                "amount": order.amount,
                "filled_amount": order.filled,
                "price": order.price,
                "reduce_only": order.reduce_only,
                "cancel_reason": order.cancel_reason,
                "trigger_order_id": order.trigger_order_id or _waited_as(order),
                "conditional": order.trigger is not None or order.waits,
                "creation_timestamp": order.created_ms,
            }
            for order in account.orders.values()
        },
        "fills": [
            {
                "trade_id": fill.trade.trade_id,
                "order_id": fill.order_id,
                "label": fill.label,
                "instrument_name": fill.trade.instrument,
                "direction": fill.side.value,
                "amount": fill.trade.amount,
                "price": fill.trade.price,
                "fee": fill.fee,
                "fee_currency": fill.fee_currency,
                "timestamp": fill.trade.at_ms,
            }
            for fill in account.fills
        ],
        "positions": {name: position.size for name, position in account.positions.items() if position.size},
        "balances": {currency: wallet.balance for currency, wallet in account.wallets.items()},
    }


def _waited_as(order: Order) -> str | None:
    slot = order.seat.slot if isinstance(order.seat, Seat) else None
    return slot.order_id if slot is not None and slot is not order else None
