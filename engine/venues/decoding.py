"""Bytes of a venue → typed values, or the error that says which field was wrong.

Numbers are bounded while they are decoded, so a frame either decodes whole or changes nothing: NaN, infinity and absurd
magnitudes are refused like any other wrong type.
"""

import re
from typing import Annotated, TypeVar

import msgspec

from engine.model import ModelError
from engine.venues.base import BadReply

T = TypeVar("T")

_EXCERPT_BYTES = 80
_EXPECTED = re.compile(r"^Expected (?P<expected>.+?)(?:, got (?P<got>.+?))?(?: - at `(?P<field>.*)`)?$", re.DOTALL)
_OTHER = re.compile(r"^(?P<expected>.+?)(?: - at `(?P<field>.*)`)?$", re.DOTALL)

Price = Annotated[float, msgspec.Meta(gt=0, le=1e15)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e18)]
Figure = Annotated[float, msgspec.Meta(ge=-1e18, le=1e18)]
Stamp = Annotated[int, msgspec.Meta(ge=0, le=10**14)]  # ms
Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
RowNumber = Annotated[
    int, msgspec.Meta(ge=0, le=2**53)
]  # kept in a column of float64, which tells no larger ones apart
Text = Annotated[str, msgspec.Meta(max_length=200)]


class WireError(BadReply):
    """A message that breaks the protocol: which field, what was expected there, what came."""

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(f"{field}: expected {expected}, got {got}")
        self.field = field
        self.expected = expected
        self.got = got


def decode(decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw) -> T:
    """The typed value of a message; `WireError` for anything else, whatever the bytes are."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError) as error:
        raise wire_error(error, bytes(raw)) from error


def wire_error(error: Exception, raw: bytes) -> WireError:
    """The decoder's complaint, or a model rule's, in the words of this project."""
    if isinstance(error, ModelError):
        return WireError(error.field, error.expected, error.got)
    text = str(error)
    found = _EXPECTED.match(text) or _OTHER.match(text)
    parts = found.groupdict() if found else {}
    return WireError(
        parts.get("field") or "$", parts.get("expected") or "valid JSON in UTF-8", parts.get("got") or _excerpt(raw)
    )


def _excerpt(raw: bytes) -> str:
    """The beginning of a message, unless it may hold a key."""
    return "a message with a token" if b"token" in raw or b"secret" in raw else repr(raw[:_EXCERPT_BYTES])
