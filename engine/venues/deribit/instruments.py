"""Instrument metadata → tick, lot and contract rules."""

import msgspec
from loguru import logger

from engine.model import Instrument, InstrumentKind, ModelError, TickStep, checked, instrument_id, positive
from engine.venues.decoding import WireError, decode, wire_error
from engine.venues.deribit.wire import InstrumentData, InstrumentKindData

_NEVER_MS = 32_503_708_800_000  # the year 3000: how Deribit says that a perpetual does not expire
_KINDS = {"future": InstrumentKind.FUTURE, "option": InstrumentKind.OPTION, "spot": InstrumentKind.SPOT}
_KIND = msgspec.json.Decoder(InstrumentKindData)
_WHOLE = msgspec.json.Decoder(InstrumentData)


def read_instruments(rows: list[msgspec.Raw], venue: str) -> tuple[Instrument, ...]:
    """The instruments of a listing. Kinds we do not trade (combos) are skipped; so is one that does not decode, with a warning:
    a mistake in one listing must not hide the others."""
    found: list[Instrument] = []
    for row in rows:
        try:
            if decode(_KIND, row).kind in _KINDS:
                found.append(to_instrument(decode(_WHOLE, row), venue))
        except WireError as error:
            logger.warning("{}: instrument skipped: {}", venue, error)
    return tuple(found)


def to_instrument(data: InstrumentData, venue: str) -> Instrument:
    """Raises `WireError` for figures that make no rule (a tick of zero, a fee that is not a number)."""
    try:
        return _instrument(data, venue)
    except ModelError as error:
        raise wire_error(error, b"") from error


def _instrument(data: InstrumentData, venue: str) -> Instrument:
    kind = _KINDS[data.kind]
    perpetual = data.settlement_period == "perpetual"
    contract_size = positive(data.contract_size, "contract_size")
    min_amount = positive(data.min_trade_amount, "min_trade_amount")
    expires_at_ms = data.expiration_timestamp
    return Instrument(
        instrument_id=instrument_id(venue, data.instrument_name),
        venue=venue,
        symbol=data.instrument_name,
        kind=InstrumentKind.PERPETUAL if kind is InstrumentKind.FUTURE and perpetual else kind,
        base=data.base_currency,
        quote=data.quote_currency,
        settlement=data.settlement_currency or data.quote_currency,
        inverse=data.kind == "future" and data.instrument_type == "reversed",
        tick_size=positive(data.tick_size, "tick_size"),
        tick_steps=tuple(
            TickStep(positive(step.above_price, "above_price"), positive(step.tick_size, "tick_size"))
            for step in data.tick_size_steps
        ),
        # Futures are traded in whole contracts (10027 otherwise); the others in steps of their smallest amount.
        lot_size=contract_size if kind is InstrumentKind.FUTURE else min_amount,
        min_amount=min_amount,
        contract_size=contract_size,
        maker_fee=checked(data.maker_commission, "maker_commission"),
        taker_fee=checked(data.taker_commission, "taker_commission"),
        max_leverage=None if data.max_leverage is None else positive(data.max_leverage, "max_leverage"),
        expires_at_ms=None if expires_at_ms is None or expires_at_ms >= _NEVER_MS else expires_at_ms,
        active=data.is_active,
    )
