"""Binance USD-M futures: market data by REST and streams."""

from engine.venues.binance_usdm.settings import BinanceUsdmSettings

__all__ = ["BinanceUsdmSettings"]
