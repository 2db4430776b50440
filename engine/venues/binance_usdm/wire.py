"""What Binance USD-M puts on the wire, as typed structs. Only the fields we read; unknown ones are ignored, wrong ones are `WireError`.

Prices and amounts come as strings of decimal digits and are read as float64: the decoders of this room are not strict, so
that a number is a number with or without quotation marks. Both occur.
"""

from typing import Annotated, Generic, Literal, TypeVar

import msgspec

from engine.venues.decoding import Amount, Figure, Price, Sequence, Stamp, Text

T = TypeVar("T")

Level = tuple[Price, Amount]
Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder that takes numbers as strings too."""
    return msgspec.json.Decoder(kind, strict=False)


class Wrapped(msgspec.Struct, Generic[T], gc=False):
    """A message of a stream whose data we know the type of."""

    data: T


# ── streams ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class TopBookEvent(msgspec.Struct, gc=False):
    """`depth20`: every level there is to show."""

    E: Stamp
    u: Sequence
    b: list[Level]
    a: list[Level]


class DepthEvent(msgspec.Struct, gc=False):
    """`depth`: absolute amounts of the levels that changed after update `pu` up to update `u`, first of all `U`."""

    E: Stamp
    U: Sequence
    u: Sequence
    pu: Sequence
    b: list[Level]
    a: list[Level]


class QuoteEvent(msgspec.Struct, gc=False):
    """An empty side is a zero."""

    E: Stamp
    u: Sequence
    b: Amount
    a: Amount


class TradeEvent(msgspec.Struct, gc=False):
    a: Sequence
    p: Price
    q: Amount
    T: Stamp
    m: bool


class MarkEvent(msgspec.Struct, gc=False):
    """Of a contract that pays no funding `r` is "" and `T` is 0."""

    E: Stamp
    p: Price
    i: Figure
    r: Literal[""] | Figure = ""
    T: Stamp = 0


class BarData(msgspec.Struct, gc=False):
    t: Stamp
    o: Price
    h: Price
    l: Price  # noqa: E741 - the wire's name
    c: Price
    v: Amount
    q: Amount
    n: Sequence
    V: Amount
    Q: Amount
    x: bool


class BarEvent(msgspec.Struct, gc=False):
    E: Stamp
    k: BarData


class ForcedData(msgspec.Struct, gc=False):
    S: Literal["BUY", "SELL"]
    p: Price
    q: Amount
    ap: Amount
    z: Amount
    T: Stamp


class ForcedEvent(msgspec.Struct, gc=False):
    o: ForcedData


# ── control frames ─────────────────────────────────────────────────────────────────────────────────────────────────────


class ErrorBody(msgspec.Struct):
    code: int = 0
    msg: str = ""


class ControlFrame(ErrorBody):
    """An answer to a request: a result, or an error at the top or one level down, whichever came."""

    id: int | str | None = None
    error: ErrorBody | None = None
    stream: Text = ""


# ── REST ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


class ServerTime(msgspec.Struct):
    serverTime: Stamp  # noqa: N815 - the wire's name
