"""What Binance USD-M puts on the wire, as typed structs. Only the fields we read; unknown ones are ignored, wrong ones are `WireError`.

Prices and amounts come as strings of decimal digits and are read as float64: the decoders of this room are not strict, so
that a number is a number with or without quotation marks. Both occur.
"""

from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

import msgspec

from engine.venues.decoding import Amount, Figure, Price, RowNumber, Sequence, Stamp, Text

T = TypeVar("T")

Level = tuple[Price, Amount]


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
    a: RowNumber
    p: Price
    q: Amount
    T: Stamp
    m: bool


class MarkEvent(msgspec.Struct, gc=False):
    """Of a contract that pays no funding `r` is "" and `T` is 0; of one not traded yet a price is zero or ""."""

    E: Stamp
    p: Amount
    i: Literal[""] | Figure
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


class ErrorReply(msgspec.Struct):
    code: int
    msg: str = ""


class ServerTime(msgspec.Struct):
    serverTime: Stamp  # noqa: N815 - the wire's name


class RateLimitData(msgspec.Struct):
    rateLimitType: Text  # noqa: N815
    interval: Text
    intervalNum: int  # noqa: N815
    limit: Annotated[int, msgspec.Meta(ge=1, le=10**9)]


class ExchangeInfo(msgspec.Struct):
    symbols: list[msgspec.Raw]
    rateLimits: list[RateLimitData] = []  # noqa: N815
    serverTime: Stamp = 0  # noqa: N815


class FilterData(msgspec.Struct):
    """Whichever figures a filter of this type has."""

    filterType: Text  # noqa: N815
    tickSize: Decimal | None = None  # noqa: N815
    stepSize: Decimal | None = None  # noqa: N815
    minQty: Decimal | None = None  # noqa: N815
    maxQty: Decimal | None = None  # noqa: N815
    notional: Decimal | None = None
    multiplierUp: Decimal | None = None  # noqa: N815
    multiplierDown: Decimal | None = None  # noqa: N815


class SymbolKindData(msgspec.Struct):
    """Read first, so that a kind we do not trade is skipped whatever else it says. `st` 1 is this product."""

    symbol: Text
    contractType: Text = ""  # noqa: N815
    st: int = 1


class SymbolData(SymbolKindData, kw_only=True):
    baseAsset: Text  # noqa: N815
    quoteAsset: Text  # noqa: N815
    filters: list[FilterData]
    marginAsset: Text = ""  # noqa: N815
    status: Text = ""
    deliveryDate: Annotated[int, msgspec.Meta(ge=0, le=10**15)] = 0  # noqa: N815


class DepthReply(msgspec.Struct):
    lastUpdateId: Sequence  # noqa: N815
    bids: list[Level]
    asks: list[Level]
    E: Stamp = 0


class BarRow(msgspec.Struct, array_like=True, gc=False):
    """One row of `klines`; what follows the last of these columns has no meaning."""

    open_ms: Stamp
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Amount
    close_ms: Stamp
    cost: Amount
    trades: Sequence
    taker_volume: Amount
    taker_cost: Amount


class SymbolRow(msgspec.Struct):
    """A row of a list of all symbols; such lists carry two products, and `st` 1 is this one."""

    symbol: Text
    st: int = 1


class MarkRow(SymbolRow, kw_only=True):
    markPrice: Amount  # noqa: N815
    indexPrice: Figure | Literal[""] = ""  # noqa: N815
    lastFundingRate: Figure | Literal[""] = ""  # noqa: N815
    nextFundingTime: Stamp = 0  # noqa: N815
    time: Stamp = 0


class QuoteRow(SymbolRow, kw_only=True):
    bidPrice: Amount  # noqa: N815
    askPrice: Amount  # noqa: N815
    time: Stamp = 0


class PriceRow(SymbolRow, kw_only=True):
    price: Amount
    time: Stamp = 0


class DayRow(SymbolRow, kw_only=True):
    lastPrice: Amount  # noqa: N815
    priceChangePercent: Figure  # noqa: N815
    volume: Amount
    quoteVolume: Amount  # noqa: N815
    closeTime: Stamp = 0  # noqa: N815


class FundingRow(msgspec.Struct):
    fundingRate: Figure  # noqa: N815
    fundingTime: Stamp  # noqa: N815


class InterestRow(msgspec.Struct):
    openInterest: Amount  # noqa: N815
    time: Stamp = 0


class InterestHistoryRow(msgspec.Struct):
    sumOpenInterest: Amount  # noqa: N815
    sumOpenInterestValue: Amount  # noqa: N815
    timestamp: Stamp
