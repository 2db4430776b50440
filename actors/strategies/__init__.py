"""The shipped strategies, by the name a config calls them."""

from actors.strategies.market_maker import MarketMaker, MarketMakerParams
from actors.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {"market_maker": MarketMaker}

__all__ = ["STRATEGIES", "MarketMaker", "MarketMakerParams"]
