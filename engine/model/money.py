"""Money is `Decimal`: finite, in range, written without an exponent.

JSON and msgpack decoders accept `"NaN"`, `"Infinity"` and `1e400` as Decimals. None of them is an amount anybody meant,
so every figure that enters the node passes through `checked` once.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

from engine.model.errors import ModelError

ZERO = Decimal(0)
MAX_MAGNITUDE = Decimal("1e18")  # far above any amount or price of a listed instrument
MAX_DECIMALS = 18
_SHOWN = 60
_EXACT = Context(prec=60)  # more digits than the largest magnitude with all its decimals
SHORT = 18  # characters


def checked(value: Decimal, field: str) -> Decimal:
    """`value` itself if it is a sane figure; `ModelError` naming `field` otherwise."""
    if len(text := str(value)) <= SHORT and "E" not in text and value.is_finite():
        return value  # every figure of a sane order: few digits, so neither too large nor too fine
    if not value.is_finite():
        raise ModelError(field, "a finite number", str(value))
    if abs(value) > MAX_MAGNITUDE:
        raise ModelError(field, f"a magnitude of at most {MAX_MAGNITUDE}", str(value)[:_SHOWN])
    if _decimals(value) > MAX_DECIMALS:
        raise ModelError(field, f"at most {MAX_DECIMALS} decimals", str(value)[:_SHOWN])
    return value


def rounded(value: Decimal, field: str, decimals: int = MAX_DECIMALS) -> Decimal:
    """`checked`, for figures a venue computed in floating point: decimals nobody can mean are rounded away."""
    if value.is_finite() and abs(value) <= MAX_MAGNITUDE and _decimals(value) > decimals:
        value = _EXACT.quantize(value, Decimal(1).scaleb(-decimals))
    return checked(value, field)


def _decimals(value: Decimal) -> int:
    """Decimals that are not zeros at the end. Counted in digits: arithmetic would round, or refuse."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or exponent >= 0:
        return 0
    zeros = next((count for count, digit in enumerate(reversed(digits)) if digit), len(digits))
    return max(0, -exponent - zeros) if zeros < len(digits) else 0


def positive(value: Decimal, field: str) -> Decimal:
    """`value` if it is sane and above zero."""
    if checked(value, field) <= ZERO:
        raise ModelError(field, "a number above zero", str(value))
    return value


def on_grid(value: Decimal, step: Decimal) -> bool:
    """Whether `value` is a multiple of `step`."""
    return not _EXACT.remainder(value, step)


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `value`."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is not below `value`."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


def nearest_to(value: Decimal, step: Decimal) -> Decimal:
    """The multiple of `step` nearest to `value`, ties to even."""
    return (value / step).to_integral_value(ROUND_HALF_EVEN) * step


def plain(value: Decimal) -> str:
    """`value` without exponent and without trailing zeros: what people read and venues accept."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
