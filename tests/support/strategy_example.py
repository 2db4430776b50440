"""A strategy as a user would write it, to be named by its path."""

from decimal import Decimal

from actors.strategy import Strategy, StrategyParams


class Example(Strategy):
    """Does nothing with a level."""

    class Params(StrategyParams, frozen=True, kw_only=True, tag="example"):
        level: Decimal = Decimal(0)
