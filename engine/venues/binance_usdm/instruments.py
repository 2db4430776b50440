"""`exchangeInfo` → instruments. The figures that rule are in the filters; the precisions beside them are for display."""

from decimal import Decimal

import msgspec
from loguru import logger

from engine.model import Instrument, InstrumentKind, ModelError, PriceBand, instrument_id, positive
from engine.venues.binance_usdm.wire import FilterData, SymbolData, SymbolKindData, decoder
from engine.venues.decoding import WireError, decode, wire_error

_PERPETUALS = frozenset({"PERPETUAL", "PERPETUAL_DELIVERING", "TRADIFI_PERPETUAL"})
_FUTURES = frozenset({"CURRENT_MONTH", "NEXT_MONTH", "CURRENT_QUARTER", "NEXT_QUARTER"})
_NEVER_MS = 4_133_404_800_000  # 2100-12-25: the delivery date of what is never delivered, or some time after it
_ONE = Decimal(1)
_KIND = decoder(SymbolKindData)
_WHOLE = decoder(SymbolData)


def read_instruments(rows: list[msgspec.Raw], venue: str) -> tuple[Instrument, ...]:
    """The instruments of a listing. Other products and kinds are skipped; so is one that does not decode, with a warning:
    a mistake in one listing must not hide the others."""
    found: list[Instrument] = []
    for row in rows:
        try:
            kind = decode(_KIND, row)
            if kind.st == 1 and kind.contractType in _PERPETUALS | _FUTURES:
                found.append(to_instrument(decode(_WHOLE, row), venue))
        except WireError as error:
            logger.warning("{}: instrument skipped: {}", venue, error)
    return tuple(found)


def to_instrument(data: SymbolData, venue: str) -> Instrument:
    """Raises `WireError` for a listing without its filters, or with figures that make no rule."""
    price, lot = _filter(data, "PRICE_FILTER"), _filter(data, "LOT_SIZE")
    at_market, value = _filter_or_none(data, "MARKET_LOT_SIZE"), _filter_or_none(data, "MIN_NOTIONAL")
    try:
        return Instrument(
            instrument_id=instrument_id(venue, data.symbol),
            venue=venue,
            symbol=data.symbol,
            kind=InstrumentKind.PERPETUAL if data.contractType in _PERPETUALS else InstrumentKind.FUTURE,
            base=data.baseAsset,
            quote=data.quoteAsset,
            settlement=data.marginAsset or data.quoteAsset,
            inverse=False,
            tick_size=positive(price.tickSize or Decimal(0), "tickSize"),
            lot_size=positive(lot.stepSize or Decimal(0), "stepSize"),
            min_amount=positive(lot.minQty or Decimal(0), "minQty"),
            max_amount=_rule(lot.maxQty, "maxQty"),
            max_market_amount=_rule(at_market.maxQty, "maxQty") if at_market else None,
            min_notional=_rule(value.notional, "notional") if value else None,
            price_band=_band(_filter_or_none(data, "PERCENT_PRICE")),
            contract_size=_ONE,
            expires_at_ms=data.deliveryDate if 0 < data.deliveryDate < _NEVER_MS else None,
            active=data.status == "TRADING",
        )
    except ModelError as error:
        raise wire_error(error, b"") from error


def _filter(data: SymbolData, kind: str) -> FilterData:
    found = _filter_or_none(data, kind)
    if found is None:
        raise WireError(f"{data.symbol}.filters", f"one of type {kind}", "none")
    return found


def _filter_or_none(data: SymbolData, kind: str) -> FilterData | None:
    return next((rule for rule in data.filters if rule.filterType == kind), None)


def _rule(value: Decimal | None, field: str) -> Decimal | None:
    """Zero switches a rule off."""
    return positive(value, field) if value else None


def _band(rule: FilterData | None) -> PriceBand | None:
    if rule is None or not rule.multiplierUp or not rule.multiplierDown:
        return None
    return PriceBand(positive(rule.multiplierUp, "multiplierUp"), positive(rule.multiplierDown, "multiplierDown"))
