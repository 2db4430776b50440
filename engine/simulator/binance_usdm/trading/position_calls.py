"""Positions, and the margin they and their orders need."""

from decimal import Decimal
from typing import Any

import msgspec

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.events import break_even
from engine.simulator.binance_usdm.trading.holder import ASSET, Holder
from engine.simulator.binance_usdm.trading.rows import MONEY, entry_price, written
from engine.simulator.margin import (
    NO_EXPOSURE,
    NO_POSITION,
    PositionMargin,
    liquidation_price,
    position_margin,
    unrealised,
)
from engine.simulator.orders import holding_of

__all__ = ["HOLDING_LEGS", "Standing", "standing_of"]

HOLDING_LEGS = {False: ("",), True: ("LONG", "SHORT")}  # by whether both ways are held at once
MAX_NOTIONAL = 100_000_000


class Standing(msgspec.Struct, frozen=True):
    """One position of an account, empty or not, and the orders that rest for it."""

    desk: Desk
    holder: Holder
    leg: str
    size: Decimal
    entry: Decimal
    profit: Decimal
    margin: PositionMargin
    buys: Decimal
    sells: Decimal

    @property
    def is_live(self) -> bool:
        return bool(self.size or self.buys or self.sells)

    @property
    def notional(self) -> Decimal:
        return self.size * self.desk.market.mark

    @property
    def initial(self) -> Decimal:
        return self.margin.initial + self.margin.orders

    @property
    def changed_ms(self) -> int:
        return self.holder.leg(self.desk.symbol, self.leg).changed_ms


def standing_of(holder: Holder, desk: Desk, leg: str) -> Standing:
    account, holding = holder.account, holding_of(desk.symbol, leg)
    position = account.positions.get(holding, NO_POSITION)
    exposure = account.exposures.get(holding, NO_EXPOSURE)
    rate = account.initial_rates[desk.symbol]
    return Standing(
        desk,
        holder,
        leg,
        position.size,
        entry_price(position),
        unrealised(desk.market, position),
        position_margin(desk.market, position.size, exposure.buys, exposure.sells, rate),
        exposure.buys,
        exposure.sells,
    )


@private("GET", "/fapi/v3/positionRisk", weight=5)
def live_positions(ask: Ask) -> Any:
    """Only symbols with a position or an open order."""
    return [_live_row(ask, standing) for standing in _standings(ask) if standing.is_live]


@private("GET", "/fapi/v2/positionRisk", weight=5)
def all_positions(ask: Ask) -> Any:
    return [_old_row(ask, standing) for standing in _standings(ask)]


def _standings(ask: Ask) -> list[Standing]:
    only = ask.desk_if_given
    desks = ask.side.desks.values() if only is None else (only,)
    return [standing_of(ask.holder, desk, leg) for desk in desks for leg in HOLDING_LEGS[ask.holder.hedge]]


def _common(ask: Ask, standing: Standing) -> dict[str, Any]:
    desk, market = standing.desk, standing.desk.market
    liquidation = liquidation_price(ask.holder.account, market, ask.side.exchange.markets, standing.leg)
    return {
        "symbol": desk.symbol,
        "positionSide": standing.leg or "BOTH",
        "positionAmt": written(standing.size, desk.amount_decimals),
        "entryPrice": written(standing.entry, MONEY),
        "breakEvenPrice": written(break_even(desk, ask.holder, standing.leg), MONEY),
        "markPrice": written(market.mark, MONEY),
        "unRealizedProfit": written(standing.profit, MONEY),
        "liquidationPrice": "0" if liquidation is None else written(liquidation, MONEY),
        "isolatedMargin": "0",
        "notional": written(standing.notional, MONEY),
        "isolatedWallet": "0",
        "updateTime": standing.changed_ms,
    }


def _live_row(ask: Ask, standing: Standing) -> dict[str, Any]:
    margin, mark = standing.margin, standing.desk.market.mark
    return _common(ask, standing) | {
        "marginAsset": ASSET,
        "initialMargin": written(standing.initial, MONEY),
        "maintMargin": written(margin.maintenance, MONEY),
        "positionInitialMargin": written(margin.initial, MONEY),
        "openOrderInitialMargin": written(margin.orders, MONEY),
        "adl": 0,
        "bidNotional": written(standing.buys * mark, MONEY),
        "askNotional": written(standing.sells * mark, MONEY),
    }


def _old_row(ask: Ask, standing: Standing) -> dict[str, Any]:
    symbol = standing.desk.symbol
    return _common(ask, standing) | {
        "maxNotionalValue": str(MAX_NOTIONAL),
        "leverage": str(ask.holder.leverage[symbol]),
        "marginType": "isolated" if symbol in ask.holder.isolated else "cross",
        "isAutoAddMargin": "false",
    }
