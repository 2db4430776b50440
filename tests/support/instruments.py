"""Perpetuals for the tests; a test says what it needs otherwise."""

from decimal import Decimal
from typing import Any

import msgspec

from engine.model import Instrument, InstrumentKind

D = Decimal


def perpetual(symbol: str, *, venue: str = "sim", base: str = "BTC", **otherwise: Any) -> Instrument:
    """Inverse, ten dollars a contract, at prices in steps of half a dollar: as Deribit's are."""
    made = Instrument(
        instrument_id=f"{venue}:{symbol}",
        venue=venue,
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        base=base,
        quote="USD",
        settlement=base,
        inverse=True,
        tick_size=D("0.5"),
        lot_size=D(10),
        min_amount=D(10),
        contract_size=D(10),
    )
    return msgspec.structs.replace(made, **otherwise)


def linear(symbol: str, *, venue: str = "sim", **otherwise: Any) -> Instrument:
    """In coins, settled in USDT: as Binance's BTCUSDT is."""
    terms: dict[str, Any] = {
        "quote": "USDT",
        "settlement": "USDT",
        "inverse": False,
        "tick_size": D("0.1"),
        "lot_size": D("0.001"),
        "min_amount": D("0.001"),
        "contract_size": D(1),
    }
    return perpetual(symbol, venue=venue, **terms | otherwise)
