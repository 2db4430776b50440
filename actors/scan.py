"""A scan over every market of a venue, from memory alone: which symbols move, and what stands behind it.

It is an example of how to use the read interface as much as a tool: `analyze_symbol` and `batch_scan` talk to a `DataReader`
and to nothing else, so a scan makes no request however many symbols there are. What depends on bars is computed for
all symbols at once; the rest is a few reads per symbol.

A symbol that lacks an input is reported as unavailable and why. Nothing is assumed in its place.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec
import numpy as np

from actors._momentum import momentum_of, standard
from actors.data import FUNDING, OPEN_INTEREST, SPOT, BadArgument, DataReader, DataUnavailable, ValueInfo
from engine.model import BAR_COLUMNS, INTERVAL_MS, TRADE_COLUMNS, Columns, DataClass, MarketState

INTERVALS = ("1h", "4h")
BARS = 300  # of each interval, at the most
MIN_BARS = 50  # fewer say nothing about a trend
OI_RECORDS = 25  # a day by the hour, both ends included
DEPTH = 20
TRADES = 1000

_CLOSE = BAR_COLUMNS.index("close")
_AMOUNT, _SIDE = TRADE_COLUMNS.index("amount"), TRADE_COLUMNS.index("taker_side")


class Factor(StrEnum):
    """What a scan looks at."""

    MOMENTUM = "momentum"
    OPEN_INTEREST = "open_interest"
    FUNDING = "funding"
    IMBALANCE = "imbalance"
    DELTA = "delta"
    BASIS = "basis"


class Momentum(msgspec.Struct, frozen=True):
    """Of one interval: the return over `RETURN_BARS` bars, the slope of the moving average of the logarithm of the price (per
    bar), and the standard deviation of a bar's logarithmic return.
    """

    change: float
    slope: float
    volatility: float


class ScanRow(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol. A factor that was not asked for is None; all are fractions, not percents.

    `score` ranks: the mean of the factors' distances from the average symbol in standard deviations, those of a rate or a
    basis that longs pay counted against it. `stale` and `degraded` name the inputs that were.
    """

    symbol: str
    score: float
    price: float
    momentum: dict[str, Momentum]
    open_interest_change: float | None = None  # over a day
    funding: float | None = None  # the rate of one interval
    imbalance: float | None = None  # (bids - asks) / both, 20 levels
    delta: float | None = None  # (bought - sold) / both, recent trades
    basis: float | None = None  # mark over spot, less 1
    stale: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


class NotScanned(msgspec.Struct, frozen=True):
    """A symbol that lacks an input."""

    symbol: str
    what: str
    why: str


class Scan(msgspec.Struct, frozen=True):
    """`rows` by score, the highest first; `factors` and `intervals` are what was looked at."""

    rows: tuple[ScanRow, ...]
    unavailable: tuple[NotScanned, ...]
    factors: tuple[Factor, ...]
    intervals: tuple[str, ...]


class Reading(msgspec.Struct):
    """What was read of one symbol."""

    symbol: str
    closes: dict[str, Columns]
    figures: dict[Factor, float]
    infos: dict[str, ValueInfo]


def batch_scan(
    data: DataReader,
    symbols: Sequence[str],
    *,
    factors: Sequence[Factor] = tuple(Factor),
    intervals: Sequence[str] = INTERVALS,
) -> Scan:
    """Scan these symbols; loop thread, no `await` inside, so every row is of one moment. Raises `BadArgument`."""
    _check(intervals)
    readings: list[Reading] = []
    unavailable: list[NotScanned] = []
    for symbol in symbols:
        try:
            readings.append(analyze_symbol(data, symbol, factors=factors, intervals=intervals))
        except DataUnavailable as error:
            unavailable.append(NotScanned(error.symbol, error.what, error.why))
    rows = _rows(readings, factors, intervals) if readings else []
    return Scan(tuple(rows), tuple(unavailable), tuple(factors), tuple(intervals))


def analyze_symbol(
    data: DataReader, symbol: str, *, factors: Sequence[Factor] = tuple(Factor), intervals: Sequence[str] = INTERVALS
) -> Reading:
    """Read what a scan needs of one symbol. Raises `DataUnavailable` for the first input that is missing."""
    reading = Reading(symbol, {}, {}, {})
    for interval in intervals:
        bars, reading.infos[f"bars {interval}"] = data.view_klines(symbol, interval, BARS)
        if len(bars) < MIN_BARS:
            raise DataUnavailable(symbol, f"bars {interval}", f"at least {MIN_BARS} are needed, {len(bars)} are there")
        reading.closes[interval] = bars[:, _CLOSE]
    for factor in factors:
        look = _LOOKS.get(factor)
        if look is not None:
            reading.figures[factor], reading.infos[factor] = look(data, symbol)
    return reading


# ── one factor each ────────────────────────────────────────────────────────────────────────────────────────────────────

Look: TypeAlias = Callable[[DataReader, str], tuple[float, ValueInfo]]


def _open_interest(data: DataReader, symbol: str) -> tuple[float, ValueInfo]:
    rows, columns, info = data.view_samples(symbol, OPEN_INTEREST, OI_RECORDS)
    if len(rows) < OI_RECORDS:
        raise DataUnavailable(symbol, "open interest", f"{OI_RECORDS} records are needed, {len(rows)} are there")
    first, last = rows[[0, -1], columns.index("sum_open_interest")].tolist()
    return _ratio(symbol, "open interest", last - first, first), info


def _funding(data: DataReader, symbol: str) -> tuple[float, ValueInfo]:
    funding = data.funding_rate(symbol)
    return float(funding["rate"]), funding.info


