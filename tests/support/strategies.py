"""Strategies that fail: what a user's bug looks like to the node."""

from actors.messages import MarketChanged
from actors.strategy import Strategy, StrategyParams
from engine.venues.base import Applied


class BrokenParams(StrategyParams, frozen=True, kw_only=True, tag="broken"):
    instrument: str = "deribit:BTC-PERPETUAL"


class Broken(Strategy):
    """Raises in every handler."""

    Params = BrokenParams

    async def started(self) -> None:
        self.follow(self.params.instrument, Applied.BOOK)
        self.tick_every(0.02)

    def market_changed(self, change: MarketChanged) -> None:
        raise ZeroDivisionError("a bug on every market change")

    def tick(self) -> None:
        raise KeyError("a bug at every tick")


class Stillborn(Strategy):
    """Raises before it has begun."""

    Params = BrokenParams

    async def started(self) -> None:
        raise ValueError("a bug at the start")
