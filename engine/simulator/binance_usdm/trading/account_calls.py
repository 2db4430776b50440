"""Balances and what else there is to know about an account."""

from decimal import Decimal
from typing import Any

from engine.simulator.binance_usdm.listing_queries import RATE_LIMITS
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.holder import ASSET
from engine.simulator.binance_usdm.trading.position_calls import HOLDING_LEGS, MAX_NOTIONAL, Standing, standing_of
from engine.simulator.binance_usdm.trading.rows import MONEY, written
from engine.simulator.margin import WalletView, view

__all__: list[str] = []

FEE_TIER = 0
ALIAS = "SgsR"


def _view(ask: Ask) -> WalletView:
    return view(ask.holder.account, ASSET, ask.side.exchange.markets)


def _money(amount: Decimal) -> str:
    return written(amount, MONEY)


@private("GET", "/fapi/v2/balance", "/fapi/v3/balance", weight=5)
def balance(ask: Ask) -> Any:
    standing = _view(ask)
    held = _money(standing.balance + standing.session_realised)
    return [
        {
            "accountAlias": ALIAS,
            "asset": ASSET,
            "balance": held,
            "crossWalletBalance": held,
            "crossUnPnl": _money(standing.session_unrealised),
            "availableBalance": _money(standing.available),
            "maxWithdrawAmount": _money(standing.available),
            "marginAvailable": True,
            "updateTime": ask.now_ms,
        }
    ]


@private("GET", "/fapi/v3/account", weight=5)
def account(ask: Ask) -> Any:
    """Only positions that are live."""
    standings = _standings(ask)
    return _totals(ask, standings) | {
        "assets": [_asset(ask, standings)],
        "positions": [_position(standing) for standing in standings if standing.is_live],
    }


@private("GET", "/fapi/v2/account", weight=5)
def old_account(ask: Ask) -> Any:
    """All symbols' positions, and some settings."""
    standings, holder = _standings(ask), ask.holder
    rows = [
        _position(standing)
        | {
            "leverage": str(holder.leverage[standing.desk.symbol]),
            "isolated": standing.desk.symbol in holder.isolated,
            "entryPrice": _money(standing.entry),
            "maxNotional": str(MAX_NOTIONAL),
        }
        for standing in standings
    ]
    return (
        {
            "feeTier": FEE_TIER,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
            "updateTime": 0,
        }
        | _totals(ask, standings)
        | {"assets": [_asset(ask, standings)], "positions": rows}
    )


def _standings(ask: Ask) -> list[Standing]:
    legs = HOLDING_LEGS[ask.holder.hedge]
    return [standing_of(ask.holder, desk, leg) for desk in ask.side.desks.values() for leg in legs]


def _totals(ask: Ask, standings: list[Standing]) -> dict[str, Any]:
    asset = _asset(ask, standings)
    return {
        "totalInitialMargin": asset["initialMargin"],
        "totalMaintMargin": asset["maintMargin"],
        "totalWalletBalance": asset["walletBalance"],
        "totalUnrealizedProfit": asset["unrealizedProfit"],
        "totalMarginBalance": asset["marginBalance"],
        "totalPositionInitialMargin": asset["positionInitialMargin"],
        "totalOpenOrderInitialMargin": asset["openOrderInitialMargin"],
        "totalCrossWalletBalance": asset["crossWalletBalance"],
        "totalCrossUnPnl": asset["crossUnPnl"],
        "availableBalance": asset["availableBalance"],
        "maxWithdrawAmount": asset["maxWithdrawAmount"],
    }


def _asset(ask: Ask, standings: list[Standing]) -> dict[str, Any]:
    standing = _view(ask)
    held = _money(standing.balance + standing.session_realised)
    return {
        "asset": ASSET,
        "walletBalance": held,
        "unrealizedProfit": _money(standing.session_unrealised),
        "marginBalance": _money(standing.equity),
        "maintMargin": _money(standing.maintenance_margin),
        "initialMargin": _money(standing.initial_margin),
        "positionInitialMargin": _money(sum((row.margin.initial for row in standings), Decimal(0))),
        "openOrderInitialMargin": _money(sum((row.margin.orders for row in standings), Decimal(0))),
        "crossWalletBalance": held,
        "crossUnPnl": _money(standing.session_unrealised),
        "availableBalance": _money(standing.available),
        "maxWithdrawAmount": _money(standing.available),
        "marginAvailable": True,
        "updateTime": ask.now_ms,
    }


def _position(standing: Standing) -> dict[str, Any]:
    return {
        "symbol": standing.desk.symbol,
        "positionSide": standing.leg or "BOTH",
        "positionAmt": written(standing.size, standing.desk.amount_decimals),
        "unrealizedProfit": _money(standing.profit),
        "isolatedMargin": "0",
        "notional": _money(standing.notional),
        "isolatedWallet": "0",
        "initialMargin": _money(standing.initial),
        "maintMargin": _money(standing.margin.maintenance),
        "updateTime": standing.changed_ms,
    }


@private("GET", "/fapi/v1/accountConfig", weight=5)
def account_config(ask: Ask) -> Any:
    return {
        "feeTier": FEE_TIER,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": ask.holder.hedge,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


@private("GET", "/fapi/v1/commissionRate", weight=20)
def commission_rate(ask: Ask) -> Any:
    desk = ask.desk
    contract = desk.market.instrument
    return {
        "symbol": desk.symbol,
        "makerCommissionRate": str(contract.maker_rate),
        "takerCommissionRate": str(contract.taker_rate),
        "rpiCommissionRate": "0",
    }


@private("GET", "/fapi/v1/leverageBracket")
def leverage_brackets(ask: Ask) -> Any:
    """One tier each: margins here do not grow with the position."""
    only = ask.desk_if_given
    rows = []
    for desk in ask.side.desks.values() if only is None else (only,):
        contract = desk.market.instrument
        tier = {
            "bracket": 1,
            "initialLeverage": contract.max_leverage,
            "notionalCap": MAX_NOTIONAL,
            "notionalFloor": 0,
            "maintMarginRatio": float(contract.maintenance_margin),
            "cum": 0.0,
        }
        rows.append({"symbol": desk.symbol, "notionalCoef": 1.0, "brackets": [tier]})
    return rows


@private("GET", "/fapi/v1/rateLimit/order")
def order_limits(_ask: Ask) -> Any:
    return [row for row in RATE_LIMITS if row["rateLimitType"] == "ORDERS"]
