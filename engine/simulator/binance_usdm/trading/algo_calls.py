"""Placing and cancelling conditional orders."""

from decimal import Decimal
from typing import Any

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.errors import ApiError, missing, not_valid
from engine.simulator.binance_usdm.params import number
from engine.simulator.binance_usdm.trading.algo import FAR, Algo, Trailing
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.filters import check_notional, check_price, check_quantity
from engine.simulator.binance_usdm.trading.placing import (
    ALGO_TYPES,
    PREVENTIONS,
    SIDES,
    duplicate,
    good_till,
    leg_of,
    lifetime_of,
    price_match,
)
from engine.simulator.binance_usdm.trading.reading import client_id, decimal, flag, needed, one_of, refuse_extra
from engine.simulator.binance_usdm.trading.refusals import not_cancelled
from engine.simulator.binance_usdm.trading.rows import written
from engine.simulator.orders import ZERO, Family, Kind, Reference, Side, Trigger

__all__ = ["algo_row", "sent_algo"]

MAX_OPEN = 200  # of an account
TRAILING = "TRAILING_STOP_MARKET"
_WORKING = {"CONTRACT_PRICE": Reference.LAST, "MARK_PRICE": Reference.MARK}
_CONDITIONAL = {"CONDITIONAL": True}
MIN_RATE, MAX_RATE = Decimal("0.1"), Decimal(10)  # per cent


