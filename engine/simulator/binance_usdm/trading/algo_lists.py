"""Looking at conditional orders."""

from typing import Any

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.endpoint import by_symbol
from engine.simulator.binance_usdm.params import count, number
from engine.simulator.binance_usdm.trading.algo import Algo
from engine.simulator.binance_usdm.trading.algo_calls import algo_row, sent_algo
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.reading import week
from engine.simulator.binance_usdm.trading.refusals import no_such_order
from engine.simulator.binance_usdm.trading.rows import AVERAGE, average, written
from engine.simulator.binance_usdm.trading.terms import terms_of

__all__: list[str] = []


@private("GET", "/fapi/v1/algoOrder")
def get_algo(ask: Ask) -> Any:
    algo = sent_algo(ask)
    if algo is None or not _is_listed(ask, algo):
        raise no_such_order()
    return _row(ask.side.desks[algo.symbol], algo)


@private("GET", "/fapi/v1/openAlgoOrders", weight=by_symbol(1, 40))
def open_algos(ask: Ask) -> Any:
    only, algo_id = ask.desk_if_given, number(ask.params, "algoId")
    return [
        _row(ask.side.desks[algo.symbol], algo)
        for algo in ask.holder.open_algos.values()
        if _is_listed(ask, algo)
        and algo.status == "NEW"
        and (only is None or algo.symbol == only.symbol)
        and algo_id in (None, algo.algo_id)
    ]


@private("GET", "/fapi/v1/allAlgoOrders", weight=5)
def all_algos(ask: Ask) -> Any:
    """From a number on, or of a week at most; the newest if there are more than asked for. Oldest first."""
    desk, limit, first = ask.desk, count(ask.params, default=500, most=1000), number(ask.params, "algoId")
    start_ms, end_ms = week(ask.params, ask.now_ms)
    listed = (algo for algo in ask.holder.algos.values() if algo.symbol == desk.symbol and _is_listed(ask, algo))
    if first is not None:
        algos = [algo for algo in listed if algo.algo_id >= first][:limit]
    else:
        algos = [algo for algo in listed if start_ms <= algo.created_ms <= end_ms][-limit:]
    return [_row(desk, algo) for algo in algos]


def _is_listed(ask: Ask, algo: Algo) -> bool:
    """Queries may deny what is too new, and forget what ended without becoming an order."""
    side, now_ms = ask.side, ask.now_ms
    if now_ms - algo.created_ms < side.hide_orders_ms:
        return False
    is_open = algo.algo_id in algo.holder.open_algos
    return is_open or algo.order is not None or now_ms - algo.updated_ms <= side.forget_unfilled_ms


def _row(desk: Desk, algo: Algo) -> dict[str, Any]:
    """What queries answer: with the order it became."""
    order = algo.order
    if order is None:
        return algo_row(desk, algo) | {"actualOrderId": "", "actualPrice": "0", "actualType": "", "actualQty": "0"}
    return algo_row(desk, algo) | {
        "actualOrderId": order.order_id,
        "actualPrice": written(average(order), AVERAGE),
        "actualType": terms_of(order).type,
        "actualQty": written(order.filled, desk.amount_decimals),
    }
