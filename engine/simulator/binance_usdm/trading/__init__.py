"""Orders, conditional orders, positions and streams of accounts at the simulated Binance USD-M, without their wire."""

from engine.simulator.binance_usdm.trading.calls import PRIVATE, PrivateCall
from engine.simulator.binance_usdm.trading.side import FORGET_UNFILLED_MS, TradingSide

__all__ = ["FORGET_UNFILLED_MS", "PRIVATE", "PrivateCall", "TradingSide"]
