"""A listing as the exchange and its flow need it: the contract, how lively it is, and where its price goes."""

from collections.abc import Sequence
from decimal import Decimal

from engine.kernel import Entropy
from engine.simulator.binance_usdm.symbols import SymbolSpec
from engine.simulator.exchange import Listing
from engine.simulator.flow import FlowStyle
from engine.simulator.instruments import Instrument
from engine.simulator.prices import BarPath, PricePath, RandomWalk
from engine.simulator.replay import Recording

__all__ = ["contract", "hourly_coins", "listing", "recorded_paths", "style_of", "walk"]

RUNG_USD = 12_000.0
TAKE_USD = 400.0
MEAN_OVER_MEDIAN = 2.42  # of the flow's amounts, exp(U(-2.5, 2.5))
REFERENCE_STEP = Decimal("1e-8")


def listing(spec: SymbolSpec) -> Listing:
    price = Decimal(spec.price).quantize(REFERENCE_STEP)
    return contract(spec), price, spec.volatility, hourly_coins(spec)


def contract(spec: SymbolSpec) -> Instrument:
    return Instrument(
        name=spec.symbol,
        base=spec.base,
        quote="USDT",
        settlement="USDT",
        index=spec.symbol,
        inverse=False,
        perpetual=True,
        tick=spec.tick,
        contract_size=spec.step,
        min_amount=spec.step,
        maker_rate=Decimal("0.0002"),
        taker_rate=Decimal("0.0005"),
        liquidation_rate=Decimal("0.0125"),
        initial_margin=Decimal("0.02"),
        maintenance_margin=Decimal("0.01"),
        margin_slope=Decimal(0),
        max_leverage=50,
        money_step=Decimal("1e-8"),
        band=Decimal("0.05"),
        created_ms=spec.onboard_ms,
        reference_step=REFERENCE_STEP,
        funding_accrues=False,
    )


def style_of(spec: SymbolSpec) -> FlowStyle:
    steps_a_dollar = 1.0 / (spec.price * float(spec.step))
    return FlowStyle(
        period_ms=100,
        rungs=40,
        quote_steps=max(20, round(RUNG_USD * steps_a_dollar)),
        take_steps=max(1, round(TAKE_USD * steps_a_dollar)),
        trades_per_s=spec.pace,
        premium=spec.premium,
        liquidations_per_h=20.0 if spec.volatility > 0.8 else 60.0,
        spread=max(0.00002, float(spec.tick) / spec.price),
        reach=max(0.0015, 40 * float(spec.tick) / spec.price),
    )


def hourly_coins(spec: SymbolSpec) -> float:
    """What the flow trades in an hour, on average; made-up history trades as much."""
    return spec.pace * 3600 * TAKE_USD * MEAN_OVER_MEDIAN / spec.price


def recorded_paths(
    recording: Recording | None, symbols: Sequence[str], start_ms: int, bar_ms: int
) -> dict[str, PricePath]:
    """The paths of the symbols a recording has."""
    if recording is None:
        return {}
    bars = {symbol: recording.bars[symbol] for symbol in symbols if symbol in recording.bars}
    return {symbol: BarPath(rows, start_ms=start_ms, bar_ms=bar_ms) for symbol, rows in bars.items()}


def walk(spec: SymbolSpec, start_ms: int, entropy: Entropy) -> PricePath:
    source = entropy.fork(f"walk-{spec.symbol}")
    return RandomWalk(spec.price, start_ms=start_ms, volatility=spec.volatility, entropy=source)
