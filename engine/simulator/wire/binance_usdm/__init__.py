"""Binance USD-M's wire: requests with weights and bans, and market streams on three routes, on one port."""

from engine.simulator.wire.binance_usdm.endpoint import ApiKey, BinanceEndpoint, Symbols, open_binance
from engine.simulator.wire.binance_usdm.server import BinanceServer
from engine.simulator.wire.binance_usdm.settings import BinanceSettings

__all__ = ["ApiKey", "BinanceEndpoint", "BinanceServer", "BinanceSettings", "Symbols", "open_binance"]
