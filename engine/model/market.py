"""What the node knows of one instrument's market, and how old each part of it is.

`MarketState` has one writer, the instrument's feed, and is read in place by everyone on the loop. It belongs to the
feed's slot, not to an incarnation: it outlives restarts and moves between streaming and polling. Every class of data
carries where it came from and when, so that a reader can always tell fresh from stale; age is judged by data, not by
the health of a socket.
"""

from enum import StrEnum

import msgspec

from engine.model.book import Book
from engine.model.instruments import Instrument
from engine.model.series import Bars, Trades

INTERVAL_MS = {"1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000}


class DataClass(StrEnum):
    BOOK = "book"
    TICKER = "ticker"
    TRADES = "trades"
    BARS = "bars"


class Source(StrEnum):
    NONE = "none"
    STREAM = "stream"
    REST = "rest"


class Freshness:
    """Source and time of the newest data of one class. Times are monotonic seconds."""

    __slots__ = ("bound_s", "source", "updated_s")

    def __init__(self, bound_s: float) -> None:
        self.bound_s = bound_s
        self.source = Source.NONE
        self.updated_s = float("-inf")

    def touch(self, source: Source, now_s: float) -> None:
        self.source = source
        self.updated_s = now_s

    def age_s(self, now_s: float) -> float:
        return now_s - self.updated_s

    def stale(self, now_s: float) -> bool:
        return now_s - self.updated_s > self.bound_s


class Ticker:
    """The newest summary of the market. A figure the venue did not give is None, never zero."""

    __slots__ = ("ask", "bid", "funding", "index", "last", "mark", "open_interest", "venue_ms")

    def __init__(self) -> None:
        self.bid: float | None = None
        self.ask: float | None = None
        self.last: float | None = None
        self.mark: float | None = None
        self.index: float | None = None
        self.funding: float | None = None
        self.open_interest: float | None = None
        self.venue_ms = 0


class MarketState:
    """Book, ticker, trades and bars of one instrument with the freshness of each."""

    __slots__ = ("bars", "book", "fresh", "instrument", "mode", "ticker", "trades", "updates")

    def __init__(
        self,
        instrument: str,
        *,
        bounds_s: dict[DataClass, float],
        intervals: tuple[str, ...] = (),
        bars_kept: int = 500,
        trades_kept: int = 1000,
    ) -> None:
        self.instrument = instrument
        self.book = Book()
        self.ticker = Ticker()
        self.trades = Trades(trades_kept)
        self.bars = {interval: Bars(INTERVAL_MS[interval], bars_kept) for interval in intervals}
        self.fresh = {data_class: Freshness(bound_s) for data_class, bound_s in bounds_s.items()}
        self.mode = "starting"
        self.updates = 0

    def touch(self, data_class: DataClass, source: Source, now_s: float) -> None:
        """Note that `data_class` was just written from `source`."""
        self.updates += 1
        fresh = self.fresh.get(data_class)
        if fresh is not None:
            fresh.touch(source, now_s)

    def stale_classes(self, now_s: float) -> list[DataClass]:
        """The classes whose newest data is older than their bound, those never seen among them."""
        return [data_class for data_class, fresh in self.fresh.items() if fresh.stale(now_s)]

    def summary(self, now_s: float) -> "MarketSummary":
        bid, ask = self.book.best_bid(), self.book.best_ask()
        return MarketSummary(
            instrument=self.instrument,
            mode=self.mode,
            bid=bid[0] if bid else self.ticker.bid,
            ask=ask[0] if ask else self.ticker.ask,
            last=self.ticker.last,
            mark=self.ticker.mark,
            updates=self.updates,
            gaps=self.book.gaps,
            classes={
                name: ClassSummary(
                    source=fresh.source,
                    age_s=None if fresh.source is Source.NONE else round(fresh.age_s(now_s), 3),
                    stale=fresh.stale(now_s),
                )
                for name, fresh in self.fresh.items()
            },
        )


class VenueState:
    """What is known of one venue: instruments, its clock, the markets. Written by its session and feeds, read in place.

    The venue's time is kept as an offset to our *monotonic* clock, so a jump of the wall clock moves nothing.
    """

    __slots__ = ("_anchor_ms", "_anchor_s", "instruments", "markets", "name", "problem")

    def __init__(self, name: str) -> None:
        self.name = name
        self.instruments: dict[str, Instrument] = {}  # by native symbol
        self.markets: dict[str, MarketState] = {}  # by native symbol
        self.problem = "not reached yet"  # empty while the venue answers
        self._anchor_ms: float | None = None
        self._anchor_s = 0.0

    def set_time(self, venue_ms: float, now_s: float) -> None:
        """The venue's clock showed `venue_ms` at monotonic `now_s`."""
        self._anchor_ms = venue_ms
        self._anchor_s = now_s

    def now_ms(self, now_s: float) -> int | None:
        """The venue's time now, None before the first reading."""
        return None if self._anchor_ms is None else int(self._anchor_ms + (now_s - self._anchor_s) * 1000)


class ClassSummary(msgspec.Struct, frozen=True):
    """Freshness of one data class as shown to people; `age_s` is None when nothing ever came."""

    source: Source
    age_s: float | None
    stale: bool


class MarketSummary(msgspec.Struct, frozen=True):
    """One line of `tradenode feeds`."""

    instrument: str
    mode: str
    bid: float | None
    ask: float | None
    last: float | None
    mark: float | None
    updates: int
    gaps: int
    classes: dict[DataClass, ClassSummary]
