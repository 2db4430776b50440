"""The simulated Binance USD-M futures venue, without its wire."""

from engine.simulator.binance_usdm.errors import Answer, ApiError
from engine.simulator.binance_usdm.symbols import DEFAULT_SYMBOLS, symbols_of
from engine.simulator.binance_usdm.venue import BinanceVenue

__all__ = ["DEFAULT_SYMBOLS", "Answer", "ApiError", "BinanceVenue", "symbols_of"]
