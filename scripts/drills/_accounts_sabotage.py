"""Designs that must fail in the accounts drill. Each is a change to the node's own process, made before it starts."""

from collections.abc import Mapping

from engine.venues.answers import FillPage
from engine.venues.binance_usdm.private import BinanceUsdmTrader
from engine.venues.deribit.private import DeribitRest
from scripts.drills._accounts_node import Sabotage

__all__ = ["SABOTAGES"]


def deaf() -> None:
    """Its passes find no fills: what the private stream has not told stays unknown."""

    async def fills_since(_self: object, _since_ms: int) -> FillPage:
        return FillPage((), complete=True)

    for rest in (DeribitRest, BinanceUsdmTrader):
        setattr(rest, "fills_since", fills_since)  # noqa: B010


SABOTAGES: Mapping[str, Sabotage] = {"deaf": deaf}
