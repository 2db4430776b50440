"""What Deribit puts on the wire, as typed structs. Only the fields we read; unknown ones are ignored, wrong ones are `WireError`.

Money is `Decimal`, read from the text of the number (exponents included). Market data is float64 with bounds checked while decoding, so a
frame either decodes whole or changes nothing.
"""

from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from engine.venues.decoding import Amount, Figure, Price, Sequence, Stamp, Text

T = TypeVar("T")

Direction = Literal["buy", "sell"]


# ── envelope ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class ErrorBody(msgspec.Struct):
    code: int
    message: str = ""
    data: Any = None


class Envelope(msgspec.Struct):
    """Reply, error or notification: whichever members came."""

    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: ErrorBody | None = None
    usOut: Annotated[int, msgspec.Meta(ge=0, le=10**17)] = 0  # noqa: N815 - the wire's name
    method: str = ""
    params: msgspec.Raw = msgspec.Raw()


class Heartbeat(msgspec.Struct):
    type: str


class Params(msgspec.Struct, Generic[T], gc=False):
    data: T


class Note(msgspec.Struct, Generic[T], gc=False):
    """A subscription message whose data we know the type of."""

    params: Params[T]


# ── market data ────────────────────────────────────────────────────────────────────────────────────────────────────────


class BookData(msgspec.Struct, gc=False):
    type: Literal["snapshot", "change"]
    timestamp: Stamp
    change_id: Sequence
    bids: list[tuple[Literal["new", "change", "delete"], Price, Amount]]
    asks: list[tuple[Literal["new", "change", "delete"], Price, Amount]]
    prev_change_id: Sequence | None = None


class TickerData(msgspec.Struct, gc=False):
    """An empty side is null or zero; both mean "no quote"."""

    timestamp: Stamp
    best_bid_price: Amount | None = None
    best_ask_price: Amount | None = None
    last_price: Amount | None = None
    mark_price: Figure | None = None
    index_price: Amount | None = None
    current_funding: Figure | None = None
    open_interest: Amount | None = None


class TradeData(msgspec.Struct, gc=False):
    timestamp: Stamp
    price: Price
    amount: Amount
    direction: Direction
    trade_seq: Sequence


class ChartData(msgspec.Struct, gc=False):
    tick: Stamp
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Amount
    cost: Amount = 0.0


class OrderBookResult(msgspec.Struct):
    timestamp: Stamp
    change_id: Sequence
    bids: list[tuple[Price, Amount]]
    asks: list[tuple[Price, Amount]]


class TradesResult(msgspec.Struct):
    trades: list[TradeData]


class ChartResult(msgspec.Struct):
    status: str
    ticks: list[Stamp] = []
    open: list[Price] = []
    high: list[Price] = []
    low: list[Price] = []
    close: list[Price] = []
    volume: list[Amount] = []
    cost: list[Amount] = []


class TickStepData(msgspec.Struct):
    above_price: Decimal
    tick_size: Decimal


class InstrumentKindData(msgspec.Struct):
    """Read first, so that a kind we do not trade is skipped whatever else it says."""

    instrument_name: Text
    kind: str


class InstrumentData(msgspec.Struct):
    instrument_name: Text
    kind: str
    base_currency: Text
    quote_currency: Text
    tick_size: Decimal
    contract_size: Decimal
    min_trade_amount: Decimal
    is_active: bool
    settlement_currency: Text = ""
    settlement_period: str = ""
    instrument_type: str = ""
    tick_size_steps: list[TickStepData] = []
    maker_commission: Decimal = Decimal(0)
    taker_commission: Decimal = Decimal(0)
    max_leverage: Decimal | None = None
    expiration_timestamp: Annotated[int, msgspec.Meta(ge=0, le=10**15)] | None = None


# ── account ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class OrderData(msgspec.Struct):
    """`price` is a number, "market_price" for an open trigger-market order, or absent."""

    order_id: Text
    order_state: str
    order_type: Text
    instrument_name: Text
    direction: Direction
    amount: Decimal
    last_update_timestamp: Stamp
    creation_timestamp: Stamp = 0
    price: msgspec.Raw = msgspec.Raw()
    filled_amount: Decimal | None = None
    average_price: Decimal | None = None
    label: Text = ""
    cancel_reason: Text | None = None
    triggered: bool | None = None
    trigger_order_id: Text | None = None
    original_order_type: Text | None = None
    trigger_fill_condition: Text | None = None


class UserTradeData(msgspec.Struct):
    trade_id: Text
    order_id: Text
    instrument_name: Text
    timestamp: Stamp
    direction: Direction
    price: Decimal
    amount: Decimal
    fee: Decimal | None = None
    fee_currency: Text | None = None
    liquidity: Literal["M", "T"] = "T"
    label: Text | None = None


class PositionData(msgspec.Struct):
    instrument_name: Text
    size: Decimal
    direction: str = ""
    average_price: Decimal | None = None
    mark_price: Decimal | None = None
    floating_profit_loss: Decimal | None = None
    realized_profit_loss: Decimal | None = None


class SummaryData(msgspec.Struct):
    currency: Text
    balance: Decimal
    equity: Decimal
    available_funds: Decimal
    initial_margin: Decimal | None = None
    maintenance_margin: Decimal | None = None


class SummariesResult(msgspec.Struct):
    summaries: list[SummaryData]


class PlacedResult(msgspec.Struct):
    order: OrderData
    trades: list[UserTradeData] = []


class HistoryResult(msgspec.Struct):
    orders: list[OrderData]
    continuation: str | int | None = None


class TriggerLogData(msgspec.Struct):
    """`trigger_order_id` is the conditional order, `order_id` what it became; `order_state` may be `rejected:<reason>`."""

    trigger_order_id: Text
    order_state: Text
    instrument_name: Text
    direction: Direction
    amount: Decimal
    timestamp: Stamp
    order_id: Text | None = None
    label: Text | None = None


class TriggerLogResult(msgspec.Struct):
    entries: list[TriggerLogData]
    continuation: str | int | None = None


class LogData(msgspec.Struct):
    """A line of the transaction log. `change` is what it did to the cash balance, `balance` what that was then."""

    id: Sequence
    type: Text
    currency: Text
    timestamp: Stamp
    change: Decimal | None = None
    balance: Decimal | None = None
    commission: Decimal | None = None
    interest_pl: Decimal | None = None
    total_interest_pl: Decimal | None = None
    instrument_name: Text | None = None
    trade_id: Text | None = None


class LogResult(msgspec.Struct):
    logs: list[LogData]
    continuation: str | int | None = None


class UserTradesResult(msgspec.Struct):
    trades: list[UserTradeData]
    has_more: bool


class ChangesData(msgspec.Struct):
    orders: list[OrderData] = []
    trades: list[UserTradeData] = []
    positions: list[PositionData] = []


class AuthResult(msgspec.Struct):
    access_token: str
    refresh_token: str = ""
    scope: str = ""
    expires_in: Annotated[int, msgspec.Meta(gt=0)] = 900
