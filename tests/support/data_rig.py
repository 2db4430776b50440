"""Markets in memory and a reader over them, for tests of the read interface: nothing runs, time is what the test says."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from actors.data import DataManager, VenueMarkets
from engine.kernel import Clock
from engine.model import BAR_COLUMNS, INTERVAL_MS, DataClass, DataRow, MarketState, Samples, Source, VenueState

EPOCH_MS = 1_700_000_000_000
OI_COLUMNS = ("time_ms", "sum_open_interest", "sum_open_interest_value")
FUNDING_COLUMNS = ("time_ms", "rate", "next_funding_ms", "mark")
SPOT_COLUMNS = ("time_ms", "price")
BOUNDS = {
    DataClass.BOOK: 1.0,
    DataClass.TRADES: 5.0,
    DataClass.BARS: 5.0,
    DataClass.MARK: 5.0,
    DataClass.FORCED: 3600.0,
}
ROUTES = {
    "public": frozenset({DataClass.BOOK}),
    "market": frozenset({DataClass.TRADES, DataClass.BARS, DataClass.MARK, DataClass.FORCED}),
}
POLICY: Mapping[str, DataRow] = {
    **{str(name): DataRow(age_s=bound_s) for name, bound_s in BOUNDS.items()},
    "ticker": DataRow(via="off"),
    "open_interest": DataRow(via="poll", age_s=600.0, poll_s=300.0, keep=300),
    "funding": DataRow(via="poll", age_s=7200.0, poll_s=3600.0, keep=10),
    "spot": DataRow(via="poll", age_s=120.0, poll_s=60.0, keep=10),
}


class StillClock(Clock):
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def _true_wall_ns(self) -> int:
        return int((EPOCH_MS + self.now_s * 1000) * 1_000_000)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a read waits for nothing")


class Rig:
    """One venue, `binance`, empty; and a manager over it."""

    def __init__(self, *, policy: Mapping[str, DataRow] = POLICY) -> None:
        self.clock = StillClock()
        self.state = VenueState("binance")
        self.state.problem = ""
        self.venue = VenueMarkets(self.state, policy, ROUTES)
        self.venues = {"binance": self.venue}
        self.data = DataManager(self.venues, self.clock, default_venue="binance")

    def empty(self, symbol: str = "BTCUSDT", intervals: Sequence[str] = ("1h", "4h")) -> MarketState:
        """A market that is followed and of which nothing came yet."""
        market = MarketState(f"binance:{symbol}", bounds_s=BOUNDS, intervals=tuple(intervals))
        for name, columns in (("open_interest", OI_COLUMNS), ("funding", FUNDING_COLUMNS), ("spot", SPOT_COLUMNS)):
            row = POLICY[name]
            market.samples[name] = Samples(columns, capacity=row.keep, bound_s=row.age_s)
        market.modes.update(dict.fromkeys(ROUTES, "streaming"))
        self.state.markets[symbol] = market
        return market

    def full(
        self, symbol: str = "BTCUSDT", intervals: Sequence[str] = ("1h", "4h"), *, bars: int = 300, seed: int = 1
    ) -> MarketState:
        """A market with everything, fresh; its prices walk as the seed says."""
        market, dice, now_s = self.empty(symbol, intervals), np.random.default_rng(seed), self.clock.now_s
        for interval in intervals:
            market.bars[interval].merge(walk(dice, interval, bars))
            market.loaded.add(interval)
        price = float(market.bars[intervals[0]].view()[-1, 4])
        levels = np.arange(1, 26)
        market.book.replace(
            [(price - 0.1 * float(n), 1.0 + float(dice.random())) for n in levels],
            [(price + 0.1 * float(n), 1.0 + float(dice.random())) for n in levels],
            change_id=1,
            venue_ms=EPOCH_MS + 5,
        )
        for n in range(200):
            side = 1 if dice.random() < 0.5 else -1
            market.trades.add(time_ms=EPOCH_MS + n, price=price, amount=1.0 + n, taker_side=side, trade_seq=n)
        market.loaded.add("trades")
        market.forced.append((float(EPOCH_MS), price, math.nan, 2.0, 1.5, -1.0))
        ticker = market.ticker
        ticker.mark, ticker.index, ticker.mark_ms = price * 1.0001, price, EPOCH_MS
        ticker.funding, ticker.next_funding_ms = 0.0001 * float(dice.random()), EPOCH_MS + 28_800_000
        for data_class in BOUNDS:
            market.touch(data_class, Source.STREAM, now_s)
        hours = EPOCH_MS - 3_600_000 * np.arange(99, -1, -1.0)
        amounts = 1000.0 + np.cumsum(dice.normal(0, 1, 100))
        market.samples["open_interest"].take(np.stack((hours, amounts, amounts * price), axis=1), now_s)
        market.samples["funding"].take(np.array([[EPOCH_MS, 0.0001, EPOCH_MS + 28_800_000, price]]), now_s - 1)
        market.samples["spot"].take(np.array([[EPOCH_MS, price * 0.9999]]), now_s)
        return market


def walk(dice: np.random.Generator, interval: str, count: int) -> np.ndarray:
    """Bars of a random walk that end now."""
    step_ms = INTERVAL_MS[interval]
    rows = np.zeros((count, len(BAR_COLUMNS)))
    newest_ms = EPOCH_MS - EPOCH_MS % step_ms
    rows[:, 0] = newest_ms - step_ms * np.arange(count - 1, -1, -1)
    close = 100.0 * np.exp(np.cumsum(dice.normal(0, 0.01, count)))
    rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4] = close, close * 1.01, close * 0.99, close
    rows[:, 5:10] = np.abs(dice.normal(10, 1, (count, 5))).round(3)
    rows[:, 7] = rows[:, 7].round()
    return rows
