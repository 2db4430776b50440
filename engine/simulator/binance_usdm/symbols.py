"""Which symbols this venue lists: real majors with their grids, and as many further ones as are asked for."""

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

__all__ = [
    "DEFAULT_SYMBOLS",
    "SymbolSpec",
    "spec_of",
    "specs_of",
    "spot_name",
    "symbols_of",
]


class SymbolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A listing. `tick` and `step` carry as many decimals as the wire shows; `pace` is the takers' orders a second."""

    symbol: str
    price: float
    tick: Decimal
    step: Decimal
    min_notional: int = 5
    volatility: float = 1.0
    pace: float = 6.0
    funding_hours: int = 8
    premium: float = 0.0
    open_interest_usd: float = 30e6
    onboard_ms: int = 1_569_398_400_000

    @property
    def base(self) -> str:
        return self.symbol.removesuffix("USDT")

    @property
    def min_price(self) -> Decimal:
        return self.tick * 10

    @property
    def max_price(self) -> Decimal:
        return self.tick * round(self.price * 40 / float(self.tick))

    @property
    def max_amount(self) -> int:
        return max(1, round(30_000_000 / self.price))

    @property
    def max_market_amount(self) -> int:
        return max(1, self.max_amount // 8)


# symbol, price, tick, step, least notional, yearly volatility, takers' orders a second, open interest in dollars
_MAJORS = (
    ("BTCUSDT", 109_119.4, "0.10", "0.001", 50, 0.5, 10.0, 8e9),
    ("ETHUSDT", 3_898.97, "0.01", "0.001", 20, 0.7, 10.0, 7e9),
    ("BNBUSDT", 1_067.15, "0.010", "0.01", 5, 0.7, 8.0, 6e8),
    ("SOLUSDT", 188.24, "0.0100", "0.01", 5, 0.9, 9.0, 2e9),
    ("XRPUSDT", 2.4434, "0.0001", "0.1", 5, 0.9, 8.0, 1e9),
    ("DOGEUSDT", 0.19604, "0.000010", "1", 5, 1.0, 8.0, 7e8),
    ("ADAUSDT", 0.6497, "0.00010", "1", 5, 0.9, 7.0, 3e8),
    ("LINKUSDT", 17.762, "0.001", "0.01", 5, 0.9, 7.0, 3e8),
    ("AVAXUSDT", 19.777, "0.0010", "1", 5, 1.0, 7.0, 2e8),
    ("LTCUSDT", 94.46, "0.01", "0.001", 20, 0.8, 6.0, 2e8),
    ("SUIUSDT", 2.5158, "0.000100", "0.1", 5, 1.1, 7.0, 4e8),
    ("1000PEPEUSDT", 0.0069976, "0.0000001", "1", 5, 1.2, 7.0, 2e8),
)
DEFAULT_SYMBOLS: tuple[str, ...] = tuple(row[0] for row in _MAJORS)
_BY_SYMBOL = {
    symbol: SymbolSpec(
        symbol=symbol,
        price=price,
        tick=Decimal(tick),
        step=Decimal(step),
        min_notional=notional,
        volatility=volatility,
        pace=pace,
        open_interest_usd=interest,
    )
    for symbol, price, tick, step, notional, volatility, pace, interest in _MAJORS
}

# Names of further listings; when they are used up, more are made by numbering them.
_NAMES = """
BCH DOT NEAR FIL UNI AAVE ETC ATOM TRX XLM APT ARB OP TIA SEI INJ RENDER FET WLD ENA ONDO JUP PYTH STRK IMX GRT SAND
MANA AXS GALA CHZ ENJ ALGO VET ICP HBAR THETA EGLD KAVA ROSE ZIL ONE CELO MINA FLOW KSM DASH ZEC XTZ NEO QTUM IOTA
ONT BAT ZRX KNC COMP MKR SNX CRV YFI SUSHI 1INCH LDO RPL DYDX GMX PENDLE EIGEN ETHFI TAO AR STORJ ANKR SKL CELR COTI
HOT RVN IOST SXP BEL BAND TRB NMR UMA API3 LPT AUDIO ENS MASK GTC HIGH PEOPLE APE GMT STG JASMY LUNA2 MAGIC HOOK ID
EDU SUN MAV CFX STX ACH SSV ACE NFP XAI MANTA ALT ZETA DYM PIXEL PORTAL AXL METIS AEVO W TNSR SAGA OMNI REZ BB NOT
IO ZK LISTA ZRO G BANANA DOGS POL TURBO 1000SHIB 1000BONK 1000FLOKI WIF PUMP TRUMP PENGU FARTCOIN
"""

_SYMBOL = re.compile(r"[A-Z0-9]{2,20}")
_INTERVAL_HOURS = (8, 8, 4, 4, 4, 1)


def symbols_of(count: int) -> tuple[str, ...]:
    """The first `count` symbols: the majors, then others; the same ones each time."""
    names, known = list(DEFAULT_SYMBOLS[:count]), _NAMES.split()
    for number in range(1_000_000):
        for name in known:
            if len(names) >= count:
                return tuple(names)
            names.append(f"{name}{number or ''}USDT")
    raise ValueError(f"symbols_of: expected a count below a hundred million, got {count}")


def spec_of(symbol: str, price: float | None = None) -> SymbolSpec:
    """The listing of a symbol. One that is not a known major is drawn from its name, and fitted to `price` if given."""
    if not _SYMBOL.fullmatch(symbol) or not symbol.endswith("USDT") or symbol == "USDT":
        raise ValueError(f"symbols: expected upper-case names that end in USDT, got {symbol!r}")
    known = _BY_SYMBOL.get(symbol)
    if known is not None:
        return known if price is None else msgspec.structs.replace(known, price=price)
    draw = _draws(symbol)
    price = price if price is not None else round(10 ** (-2.5 + 4.5 * draw[0]), 7)
    return SymbolSpec(
        symbol=symbol,
        price=price,
        tick=_tick(price),
        step=_step(price),
        volatility=0.9 + 0.9 * draw[1],
        pace=4.5 + 3.0 * draw[2],
        funding_hours=_INTERVAL_HOURS[int(draw[3] * len(_INTERVAL_HOURS))],
        premium=0.0 if draw[4] < 0.6 else (draw[4] - 0.75) * 0.01,
        open_interest_usd=10 ** (6.5 + 1.5 * draw[5]),
        onboard_ms=1_600_000_000_000 + int(draw[1] * 1_500) * 86_400_000,
    )


def _draws(symbol: str) -> list[float]:
    """Six numbers in [0, 1) that depend on the name alone."""
    return [zlib.crc32(f"{number}/{symbol}".encode()) / 2**32 for number in range(6)]


def _tick(price: float) -> Decimal:
    """About a ten-thousandth of the price or finer, a power of ten."""
    return Decimal(1).scaleb(max(-7, math.floor(math.log10(price)) - 4))


def _step(price: float) -> Decimal:
    """Worth about a dollar or less, at least a thousandth and at most one coin."""
    return Decimal(1).scaleb(min(0, max(-3, -math.floor(math.log10(max(price, 1.0))))))


def spot_name(spec: SymbolSpec) -> str:
    """The spot market's symbol: it trades single coins where a future is on a thousand."""
    return spec.symbol.removeprefix("1000")


def specs_of(symbols: Sequence[str], prices: Mapping[str, float]) -> dict[str, SymbolSpec]:
    """The listings of `symbols`, fitted to the `prices` known."""
    if not symbols:
        raise ValueError("symbols: expected at least one, got none")
    if len(set(symbols)) != len(symbols):
        raise ValueError(f"symbols: expected each once, got {sorted(s for s in set(symbols) if symbols.count(s) > 1)}")
    return {symbol: spec_of(symbol, prices.get(symbol)) for symbol in symbols}
