"""Reading the parameters of a request, with the venue's own complaints."""

import re
from collections.abc import Mapping

from engine.simulator.binance_usdm.errors import (
    ApiError,
    bad_interval,
    bad_symbol,
    illegal,
    missing,
    not_valid,
)

__all__ = ["Params", "choice", "count", "interval", "number", "span", "symbol"]

Params = Mapping[str, str]

SYMBOL = re.compile(r"[A-Z0-9_.-]{1,20}")
NUMBER = re.compile(r"[0-9]{1,19}")


def symbol(params: Params, known: Mapping[str, object], name: str = "symbol") -> str:
    """A symbol that must be given."""
    text = params.get(name, "")
    if not text:
        raise missing(name)
    return listed(text, known, name)


def listed(text: str, known: Mapping[str, object], name: str = "symbol") -> str:
    if not SYMBOL.fullmatch(text):
        raise illegal(name, "^[A-Z0-9-_.]{1,20}$")
    if text not in known:
        raise bad_symbol()
    return text


def number(params: Params, name: str) -> int | None:
    """A whole number that may be left out."""
    text = params.get(name)
    if text is None:
        return None
    if not text:
        raise missing(name)
    if not NUMBER.fullmatch(text):
        raise illegal(name, "^[0-9]{1,20}$")
    return int(text)


def count(params: Params, *, default: int, most: int) -> int:
    """The `limit`, from 1 to `most`."""
    limit = number(params, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= most:
        raise not_valid("limit")
    return limit


def span(params: Params) -> tuple[int | None, int | None]:
    """`startTime` and `endTime`."""
    start_ms, end_ms = number(params, "startTime"), number(params, "endTime")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise ApiError(400, -1023, "Start time is greater than end time.")
    return start_ms, end_ms


def interval(params: Params, known: Mapping[str, object]) -> str:
    text = params.get("interval", "")
    if not text:
        raise missing("interval")
    if text not in known:
        raise bad_interval()
    return text


def choice(params: Params, name: str, known: Mapping[str, object]) -> str:
    """One of a fixed set of words."""
    text = params.get(name, "")
    if not text:
        raise missing(name)
    if text not in known:
        raise not_valid(name)
    return text
