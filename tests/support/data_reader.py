"""A strategy that reads market data and does nothing with it."""

from typing import ClassVar

from actors.data import DataUnavailable
from actors.strategy import Strategy, StrategyParams


class Reader(Strategy):
    """Reads at every tick and keeps what it read."""

    class Params(StrategyParams, frozen=True, kw_only=True, tag="reader"):
        symbol: str = "BTCUSDT"

    seen: ClassVar[list[float]] = []  # of all incarnations

    async def started(self) -> None:
        self.tick_every(0.05)

    def tick(self) -> None:
        try:
            self.seen.append(self.data.klines(self.params.symbol, "1h", 1)[-1][4])
        except DataUnavailable:
            return  # not loaded yet
