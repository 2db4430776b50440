"""The simulator's truth of one symbol, as its control endpoint tells it, in the shape the judge compares."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from engine.model import BAR_COLUMNS, TRADE_COLUMNS, Columns
from scripts.drills._stress_judge import BookTruth, MarketTruth
from scripts.drills._stress_plan import VENUE

__all__ = ["Truth", "bar_columns", "decoded"]

_LEVELS = 20

_KLINE = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)  # where a row of twelve has `BAR_COLUMNS`


class Truth(msgspec.Struct, frozen=True):
    """All of one symbol, at one moment."""

    market: MarketTruth
    book: BookTruth


def decoded(body: bytes, symbol: str, intervals: Sequence[str]) -> Truth:
    """Reads the answer of `GET /truth`: the bars are those of the venue's own life."""
    told: dict[str, Any] = msgspec.json.decode(body)[VENUE][symbol]
    book = told["book"]
    market = MarketTruth(
        bars={name: bar_columns([*told["bars"][name]["closed"], told["bars"][name]["open"]]) for name in intervals},
        trades=_trades(told["agg_trades"]),
        asked_ms=told["time"],
        marks={frame["E"]: _mark(frame) for frame in told["marks_told"]},
        samples={"open_interest": _interest(told["open_interest_hist"])},
    )
    return Truth(market, BookTruth(book["lastUpdateId"], _levels(book["bids"]), _levels(book["asks"])))


def _mark(frame: Mapping[str, Any]) -> Mapping[str, float]:
    names = {"mark": "p", "index": "i", "funding": "r", "next_funding_ms": "T"}
    return {name: float(frame[key]) for name, key in names.items()}


def bar_columns(rows: Sequence[Sequence[Any]]) -> Columns:
    """Klines as rows of `BAR_COLUMNS`."""
    table = [[float(row[column]) for column in _KLINE] for row in rows]
    return np.array(table, dtype=np.float64).reshape(len(rows), len(BAR_COLUMNS))


def _trades(rows: Sequence[Mapping[str, Any]]) -> Columns:
    table = [(row["T"], float(row["p"]), float(row["q"]), -1 if row["m"] else 1, row["a"]) for row in rows]
    return np.array(table, dtype=np.float64).reshape(len(rows), len(TRADE_COLUMNS))


def _levels(rows: Sequence[Sequence[str]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(price), float(amount)) for price, amount in rows[:_LEVELS])


def _interest(rows: Sequence[Mapping[str, Any]]) -> Columns:
    table = [(row["timestamp"], float(row["sumOpenInterest"]), float(row["sumOpenInterestValue"])) for row in rows]
    return np.array(table, dtype=np.float64).reshape(len(rows), 3)
