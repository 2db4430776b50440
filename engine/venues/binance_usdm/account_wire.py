"""What Binance USD-M says of an account, as typed structs: replies of the signed endpoints and events of the private stream.

Money is `Decimal`, from strings and numbers alike. Only the fields we read; of those, only what makes an order an order must be
there. Words of the venue (types, states) are text here: a new one is no reason not to read the rest.
"""

from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

import msgspec

from engine.venues.decoding import Sequence, Stamp, Text

T = TypeVar("T")

Direction = Literal["BUY", "SELL"]
Id = Sequence  # above 2^53 for conditional orders


# ── replies ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class OrderRow(msgspec.Struct):
    """Read first, to know whose an order is. `st` 1 is this product."""

    clientOrderId: Text = ""  # noqa: N815 - the wire's names, here and below
    st: int = 1


class OrderData(OrderRow, kw_only=True):
    """A reply to POST, PUT and DELETE has no `avgPrice`; queries do."""

    symbol: Text
    orderId: Id  # noqa: N815
    status: Text
    side: Direction
    origQty: Decimal  # noqa: N815
    executedQty: Decimal = Decimal(0)  # noqa: N815
    price: Decimal | None = None
    avgPrice: Decimal | None = None  # noqa: N815
    type: Text = ""
    updateTime: Stamp = 0  # noqa: N815
    time: Stamp = 0


class AlgoRow(msgspec.Struct):
    clientAlgoId: Text = ""  # noqa: N815
    st: int = 1


class AlgoData(AlgoRow, kw_only=True):
    """A conditional order. `actualOrderId` is the order it became, "" before."""

    symbol: Text
    algoId: Id  # noqa: N815
    algoStatus: Text  # noqa: N815
    side: Direction
    quantity: Decimal
    orderType: Text = ""  # noqa: N815
    price: Decimal | None = None
    createTime: Stamp = 0  # noqa: N815
    updateTime: Stamp = 0  # noqa: N815
    actualOrderId: int | Text | None = None  # noqa: N815


class AlgoCancelled(msgspec.Struct):
    """`code` is 200, as a string."""

    algoId: Id = 0  # noqa: N815
    code: int = 200
    msg: str = ""


class UserTradeData(msgspec.Struct, kw_only=True):
    """No client id. A positive commission was paid."""

    symbol: Text
    id: Id
    orderId: Id  # noqa: N815
    side: Direction
    price: Decimal
    qty: Decimal
    time: Stamp
    commission: Decimal = Decimal(0)
    commissionAsset: Text = ""  # noqa: N815
    maker: bool = False
    positionSide: Text = "BOTH"  # noqa: N815
    st: int = 1


class IncomeRow(msgspec.Struct):
    """Enough of a line of the statement to know which symbol it is about."""

    time: Stamp
    symbol: Text = ""


class IncomeData(IncomeRow, kw_only=True):
    """A line of the statement. `tranId` is unique among those of its type."""

    incomeType: Text  # noqa: N815
    income: Decimal
    asset: Text
    tranId: int | Text  # noqa: N815
    tradeId: Text = ""  # noqa: N815


class Restrictions(msgspec.Struct):
    """What a key may do."""

    enableReading: bool  # noqa: N815
    enableFutures: bool  # noqa: N815
    enableWithdrawals: bool  # noqa: N815
    enableInternalTransfer: bool = False  # noqa: N815
    permitsUniversalTransfer: bool = False  # noqa: N815
    ipRestrict: bool = False  # noqa: N815


class AccountConfig(msgspec.Struct):
    canTrade: bool  # noqa: N815


class PositionData(msgspec.Struct, kw_only=True):
    """`positionAmt` is negative for a short, in hedge mode too."""

    symbol: Text
    positionAmt: Decimal  # noqa: N815
    positionSide: Text = "BOTH"  # noqa: N815
    entryPrice: Decimal | None = None  # noqa: N815
    markPrice: Decimal | None = None  # noqa: N815
    unRealizedProfit: Decimal | None = None  # noqa: N815
    marginAsset: Text = ""  # noqa: N815
    updateTime: Stamp = 0  # noqa: N815
    st: int = 1


class AssetData(msgspec.Struct, kw_only=True):
    asset: Text
    walletBalance: Decimal  # noqa: N815
    marginBalance: Decimal  # noqa: N815
    availableBalance: Decimal  # noqa: N815
    initialMargin: Decimal | None = None  # noqa: N815
    maintMargin: Decimal | None = None  # noqa: N815
    updateTime: Stamp = 0  # noqa: N815


class AccountData(msgspec.Struct):
    assets: list[AssetData]


class ListenKey(msgspec.Struct):
    listenKey: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]  # noqa: N815


class Nothing(msgspec.Struct):
    """A reply that says nothing we need."""


# ── events ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class EventHead(msgspec.Struct):
    """`E` was a string in some events once, and is read from either."""

    e: Text = ""
    E: Stamp = 0
    T: Stamp = 0


class OrderEventData(msgspec.Struct, kw_only=True):
    s: Text
    c: Text = ""
    S: Direction
    o: Text = ""
    q: Decimal
    p: Decimal | None = None
    ap: Decimal | None = None
    x: Text = ""
    X: Text = ""
    i: Id
    l: Decimal = Decimal(0)  # noqa: E741
    z: Decimal = Decimal(0)
    L: Decimal | None = None
    n: Decimal | None = None
    N: Text | None = None
    T: Stamp = 0
    t: int = 0
    m: bool = False
    ps: Text = "BOTH"
    er: int | Text | None = None
    st: int = 1


class TradeLite(msgspec.Struct, kw_only=True):
    s: Text
    t: int = 0
    i: Id
    E: Stamp = 0


class AlgoEventData(msgspec.Struct, kw_only=True):
    """`ai` is the order it became."""

    caid: Text = ""
    aid: Id
    s: Text
    S: Direction
    o: Text = ""
    q: Decimal
    p: Decimal | None = None
    X: Text = ""
    ai: int | Text | None = None
    rm: Text | None = None
    st: int = 1


class BalanceEventData(msgspec.Struct):
    a: Text
    wb: Decimal


class PositionEventData(msgspec.Struct, kw_only=True):
    s: Text
    pa: Decimal
    ep: Decimal | None = None
    up: Decimal | None = None
    ps: Text = "BOTH"
    ma: Text = ""
    st: int = 1


class HoldingsData(msgspec.Struct):
    """Rows are read one by one."""

    B: list[msgspec.Raw] = []
    P: list[msgspec.Raw] = []


class OrderEvent(EventHead, kw_only=True):
    o: OrderEventData


class AlgoEvent(EventHead, kw_only=True):
    o: AlgoEventData


class HoldingsEvent(EventHead, kw_only=True):
    a: HoldingsData


class Framed(msgspec.Struct, Generic[T]):
    """An event as a connection of the form `/stream` wraps it."""

    data: T
