"""Parameters of Deribit's methods: what each may be, and the error that says what is wrong with it.

Values come from JSON (numbers as int or Decimal) or from a query string (everything text), so text is read as a number
or a flag where one is expected. Parameters that a method does not know are ignored, as the venue does.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from engine.simulator.deribit.rpc import RpcError

__all__ = [
    "CURRENCY",
    "Param",
    "amount",
    "choice",
    "currencies",
    "flag",
    "integer",
    "invalid",
    "listing",
    "number",
    "objects",
    "parse",
    "required",
    "text",
]

MAX_MS = 32_503_708_800_000
MAX_NUMBER = Decimal("1e15")


class Param(msgspec.Struct, frozen=True):
    """`read` returns the value or raises ValueError with the reason."""

    read: Callable[[Any], Any]
    default: Any = None
    needed: bool = False


def required(param: Param) -> Param:
    return Param(param.read, param.default, needed=True)


def invalid(param: str, reason: str = "invalid value") -> RpcError:
    return RpcError(-32602, "Invalid params", {"reason": reason, "param": param})


def parse(spec: Mapping[str, Param], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of `spec` with its value or default."""
    values = {}
    for name, param in spec.items():
        raw = given.get(name)
        if raw is None:
            if param.needed:
                raise invalid(name, "value required")
            values[name] = param.default
            continue
        try:
            values[name] = param.read(raw)
        except ValueError as error:
            raise invalid(name, str(error)) from None
    return values


def text(max_length: int = 100) -> Param:
    def read(raw: Any) -> str:
        if not isinstance(raw, str):
            raise ValueError("must be a string")
        if len(raw) > max_length:
            raise ValueError(f"length must be <= {max_length}")
        return raw

    return Param(read)


def flag(default: bool | None = False) -> Param:
    def read(raw: Any) -> bool:
        if isinstance(raw, bool):
            return raw
        if raw in ("true", "false"):
            return bool(raw == "true")
        raise ValueError("must be a boolean")

    return Param(read, default)


def choice(*values: str, default: str | None = None) -> Param:
    def read(raw: Any) -> str:
        if raw not in values:
            raise ValueError("invalid value")
        return str(raw)

    return Param(read, default)


def _decimal(raw: Any) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str | Decimal):
        raise ValueError("must be a number")
    try:
        value = Decimal(str(raw)) if isinstance(raw, float | str) else Decimal(raw)
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not value.is_finite() or abs(value) > MAX_NUMBER:
        raise ValueError("must be a finite number in range")
    return value


def number() -> Param:
    return Param(_decimal)


def amount() -> Param:
    """A number above zero."""

    def read(raw: Any) -> Decimal:
        value = _decimal(raw)
        if value <= 0:
            raise ValueError("value must be > 0")
        return value

    return Param(read)


def integer(low: int = 0, high: int = MAX_MS, default: int | None = None) -> Param:
    def read(raw: Any) -> int:
        value = _decimal(raw)
        if value != value.to_integral_value():
            raise ValueError("must be an integer")
        if value < low:
            raise ValueError(f"value must be >= {low}")
        if value > high:
            raise ValueError(f"value must be <= {high}")
        return int(value)

    return Param(read, default)


def listing(max_items: int = 500) -> Param:
    def read(raw: Any) -> list[str]:
        if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
            raise ValueError("must be an array of strings")
        if len(raw) > max_items:
            raise ValueError(f"at most {max_items} items")
        return raw

    return Param(read)


def objects(spec: Mapping[str, Param], max_items: int) -> Param:
    """An array of objects with these members, read whole; over HTTP's query as JSON text."""

    def read(raw: Any) -> list[dict[str, Any]]:
        rows = _json(raw) if isinstance(raw, str) else raw
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("must be an array of objects")
        if len(rows) > max_items:
            raise ValueError(f"at most {max_items} items")
        return [parse(spec, row) for row in rows]

    return Param(read)


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise ValueError("must be an array of objects") from None


CURRENCIES = ("BTC", "ETH", "USDC", "USDT", "EURR", "any")


def _currency(raw: Any) -> str:
    if isinstance(raw, str):
        for currency in CURRENCIES:
            if raw.lower() == currency.lower():
                return currency
    raise ValueError("invalid value")


CURRENCY = Param(_currency)


def currencies() -> Param:
    """One currency, a list of them, or any; read as a list."""

    def read(raw: Any) -> list[str]:
        return [_currency(item) for item in raw] if isinstance(raw, list) else [_currency(raw)]

    return Param(read)
