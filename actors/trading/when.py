"""Conditions as people write them: `mark>=65000`, `funding@binance:BTCUSDT < 0`, `pnl.daily <= -500 | position == 0`.

::

    NAME[.FIELD][@INSTRUMENT] OPERATOR VALUE        several with | between them: one of them must hold

NAME is a price (`last`, `mark`, `index`, `bid`, `ask`), `funding`, `open_interest`, `position`, `pnl`, `time`, `mode`, or `figure.NAME`
for a figure of one's own. Programs may give the same as a mapping `{type, field, instrument_name, operator, value}`, and a list in
place of a condition where one of several is enough.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from actors.trading.errors import AdvancedOrderError, bad_field
from engine.model import Condition, ConditionType, ModelError, Operator, OrderType, check_conditions

All = tuple[Condition, ...]
AnyOf = tuple[tuple[Condition, ...], ...]

FIELD = "conditions"
_PRICES = ("last", "bid", "ask")  # beside mark and index, which are types of their own
_NAMES = {"figure": "custom", "oi": "open_interest"}
_OPERATORS = "|".join(re.escape(str(operator)) for operator in sorted(Operator, key=len, reverse=True))
_TEXT = re.compile(
    rf"(?P<name>[a-z_]+)(?:\.(?P<field>[\w-]+))?(?:@(?P<instrument>\S+?))?\s*(?P<operator>{_OPERATORS})\s*(?P<value>\S.*)"
)
_FORM = "NAME[.FIELD][@INSTRUMENT] OPERATOR VALUE, such as mark>=65000"


def conditions_of(given: Sequence[Any] | None) -> tuple[All, AnyOf]:
    """What must hold together, and the groups of which one is enough. Raises ConditionEvaluationError."""
    together: list[Condition] = []
    groups: list[tuple[Condition, ...]] = []
    if isinstance(given, (str, dict)):
        raise bad_field(FIELD, "a list of conditions", repr(given))
    for number, one in enumerate(given or ()):
        at = f"{FIELD}[{number}]"
        found = _alternatives(one, at)
        if len(found) == 1:
            together.append(found[0])
        else:
            groups.append(found)
    return tuple(together), tuple(groups)


def _alternatives(one: Any, at: str) -> tuple[Condition, ...]:
    parts = one.split("|") if isinstance(one, str) else one if isinstance(one, (list, tuple)) else (one,)
    if not parts:
        raise bad_field(at, "a condition, or a list of some of which one is enough", "an empty list")
    return tuple(_condition(part, at) for part in parts)


def _condition(one: Any, at: str) -> Condition:
    if isinstance(one, Condition):
        found = one
    elif isinstance(one, str):
        found = _convert(_parsed(one.strip(), at), at)
    elif isinstance(one, dict):
        found = _convert(_named(dict(one)), at)
    else:
        raise bad_field(at, f"a mapping, or {_FORM}", repr(one))
    try:
        check_conditions((found,), (), None, OrderType.LIMIT)
    except ModelError as error:
        raise bad_field(f"{at}.{error.field.partition('.')[2]}", error.expected, error.got) from error
    return found


def _parsed(text: str, at: str) -> dict[str, Any]:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise bad_field(at, _FORM, text)
    name, field = found["name"], found["field"] or ""
    return _named(
        {
            "type": _NAMES.get(name, name),
            "field": field,
            "operator": found["operator"],
            "value": found["value"].strip(),
            "instrument_name": found["instrument"] or "",
        }
    )


def _named(raw: dict[str, Any]) -> dict[str, Any]:
    """The name of a price is a short form of `price` with that field."""
    if raw.get("type") in _PRICES and not raw.get("field"):
        return raw | {"type": "price", "field": raw["type"]}
    return raw


def _convert(raw: dict[str, Any], at: str) -> Condition:
    try:
        return msgspec.convert(raw, Condition)
    except msgspec.ValidationError as error:
        raise _explained(raw, at, str(error)) from error


def _explained(raw: dict[str, Any], at: str, complaint: str) -> AdvancedOrderError:
    if raw.get("type") not in list(ConditionType):
        names = (*_PRICES, *(kind for kind in ConditionType if kind is not ConditionType.PRICE))
        if raw.get("type") in _PRICES:
            return bad_field(f"{at}.field", f"none beside {raw['type']}", raw["field"])
        return bad_field(f"{at}.type", f"one of {', '.join(names)}", raw.get("type"))
    if raw.get("operator") not in list(Operator):
        return bad_field(f"{at}.operator", f"one of {' '.join(Operator)}", raw.get("operator"))
    return bad_field(at, "{type, operator, value, instrument_name, field}", complaint)


def condition_text(condition: Condition) -> str:
    """The short form of a condition: what `conditions_of` reads."""
    field = condition.field
    if condition.type is ConditionType.PRICE:
        name = field or "last"
    else:
        kind = "figure" if condition.type is ConditionType.CUSTOM else str(condition.type)
        name = f"{kind}.{field}" if field else kind
    of = f"@{condition.instrument_name}" if condition.instrument_name else ""
    spaced = " " if str(condition.operator).isidentifier() else ""
    return f"{name}{of}{spaced}{condition.operator}{spaced}{condition.value}"
