"""Binance USD-M futures: market data, orders and accounts by REST and streams."""

from engine.venues.binance_usdm.private import BinanceUsdmTrader
from engine.venues.binance_usdm.public import BinanceUsdmRest
from engine.venues.binance_usdm.settings import BinanceUsdmSettings
from engine.venues.binance_usdm.stream import most_symbols
from engine.venues.binance_usdm.venue import BinanceUsdmVenue

__all__ = ["BinanceUsdmRest", "BinanceUsdmSettings", "BinanceUsdmTrader", "BinanceUsdmVenue", "most_symbols"]
