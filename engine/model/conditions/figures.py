"""Reading one figure of a market in place, with the freshness of exactly the data it comes from.

mark, index and funding are as fresh as the mark price, which some venues send apart from the ticker. bid and ask are the
book's best levels, and the book's freshness; the ticker's where no book is kept. last is the newest public trade, which
comes before the ticker says so (and is the only place it comes to at venues without one); the ticker's where no trades are
followed. Open interest is the ticker's where it tells it, a polled sample's otherwise. The mode of a feed is our own
knowledge and never stale.
"""

from collections.abc import Callable
from math import isfinite

from engine.model.conditions.check import Figure
from engine.model.conditions.terms import MODES
from engine.model.market.freshness import Freshness
from engine.model.market.series import TRADE_COLUMNS
from engine.model.market.state import DataClass, MarketState

_PRICE = TRADE_COLUMNS.index("price")
_INTEREST = "open_interest"
_INTEREST_COLUMN = "sum_open_interest"

Read = Callable[[], float | None]


class MarketFigure:
    """One figure of one market. `data_class` is what its changes are told with, None for what no message tells."""

    __slots__ = ("_fresh", "_read", "data_class")

    def __init__(self, state: MarketState, figure: Figure) -> None:
        self.data_class, self._read, self._fresh = _source(state, figure.name)

    def fresh_value(self, now_s: float) -> float | None:
        """The value, None when there is none to be relied on."""
        fresh = self._fresh()
        if fresh is not None and fresh.stale(now_s):
            return None
        value = self._read()
        return value if value is not None and isfinite(value) else None

    def value(self) -> float | None:
        """The value however old; it may be no number at all."""
        return self._read()

    def age_s(self, now_s: float) -> float | None:
        """How old the value is known to be; None for what has no age, or never came."""
        fresh = self._fresh()
        age_s = None if fresh is None else fresh.age_s(now_s)
        return age_s if age_s is not None and isfinite(age_s) else None

    def stale(self, now_s: float) -> bool:
        fresh = self._fresh()
        return fresh is not None and fresh.stale(now_s)


def _source(state: MarketState, name: str) -> tuple[DataClass | None, Read, Callable[[], Freshness | None]]:
    """What tells it, how it is read, and what its age is judged by."""
    ticker = state.ticker
    match name:
        case "mark" | "index" | "funding":
            told_by = DataClass.MARK if DataClass.MARK in state.fresh else DataClass.TICKER
            return told_by, lambda: getattr(ticker, name), _of(state, told_by)
        case "bid" | "ask":
            if DataClass.BOOK in state.fresh:
                best = state.book.best_bid if name == "bid" else state.book.best_ask
                return DataClass.BOOK, lambda: level[0] if (level := best()) else None, _of(state, DataClass.BOOK)
            return DataClass.TICKER, lambda: getattr(ticker, name), _of(state, DataClass.TICKER)
        case "last":
            if DataClass.TRADES in state.fresh:
                return DataClass.TRADES, lambda: _newest_price(state), _of(state, DataClass.TRADES)
            return DataClass.TICKER, lambda: ticker.last, _of(state, DataClass.TICKER)
        case "open_interest":
            return _open_interest(state)
        case "mode":
            return None, lambda: float(MODES.index(state.mode)), lambda: None
        case _:
            raise ValueError(f"no market has a figure named {name!r}")


def _open_interest(state: MarketState) -> tuple[DataClass | None, Read, Callable[[], Freshness | None]]:
    ticker, of_ticker = state.ticker, _of(state, DataClass.TICKER)

    def read() -> float | None:
        samples = state.samples.get(_INTEREST)
        if ticker.open_interest is not None or samples is None or samples.newest is None:
            return ticker.open_interest
        return samples.newest[samples.columns.index(_INTEREST_COLUMN)]

    def fresh() -> Freshness | None:
        samples = state.samples.get(_INTEREST)
        return of_ticker() if ticker.open_interest is not None or samples is None else samples.fresh

    return (DataClass.TICKER if DataClass.TICKER in state.fresh else None), read, fresh


def _newest_price(state: MarketState) -> float | None:
    newest = state.trades.newest
    return None if newest is None else newest[_PRICE]


_NEVER = Freshness(0.0)


def _of(state: MarketState, data_class: DataClass) -> Callable[[], Freshness | None]:
    """The age of a class; what is not followed at all was never fresh."""
    fresh = state.fresh.get(data_class, _NEVER)
    return lambda: fresh
