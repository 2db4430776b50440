"""What is listed, and the venue's clock."""

from typing import Any

import msgspec

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.endpoint import Query, endpoint

__all__ = ["MAX_OPEN_ORDERS", "RATE_LIMITS", "symbol_row"]

RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
]
ASSETS = [
    {"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"},
    {"asset": "BTC", "marginAvailable": True, "autoAssetExchange": "-0.10000000"},
    {"asset": "ETH", "marginAvailable": True, "autoAssetExchange": "-5"},
]
MAX_OPEN_ORDERS = 200  # of one symbol
FOREVER_MS = 4_133_404_800_000


@endpoint("/fapi/v1/ping")
def ping(_query: Query) -> Any:
    return {}


@endpoint("/fapi/v1/time")
def time(query: Query) -> Any:
    return {"serverTime": query.now_ms}


@endpoint("/fapi/v1/exchangeInfo")
def exchange_info(query: Query) -> Any:
    return {
        "timezone": "UTC",
        "serverTime": query.now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "assets": ASSETS,
        "symbols": msgspec.Raw(query.listing),
    }


def symbol_row(desk: Desk) -> dict[str, Any]:
    """One listing. Margin percentages and precisions are as misleading here as on the real venue."""
    spec = desk.spec
    return {
        "symbol": spec.symbol,
        "pair": spec.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": FOREVER_MS,
        "onboardDate": spec.onboard_ms,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": spec.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": desk.price_decimals,
        "quantityPrecision": desk.amount_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW" if spec.base == "BTC" else "Layer-1"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _filters(desk),
        "orderTypes": [
            "LIMIT",
            "MARKET",
            "STOP",
            "STOP_MARKET",
            "TAKE_PROFIT",
            "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
    }


def _filters(desk: Desk) -> list[dict[str, Any]]:
    """The keys of a filter come in another order from one symbol to the next."""
    spec = desk.spec
    step = f"{spec.step:f}"
    rows: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": f"{spec.min_price:f}",
            "maxPrice": f"{spec.max_price:f}",
            "tickSize": f"{spec.tick:f}",
        },
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": str(spec.max_amount), "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": str(spec.max_market_amount), "stepSize": step},
        {"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN_ORDERS},
        {"filterType": "MIN_NOTIONAL", "notional": str(spec.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.0500",
            "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]
    turn = len(spec.symbol)
    return [_turned(row, turn + place) for place, row in enumerate(rows)]


def _turned(row: dict[str, Any], turn: int) -> dict[str, Any]:
    keys = list(row)
    first = turn % len(keys)
    return {key: row[key] for key in keys[first:] + keys[:first]}
