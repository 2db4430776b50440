"""What the node knows of one instrument's market, and how old each part of it is.

`MarketState` has one writer, the instrument's feed, and is read in place by everyone on the loop. It belongs to the
feed's slot, not to an incarnation: it outlives restarts and moves between streaming and polling. Every class of data
carries where it came from and when, so that a reader can always tell fresh from stale; age is judged by data, not by
the health of a socket.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from engine.model.instruments import Instrument
from engine.model.market.book import Book
from engine.model.market.freshness import ClassSummary, Freshness, Source, summary_of
from engine.model.market.quality import Quality, QualitySummary
from engine.model.market.samples import Samples
from engine.model.market.series import Bars, Series, Trades

FORCED_COLUMNS = ("time_ms", "price", "average_price", "amount", "filled", "taker_side")
_MODES = ("starting", "polling", "streaming")
INTERVAL_MS = {"1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000}


class DataClass(StrEnum):
    """What a feed keeps. What is only ever asked for has a name of its own in `MarketState.samples`."""

    BOOK = "book"
    TICKER = "ticker"
    TRADES = "trades"
    BARS = "bars"
    MARK = "mark"  # mark, index, funding: where a venue sends them apart from the ticker
    FORCED = "forced"  # liquidations


class Ticker:
    """The newest summary of the market. A figure the venue did not give is None, never zero."""

    __slots__ = (
        "ask",
        "bid",
        "funding",
        "index",
        "last",
        "mark",
        "mark_ms",
        "next_funding_ms",
        "open_interest",
        "venue_ms",
    )

    def __init__(self) -> None:
        self.bid: float | None = None
        self.ask: float | None = None
        self.last: float | None = None
        self.mark: float | None = None
        self.index: float | None = None
        self.funding: float | None = None
        self.open_interest: float | None = None
        self.next_funding_ms: int | None = None
        self.venue_ms = 0
        self.mark_ms = 0  # of mark, index and funding, where they come by themselves


class MarketState:
    """Everything known of one instrument's market, with the freshness of each part.

    `bars` by interval and `samples` by source name are there from the start, if empty. `modes` has one entry for each
    route the instrument's data comes by. `loaded` names the intervals whose history is in, and "trades".
    """

    __slots__ = (
        "bars",
        "book",
        "forced",
        "fresh",
        "instrument",
        "loaded",
        "modes",
        "quality",
        "samples",
        "ticker",
        "trades",
        "updates",
    )

    def __init__(
        self,
        instrument: str,
        *,
        bounds_s: Mapping[DataClass, float],
        intervals: tuple[str, ...] = (),
        bars_kept: int = 500,
        trades_kept: int = 1000,
        forced_kept: int = 100,
    ) -> None:
        self.instrument = instrument
        self.book = Book()
        self.ticker = Ticker()
        self.trades = Trades(trades_kept)
        self.forced = Series(forced_kept, len(FORCED_COLUMNS))
        self.bars = {interval: Bars(INTERVAL_MS[interval], bars_kept) for interval in intervals}
        self.samples: dict[str, Samples] = {}
        self.fresh = {data_class: Freshness(bound_s) for data_class, bound_s in bounds_s.items()}
        self.quality = {data_class: Quality() for data_class in bounds_s}
        self.modes: dict[str, str] = {}
        self.loaded: set[str] = set()
        self.updates = 0

    @property
    def mode(self) -> str:
        """The lowest mode of its routes: "starting" < "polling" < "streaming"."""
        return min(self.modes.values(), key=_MODES.index, default="starting")

    @property
    def mark_fresh(self) -> Freshness | None:
        """Freshness of the mark price, which comes with the ticker at some venues and by itself at others."""
        return self.fresh.get(DataClass.MARK) or self.fresh.get(DataClass.TICKER)

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
                **{str(name): summary_of(fresh, now_s) for name, fresh in self.fresh.items()},
                **{name: summary_of(samples.fresh, now_s) for name, samples in self.samples.items()},
            },
            quality={str(name): quality.summary() for name, quality in self.quality.items()},
        )


class VenueState:
    """What is known of one venue: instruments, its clock, the markets. Written by its session and feeds, read in place.

    The venue's time is kept as an offset to our *monotonic* clock, so a jump of the wall clock moves nothing.
    """

    __slots__ = (
        "_anchor_ms",
        "_anchor_s",
        "instruments",
        "markets",
        "name",
        "problem",
        "reconnects",
        "rest_calls",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.instruments: dict[str, Instrument] = {}  # by native symbol
        self.markets: dict[str, MarketState] = {}  # by native symbol
        self.problem = "not reached yet"  # empty while the venue answers
        self.rest_calls = 0  # requests for market data, for ever
        self.reconnects = 0  # public connections that had to be made again
        self._anchor_ms: float | None = None
        self._anchor_s = 0.0

    def history(self) -> tuple[int, int]:
        """How many of the histories wanted at the start are in, and how many are wanted."""
        wanted = sum(len(market.bars) for market in self.markets.values())
        return sum(len(market.loaded & market.bars.keys()) for market in self.markets.values()), wanted

    def set_time(self, venue_ms: float, now_s: float) -> None:
        """The venue's clock showed `venue_ms` at monotonic `now_s`."""
        self._anchor_ms = venue_ms
        self._anchor_s = now_s

    def now_ms(self, now_s: float) -> int | None:
        """The venue's time now, None before the first reading."""
        return None if self._anchor_ms is None else int(self._anchor_ms + (now_s - self._anchor_s) * 1000)


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
    classes: dict[str, ClassSummary]
    quality: dict[str, QualitySummary] = {}