@private("POST", "/fapi/v1/algoOrder", weight=0, orders=(1, 1))
def place_algo(ask: Ask) -> Any:
    """Nothing is asked of the balance before it fires."""
    params, desk, now_ms = ask.params, ask.desk, ask.now_ms
    one_of(params, "algoType", _CONDITIONAL)
    side = one_of(params, "side", SIDES, error=ApiError(400, -1117, "Invalid side."))
    kind = one_of(params, "type", ALGO_TYPES, error=ApiError(400, -1116, "Invalid orderType."))
    leg, reduce_only = leg_of(ask, side)
    close = _closes(ask, kind)
    quantity = ZERO if close else needed(params, "quantity")
    match, price = "NONE", None
    word = "GTC"
    if kind is Kind.LIMIT:
        word, _ = lifetime_of(params.get("timeInForce", "GTC"))
        match = price_match(ask)
        price = needed(params, "price") if match == "NONE" else None
    own_id = client_id(params, "clientAlgoId") or ask.side.draw_id()
    algo = Algo(
        algo_id=ask.side.next_algo_id(),
        client_id=own_id,
        holder=ask.holder,
        symbol=desk.symbol,
        side=side,
        leg=leg,
        type=params["type"],
        lifetime=word,
        quantity=quantity,
        price=price,
        trigger=_trigger(ask, side),
        working=params.get("workingType", "CONTRACT_PRICE"),
        reduce_only=reduce_only,
        close=close,
        protect=flag(params, "priceProtect"),
        prevention=_prevention(ask),
        price_match=match,
        good_till_ms=good_till(ask, word),
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    _check(desk, algo)
    ask.side.algos.add(algo)
    return algo_row(desk, algo)


def _closes(ask: Ask, kind: Kind) -> bool:
    """Whether all of a position is to be closed, however much it will be then."""
    if not flag(ask.params, "closePosition"):
        return False
    if kind is Kind.LIMIT or ask.params["type"] == TRAILING:
        refuse_extra(ask.params, "closePosition")
    if "quantity" in ask.params:
        raise ApiError(400, -4137, "Quantity must be zero with closePosition equals true.")
    if flag(ask.params, "reduceOnly"):
        refuse_extra(ask.params, "reduceOnly")
    return True


def _trigger(ask: Ask, side: Side) -> Trigger:
    params = ask.params
    reference = one_of(params, "workingType", _WORKING, "CONTRACT_PRICE")
    if params["type"] == TRAILING:
        rate = needed(params, "callbackRate")
        if not MIN_RATE <= rate <= MAX_RATE:
            raise not_valid("callbackRate")
        start = ZERO if side is Side.SELL else FAR
        activate = decimal(params, "activatePrice")
        return Trailing(
            family=Family.TRAILING, reference=reference, price=start, offset=ZERO, rate=rate / 100, activate=activate
        )
    refuse_extra(params, "callbackRate", "activatePrice")
    family = Family.TAKE if params["type"].startswith("TAKE_PROFIT") else Family.STOP
    return Trigger(family=family, reference=reference, price=needed(params, "triggerPrice"))


def _prevention(ask: Ask) -> str:
    one_of(ask.params, "selfTradePreventionMode", PREVENTIONS, "EXPIRE_MAKER")
    return ask.params.get("selfTradePreventionMode", "EXPIRE_MAKER")


def _check(desk: Desk, algo: Algo) -> None:
    trigger, open_algos = algo.trigger, algo.holder.open_algos
    assert trigger is not None, "it was just read"
    if algo.trigger_price or not isinstance(trigger, Trailing):
        check_price(desk, algo.trigger_price)
    if algo.price is not None:
        check_price(desk, algo.price)
    if not algo.close:
        check_quantity(desk, algo.quantity, market=algo.price is None and algo.price_match == "NONE")
    if not (algo.close or algo.reduce_only):
        check_notional(desk, algo.quantity, algo.price or algo.trigger_price or desk.market.mark)
    if any(other.client_id == algo.client_id for other in open_algos.values()):
        raise duplicate()
    if len(open_algos) >= MAX_OPEN:
        raise ApiError(400, -4045, "Reach max stop order limit.")
    if _is_met(algo, trigger, desk.market.reference(trigger.reference)):
        raise ApiError(400, -2021, "Order would immediately trigger.")


def _is_met(algo: Algo, trigger: Trigger, reference: Decimal) -> bool:
    """A trailing one must be told to begin above the price to sell, below it to buy, or at once."""
    if not isinstance(trigger, Trailing):
        return trigger.met(algo.side, reference)
    start = trigger.activate
    return start is not None and (start <= reference if algo.side is Side.SELL else start >= reference)


@private("DELETE", "/fapi/v1/algoOrder")
def cancel_algo(ask: Ask) -> Any:
    algo = sent_algo(ask)
    if algo is None or algo.status != "NEW":
        raise not_cancelled()
    ask.side.algos.end(algo, "CANCELED")
    return {"algoId": algo.algo_id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}


@private("DELETE", "/fapi/v1/algoOpenOrders")
def cancel_algos(ask: Ask) -> Any:
    symbol = ask.desk.symbol
    for algo in list(ask.holder.open_algos.values()):
        if algo.symbol == symbol and algo.status == "NEW":
            ask.side.algos.end(algo, "CANCELED")
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def sent_algo(ask: Ask) -> Algo | None:
    """The conditional order that is asked for; of several with the same client's id the newest."""
    algo_id, own_id = number(ask.params, "algoId"), client_id(ask.params, "clientAlgoId")
    if algo_id is None and own_id is None:
        raise missing("algoId")
    if algo_id is not None:
        return ask.holder.algos.get(algo_id)
    return next((algo for algo in reversed(ask.holder.algos.values()) if algo.client_id == own_id), None)


def algo_row(desk: Desk, algo: Algo) -> dict[str, Any]:
    """What placing answers."""
    trailing = algo.trigger if isinstance(algo.trigger, Trailing) else None
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": desk.symbol,
        "side": algo.side.value.upper(),
        "positionSide": algo.leg or "BOTH",
        "timeInForce": algo.lifetime,
        "quantity": written(algo.quantity, desk.amount_decimals),
        "algoStatus": algo.status,
        "triggerPrice": "0" if trailing is not None else written(algo.trigger_price, desk.price_decimals),
        "price": "0" if algo.price is None else written(algo.price, desk.price_decimals),
        "icebergQuantity": None,
        "selfTradePreventionMode": algo.prevention,
        "workingType": algo.working,
        "priceMatch": algo.price_match,
        "closePosition": algo.close,
        "priceProtect": algo.protect,
        "reduceOnly": algo.reduce_only,
        "activatePrice": _activation(desk, trailing),
        "callbackRate": "" if trailing is None else f"{trailing.rate * 100:f}",
        "createTime": algo.created_ms,
        "updateTime": algo.updated_ms,
        "triggerTime": algo.triggered_ms,
        "goodTillDate": algo.good_till_ms,
    }


def _activation(desk: Desk, trailing: Trailing | None) -> str:
    if trailing is None or trailing.activate is None:
        return ""
    return written(trailing.activate, desk.price_decimals)