def _imbalance(data: DataReader, symbol: str) -> tuple[float, ValueInfo]:
    book = data.orderbook(symbol, DEPTH)
    bids, asks = (sum(amount for _, amount in book[side]) for side in ("bids", "asks"))
    return _ratio(symbol, "book", bids - asks, bids + asks), book.info


def _delta(data: DataReader, symbol: str) -> tuple[float, ValueInfo]:
    trades, info = data.view_trades(symbol, TRADES)
    amounts = trades[:, _AMOUNT]
    return _ratio(symbol, "trades", float(amounts @ trades[:, _SIDE]), float(amounts.sum())), info


def _basis(data: DataReader, symbol: str) -> tuple[float, ValueInfo]:
    mark, spot = data.mark_price(symbol), data.spot_price(symbol)
    older = max(mark.info, spot.info, key=lambda info: (info.stale, info.age_s or 0.0))
    return _ratio(symbol, "spot price", mark["markPrice"] - spot, spot), older


def _ratio(symbol: str, what: str, part: float, whole: float) -> float:
    if not whole > 0:
        raise DataUnavailable(symbol, what, f"expected amounts above zero, got {whole}")
    return float(part / whole)


_LOOKS: Mapping[Factor, Look] = {
    Factor.OPEN_INTEREST: _open_interest,
    Factor.FUNDING: _funding,
    Factor.IMBALANCE: _imbalance,
    Factor.DELTA: _delta,
    Factor.BASIS: _basis,
}


# ── all symbols at once ────────────────────────────────────────────────────────────────────────────────────────────────


def _rows(readings: Sequence[Reading], factors: Sequence[Factor], intervals: Sequence[str]) -> list[ScanRow]:
    momentum = {interval: momentum_of([reading.closes[interval] for reading in readings]) for interval in intervals}
    marks: list[Columns] = []
    if Factor.MOMENTUM in factors:
        marks += [standard(slope / np.maximum(volatility, 1e-12)) for _, slope, volatility in momentum.values()]
    for factor in factors:
        if factor in _LOOKS:
            sign = -1.0 if factor in (Factor.FUNDING, Factor.BASIS) else 1.0
            marks.append(sign * standard(np.array([reading.figures[factor] for reading in readings])))
    scores = np.mean(marks, axis=0) if marks else np.zeros(len(readings))
    table = {interval: np.stack(columns, axis=1).tolist() for interval, columns in momentum.items()}
    rows = [
        _row(reading, float(scores[n]), {interval: Momentum(*table[interval][n]) for interval in intervals})
        for n, reading in enumerate(readings)
    ]
    return sorted(rows, key=lambda row: (-row.score, row.symbol))


def _row(reading: Reading, score: float, momentum: dict[str, Momentum]) -> ScanRow:
    figures = reading.figures
    return ScanRow(
        symbol=reading.symbol,
        score=score,
        price=float(next(iter(reading.closes.values()))[-1]),
        momentum=momentum,
        open_interest_change=figures.get(Factor.OPEN_INTEREST),
        funding=figures.get(Factor.FUNDING),
        imbalance=figures.get(Factor.IMBALANCE),
        delta=figures.get(Factor.DELTA),
        basis=figures.get(Factor.BASIS),
        stale=tuple(name for name, info in reading.infos.items() if info.stale),
        degraded=tuple(name for name, info in reading.infos.items() if info.degraded),
    )


# ── a whole venue ──────────────────────────────────────────────────────────────────────────────────────────────────────


def scan(
    data: DataReader,
    venue: str = "",
    *,
    factors: Sequence[Factor] | None = None,
    intervals: Sequence[str] | None = None,
) -> Scan:
    """Scan every followed symbol of a venue, the default one unless it is named; loop thread, without an `await`.

    Without `factors` those the venue has data for at all, without `intervals` those of `INTERVALS` that are followed, or else
    the two longest. Raises `BadArgument`.
    """
    markets = data.markets(venue)
    states = list(markets.values())
    chosen = tuple(factor for factor in Factor if _offered(factor, states)) if factors is None else tuple(factors)
    return batch_scan(data, tuple(markets), factors=chosen, intervals=intervals or _followed(states))


def _offered(factor: Factor, markets: Sequence[MarketState]) -> bool:
    return any(map(_OFFERED[factor], markets))


_OFFERED: Mapping[Factor, Callable[[MarketState], bool]] = {
    Factor.MOMENTUM: lambda market: bool(market.bars),
    Factor.OPEN_INTEREST: lambda market: OPEN_INTEREST in market.samples,
    Factor.FUNDING: lambda market: FUNDING in market.samples or market.ticker.funding is not None,
    Factor.IMBALANCE: lambda market: DataClass.BOOK in market.fresh,
    Factor.DELTA: lambda market: DataClass.TRADES in market.fresh,
    Factor.BASIS: lambda market: SPOT in market.samples and market.mark_fresh is not None,
}


def _followed(markets: Sequence[MarketState]) -> tuple[str, ...]:
    followed = {interval for market in markets for interval in market.bars}
    wanted = tuple(interval for interval in INTERVALS if interval in followed)
    return wanted or tuple(sorted(followed, key=INTERVAL_MS.__getitem__, reverse=True)[:2])


def _check(intervals: Sequence[Any]) -> None:
    unknown = [str(interval) for interval in intervals if interval not in INTERVAL_MS]
    if unknown or not intervals:
        raise BadArgument("intervals", f"some of {', '.join(INTERVAL_MS)}", ", ".join(unknown) or "none")
