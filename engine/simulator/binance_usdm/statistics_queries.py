"""Funding and open interest."""

from typing import Any

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.endpoint import Query, endpoint
from engine.simulator.binance_usdm.funding import FundingRow
from engine.simulator.binance_usdm.interest import PERIODS, InterestRow
from engine.simulator.binance_usdm.params import choice, count, span

__all__ = ["interest_row"]


@endpoint("/fapi/v1/fundingRate", bucket="funding")
def funding_rate(query: Query) -> Any:
    """Ascending. With a start the first ones from there, else the last ones."""
    limit = count(query.params, default=100, most=1000)
    start_ms, end_ms = span(query.params)
    desks = [query.desk] if "symbol" in query.params else list(query.desks.values())
    rows = []
    for desk in desks:
        desk.funding.roll(query.now_ms)
        rows += [(row, desk) for row in desk.funding.select(start_ms, end_ms, limit)]
    rows.sort(key=lambda pair: pair[0].at_ms)
    chosen = rows[:limit] if start_ms is not None else rows[-limit:]
    return [_funding_row(desk, row) for row, desk in chosen]


def _funding_row(desk: Desk, row: FundingRow) -> dict[str, Any]:
    return {
        "symbol": desk.symbol,
        "fundingRate": f"{row.rate:.8f}",
        "fundingTime": row.at_ms,
        "markPrice": f"{row.mark:.8f}",
        "rateType": "REGULAR",
    }


@endpoint("/fapi/v1/fundingInfo", weight=1, bucket="funding")
def funding_info(query: Query) -> Any:
    """A symbol that is not in the list has the usual interval and caps."""
    return [_info_row(desk) for number, desk in enumerate(query.desks.values()) if _is_special(desk, number)]


def _is_special(desk: Desk, number: int) -> bool:
    return desk.funding.hours != 8 or number < 2


def _info_row(desk: Desk) -> dict[str, Any]:
    cap = desk.funding.cap
    return {
        "symbol": desk.symbol,
        "adjustedFundingRateCap": f"{cap:.8f}",
        "adjustedFundingRateFloor": f"{-cap:.8f}",
        "fundingIntervalHours": desk.funding.hours,
        "disclaimer": True,
        "updateTime": None,
    }


@endpoint("/fapi/v1/openInterest")
def open_interest(query: Query) -> Any:
    desk = query.desk
    return {"openInterest": desk.amount(desk.interest.steps), "symbol": desk.symbol, "time": query.now_ms}


@endpoint("/futures/data/openInterestHist", bucket="data")
def open_interest_hist(query: Query) -> Any:
    """With a start the first rows from there, else the last ones; the last month only."""
    desk = query.desk
    period = choice(query.params, "period", PERIODS)
    limit = count(query.params, default=30, most=500)
    start_ms, end_ms = span(query.params)
    rows = desk.interest.select(period, query.now_ms, start_ms, end_ms, limit)
    return [interest_row(desk, row) for row in rows]


def interest_row(desk: Desk, row: InterestRow) -> dict[str, Any]:
    coins = row.steps / 10**desk.amount_decimals
    return {
        "symbol": desk.symbol,
        "sumOpenInterest": f"{coins:.8f}",
        "sumOpenInterestValue": f"{row.value:.8f}",
        "CMCCirculatingSupply": f"{desk.spec.open_interest_usd / desk.spec.price * 40:.8f}",
        "timestamp": row.at_ms,
    }
