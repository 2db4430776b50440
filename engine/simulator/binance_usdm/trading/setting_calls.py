"""What an account may set: leverage, margin types, and whether it holds both ways at once."""

from typing import Any

from engine.simulator.binance_usdm.errors import ApiError, missing
from engine.simulator.binance_usdm.params import number
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.events import config_update
from engine.simulator.binance_usdm.trading.holder import ASSET
from engine.simulator.binance_usdm.trading.position_calls import HOLDING_LEGS, MAX_NOTIONAL, standing_of
from engine.simulator.binance_usdm.trading.reading import flag, one_of
from engine.simulator.margin import view

__all__: list[str] = []

_DONE = {"code": 200, "msg": "success"}
_ISOLATED = {"ISOLATED": True, "CROSSED": False}


@private("POST", "/fapi/v1/leverage")
def set_leverage(ask: Ask) -> Any:
    desk, holder, leverage = ask.desk, ask.holder, number(ask.params, "leverage")
    if leverage is None:
        raise missing("leverage")
    if not 1 <= leverage <= desk.market.instrument.max_leverage:
        raise ApiError(400, -4028, f"Leverage {leverage} is not valid")
    before = holder.leverage[desk.symbol]
    holder.set_leverage(desk.symbol, leverage)
    standing = view(holder.account, ASSET, ask.side.exchange.markets)
    if leverage < before and standing.initial_margin > standing.equity:
        holder.set_leverage(desk.symbol, before)
        raise ApiError(400, -2019, "Margin is insufficient.")
    if leverage != before:
        ask.side.publish(holder, config_update(desk.symbol, leverage, ask.now_ms))
    return {"leverage": leverage, "maxNotionalValue": str(MAX_NOTIONAL), "symbol": desk.symbol}


@private("POST", "/fapi/v1/marginType")
def set_margin_type(ask: Ask) -> Any:
    desk, holder = ask.desk, ask.holder
    if "marginType" not in ask.params:
        raise missing("marginType")
    isolated = one_of(ask.params, "marginType", _ISOLATED)
    if isolated is (desk.symbol in holder.isolated):
        raise ApiError(400, -4046, "No need to change margin type.")
    if any(order.instrument == desk.symbol for order in holder.account.live.values()):
        raise ApiError(400, -4047, "Margin type cannot be changed if there exists open orders.")
    if any(standing_of(holder, desk, leg).size for leg in HOLDING_LEGS[holder.hedge]):
        raise ApiError(400, -4048, "Margin type cannot be changed if there exists position.")
    holder.isolated.symmetric_difference_update((desk.symbol,))
    return _DONE


@private("POST", "/fapi/v1/positionSide/dual")
def set_dual(ask: Ask) -> Any:
    if "dualSidePosition" not in ask.params:
        raise missing("dualSidePosition")
    hedge, account = flag(ask.params, "dualSidePosition"), ask.holder.account
    if hedge is ask.holder.hedge:
        raise ApiError(400, -4059, "No need to change position side.")
    if account.live or ask.holder.open_algos:
        raise ApiError(400, -4067, "Position side cannot be changed if there exists open orders.")
    if any(position.size for position in account.positions.values()):
        raise ApiError(400, -4068, "Position side cannot be changed if there exists position.")
    ask.holder.hedge = hedge
    return _DONE


@private("GET", "/fapi/v1/positionSide/dual", weight=30)
def get_dual(ask: Ask) -> Any:
    return {"dualSidePosition": ask.holder.hedge}


@private("GET", "/fapi/v1/multiAssetsMargin", weight=30)
def get_multi_assets(_ask: Ask) -> Any:
    return {"multiAssetsMargin": False}


@private("GET", "/fapi/v1/symbolConfig", weight=5)
def symbol_config(ask: Ask) -> Any:
    only, holder = ask.desk_if_given, ask.holder
    return [
        {
            "symbol": symbol,
            "marginType": "ISOLATED" if symbol in holder.isolated else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": holder.leverage[symbol],
            "maxNotionalValue": str(MAX_NOTIONAL),
        }
        for symbol in (ask.side.desks if only is None else (only.symbol,))
    ]
