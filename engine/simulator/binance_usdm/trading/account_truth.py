"""What is really so about an account, for drills to compare a client's view with."""

from typing import Any

from engine.simulator.binance_usdm.trading.holder import Holder
from engine.simulator.binance_usdm.trading.terms import status_of, terms_of

__all__ = ["truth_of"]


def truth_of(holder: Holder) -> dict[str, Any]:
    """`orders` of any state by order id, `algos` by their own, `fills` oldest first, `positions` by symbol (and leg, as in
    "BTCUSDT#LONG", where both ways are held at once), `balances` by asset."""
    account = holder.account
    return {
        "orders": {
            order.order_id: {
                "order_id": order.order_id,
                "client_id": terms_of(order).client_id,
                "symbol": order.instrument,
                "side": order.side.value.upper(),
                "position_side": order.leg or "BOTH",
                "type": terms_of(order).type,
                "time_in_force": terms_of(order).lifetime,
                "status": status_of(order),
                "quantity": order.amount,
                "filled": order.filled,
                "price": order.price,
                "reduce_only": order.reduce_only,
                "cancel_reason": order.cancel_reason,
                "algo_id": terms_of(order).algo_id,
                "time": order.created_ms,
            }
            for order in account.orders.values()
        },
        "algos": {
            algo.algo_id: {
                "algo_id": algo.algo_id,
                "client_id": algo.client_id,
                "symbol": algo.symbol,
                "side": algo.side.value.upper(),
                "type": algo.type,
                "status": algo.status,
                "quantity": algo.quantity,
                "trigger_price": algo.trigger_price,
                "order_id": algo.actual_id,
                "reason": algo.reason,
            }
            for algo in holder.algos.values()
        },
        "fills": [
            {
                "trade_id": fill.trade.trade_id,
                "order_id": fill.order_id,
                "client_id": terms_of(account.orders[fill.order_id]).client_id,
                "symbol": fill.trade.instrument,
                "side": fill.side.value.upper(),
                "quantity": fill.trade.amount,
                "price": fill.trade.price,
                "fee": fill.fee,
                "fee_asset": fill.fee_currency,
                "profit": fill.profit,
                "maker": fill.maker,
                "time": fill.trade.at_ms,
            }
            for fill in account.fills
            if fill.order_id in account.orders
        ],
        "positions": {name: position.size for name, position in account.positions.items() if position.size},
        "balances": {asset: wallet.balance + wallet.session_profit for asset, wallet in account.wallets.items()},
    }
