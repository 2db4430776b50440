"""Reading the parameters of private calls, with the venue's own complaints."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from engine.simulator.binance_usdm.errors import ApiError, illegal, missing, not_valid
from engine.simulator.binance_usdm.params import Params, number

__all__ = ["client_id", "decimal", "flag", "json_list", "needed", "one_of", "refuse_extra", "week"]

DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
CLIENT_ID_CHARS = re.compile(r"[.A-Z:/a-z0-9_-]*")
CLIENT_ID_LENGTH = 36
WEEK_MS = 7 * 86_400_000

T = TypeVar("T")

# Numbers in lists of orders keep their digits.
_LIST = msgspec.json.Decoder(list[Any], float_hook=str)


def decimal(params: Params, name: str) -> Decimal | None:
    """A number that may be left out."""
    text = params.get(name)
    if text is None:
        return None
    if not text:
        raise missing(name)
    if not DECIMAL.fullmatch(text):
        raise illegal(name, "^([0-9]{1,20})(\\.[0-9]{1,20})?$")
    return Decimal(text)


def needed(params: Params, name: str) -> Decimal:
    value = decimal(params, name)
    if value is None:
        raise missing(name)
    return value


def flag(params: Params, name: str) -> bool:
    """True or false, in any case; false when it is left out."""
    text = params.get(name, "false").lower()
    if text not in ("true", "false"):
        raise not_valid(name)
    return text == "true"


def one_of(params: Params, name: str, known: Mapping[str, T], default: str = "", error: ApiError | None = None) -> T:
    """What a word stands for."""
    text = params.get(name, default)
    if not text:
        raise missing(name)
    if text not in known:
        raise error or not_valid(name)
    return known[text]


def client_id(params: Params, name: str) -> str | None:
    """An id of the client's own making."""
    text = params.get(name)
    if text is None:
        return None
    if not text:
        raise missing(name)
    if len(text) > CLIENT_ID_LENGTH:
        raise ApiError(400, -4015, "Client order id length should not be more than 36 chars.")
    if not CLIENT_ID_CHARS.fullmatch(text):
        raise illegal(name, "^[\\.A-Z\\:/a-z0-9_-]{1,36}$")
    return text


def refuse_extra(params: Params, *names: str) -> None:
    """Complain of parameters that do not go with the others."""
    for name in names:
        if name in params:
            raise ApiError(400, -1106, f"Parameter '{name}' sent when not required.")


def json_list(params: Params, name: str) -> list[Any] | None:
    """A list written as JSON, None if it is left out; old clients write the name in lower case."""
    text = params.get(name, params.get(name.lower()))
    if text is None:
        return None
    try:
        return _LIST.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise not_valid(name) from None


def week(params: Params, now_ms: int) -> tuple[int, int]:
    """`startTime` and `endTime`, at most seven days apart: the last seven days if neither is given."""
    start_ms, end_ms = number(params, "startTime"), number(params, "endTime")
    if start_ms is None and end_ms is None:
        return now_ms - WEEK_MS, now_ms
    if start_ms is None:
        assert end_ms is not None, "one of them is given"
        start_ms = end_ms - WEEK_MS
    elif end_ms is None:
        end_ms = start_ms + WEEK_MS
    if start_ms > end_ms:
        raise ApiError(400, -1023, "Start time is greater than end time.")
    if end_ms - start_ms > WEEK_MS:
        raise ApiError(400, -4165, "Invalid time interval: Maximum time interval is 7 days.")
    return start_ms, end_ms
