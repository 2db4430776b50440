"""What a condition means, and which ones nobody can mean: found at creation, not when the market is there."""

import re
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from engine.model.conditions.terms import DIGITS, MODES, Condition, ConditionType, Operator, Trail
from engine.model.errors import ModelError
from engine.model.instruments import split_instrument
from engine.model.money import checked, plain, positive
from engine.model.terms import OrderType
from engine.model.text import name

Number = float | Decimal  # whole milliseconds too

MAX_CONDITIONS = 64  # of one order, whatever an account allows
PRICES = ("last", "mark", "index", "bid", "ask")
DAILY = "daily"
_PNLS = ("unrealised", "realised", "total", DAILY)
_OF_CURRENCY = f"{DAILY}."
_FIELDS: dict[ConditionType, tuple[str, ...]] = {ConditionType.PRICE: PRICES, ConditionType.PNL: _PNLS}
_EXACT = (ConditionType.POSITION, ConditionType.PNL, ConditionType.CUSTOM)  # compared as `Decimal`
_UNKNOWN = (ConditionType.IV, ConditionType.DELTA)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_FIRST_MS, _LAST_MS = 10**11, 10**14  # from 1973 to 5138: what is outside was not written in milliseconds
_MAX_TEXT = 60


class Figure(NamedTuple):
    """One thing that can be looked at. `instrument` is a full id, empty for what belongs to no market.

    `name` is one of `PRICES`, funding, open_interest, position, mode, time, `pnl.<field>` or `custom.<field>`.
    """

    instrument: str
    name: str

    def __str__(self) -> str:
        return f"{self.instrument} {self.name}".lstrip()


TIME = Figure("", "time")


def figure_of(condition: Condition, own: str) -> Figure:
    """What `condition` looks at, in an order for the instrument `own`; a bare symbol is of the same venue."""
    venue, _ = split_instrument(own, "")
    named = ":".join(split_instrument(condition.instrument_name, venue)) if condition.instrument_name else own
    match condition.type:
        case ConditionType.TIME:
            return TIME
        case ConditionType.CUSTOM:
            return Figure("", f"custom.{condition.field}")
        case ConditionType.PNL:
            field = condition.field or _PNLS[0]
            return Figure("" if field.startswith(DAILY) else named, f"pnl.{field}")
        case ConditionType.PRICE:
            return Figure(named, condition.field or PRICES[0])
        case _:
            return Figure(named, str(condition.type))


def threshold_of(condition: Condition) -> Number:
    """The value in the form its figure is compared in. Raises `ModelError`."""
    match condition.type:
        case ConditionType.TIME:
            return _moment_ms(condition.value)
        case ConditionType.MODE:
            if condition.value not in MODES:
                raise ModelError("value", f"one of {', '.join(MODES)}", _shown(condition.value))
            return float(MODES.index(str(condition.value)))
        case kind:
            number = _number(condition.value)
            return number if kind in _EXACT else _nearest(number)


def check_conditions(
    conditions: tuple[Condition, ...],
    any_of: tuple[tuple[Condition, ...], ...],
    trail: Trail | None,
    order_type: OrderType,
    *,
    most: int = MAX_CONDITIONS,
) -> None:
    """Raise `ModelError` for the first thing nobody can mean; its field says where, as `conditions[1].value`."""
    count = len(conditions) + sum(map(len, any_of))
    if count > most:
        raise ModelError("conditions", f"at most {most}, with those of any_of", str(count))
    for at, condition in enumerate(conditions):
        _check(condition, f"conditions[{at}]")
    for number, group in enumerate(any_of):
        if not group:
            raise ModelError(f"any_of[{number}]", "at least one condition", "none")
        for at, condition in enumerate(group):
            _check(condition, f"any_of[{number}][{at}]")
    if trail is not None:
        if count:
            raise ModelError("trail", "none for an order with conditions", "both")
        _check_trail(trail, order_type)


def _check(condition: Condition, where: str) -> None:
    try:
        _check_figure(condition)
        threshold = threshold_of(condition)
        if condition.type in (ConditionType.PRICE, ConditionType.MARK, ConditionType.INDEX) and threshold <= 0:
            raise ModelError("value", "a price above zero", _shown(condition.value))
    except ModelError as error:
        raise ModelError(f"{where}.{error.field}", error.expected, error.got) from None


def _check_figure(condition: Condition) -> None:
    kind, field, operator = condition.type, condition.field, condition.operator
    if kind in _UNKNOWN:
        raise ModelError("type", "a figure this node is told (neither iv nor delta is)", kind)
    if kind is ConditionType.CUSTOM:
        name(field, "field")
    elif kind is ConditionType.PNL and field.startswith(_OF_CURRENCY):
        name(field.removeprefix(_OF_CURRENCY), "field")
    elif field and field not in _FIELDS.get(kind, ()):
        known = " or ".join(_FIELDS.get(kind, ())) or "nothing"
        raise ModelError("field", f"{known} for the type {kind}", _shown(field))
    name(condition.instrument_name, "instrument_name", may_be_empty=True)
    if operator.crosses and kind in (ConditionType.TIME, ConditionType.MODE):
        raise ModelError("operator", f"a comparison for the type {kind}", operator)
    if operator is Operator.EQUAL and kind is ConditionType.TIME:
        raise ModelError("operator", "> >= < or <=: nobody looks in one certain millisecond", operator)


def _check_trail(trail: Trail, order_type: OrderType) -> None:
    if order_type not in (OrderType.MARKET, OrderType.LIMIT):
        raise ModelError("trail", "an order of the type market or limit", order_type)
    if (trail.distance is None) == (trail.percent is None):
        both = "neither" if trail.distance is None else "both"
        raise ModelError("trail.distance", "either a distance or a percent", both)
    for field in ("distance", "percent", "activation_price"):
        value = getattr(trail, field)
        if value is not None:
            positive(value, f"trail.{field}")
    if trail.percent is not None and trail.percent >= 100:
        raise ModelError("trail.percent", "less than 100", plain(trail.percent))


def _number(value: str | int | float) -> Decimal:
    text = str(value)
    if isinstance(value, bool) or len(text) > _MAX_TEXT or not _NUMBER.fullmatch(text):
        raise ModelError("value", "a number", _shown(value))
    return checked(Decimal(text), "value")


def _nearest(number: Decimal) -> float:
    """The float that stands for `number` and for no other of as few digits."""
    if any(number.as_tuple().digits[DIGITS:]):
        raise ModelError("value", f"at most {DIGITS} digits", plain(number))
    return float(number)


def _moment_ms(value: str | int | float) -> int:
    """Unix milliseconds; fractions of one are rounded down."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return _iso_ms(value)
    number = _number(value)
    if not _FIRST_MS <= number < _LAST_MS:
        raise ModelError("value", "Unix milliseconds, or ISO 8601 with a zone", _shown(value))
    return int(number)


def _iso_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ModelError("value", "Unix milliseconds, or ISO 8601 with a zone", _shown(text)) from None
    if moment.tzinfo is None:
        raise ModelError("value", "a time with its zone, such as 2026-01-31T12:00:00Z", _shown(text))
    return int(moment.timestamp() * 1000)


def _shown(value: str | int | float) -> str:
    return ascii(value)[:_MAX_TEXT]
