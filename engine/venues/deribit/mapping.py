"""The venue's objects → the model's: orders, fills, positions, balances. Every figure passes the model's own checks."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.model import (
    ZERO,
    Balance,
    Fill,
    Liquidity,
    Order,
    OrderReport,
    OrderState,
    Position,
    Side,
    instrument_id,
    order_id_of,
    positive,
    rounded,
)
from engine.venues.decoding import WireError, decode
from engine.venues.deribit.names import settlement_currency
from engine.venues.deribit.params import WAITING_EXIT
from engine.venues.deribit.wire import OrderData, PositionData, SummaryData, UserTradeData
from engine.venues.figures import checking, not_negative, some

LOT_DECIMALS = 12  # no lot is smaller
TRIGGERED = "triggered"
LIVE = frozenset({"open", "untriggered"})
_STATES = {
    "open": OrderState.OPEN,
    "untriggered": OrderState.OPEN,
    TRIGGERED: OrderState.OPEN,  # the order it became carries on under the same label
    "filled": OrderState.FILLED,
    "cancelled": OrderState.CANCELLED,
    "rejected": OrderState.REJECTED,
}
_MARKET_TYPES = ("market", "stop_market", "take_market", "trailing_stop")
_DECIMAL = msgspec.json.Decoder(Decimal)


def is_rest_of_parts(data: OrderData) -> bool:
    """Whether it is the end of what still waited of an exit that is placed in parts. Of the parts that were placed it says
    nothing, and they go by the same label: what became of the exit is found by that."""
    waited = WAITING_EXIT in data.order_id and data.order_state == "cancelled"
    return waited and data.trigger_fill_condition == "incremental"


class AccountView:
    """Maps what one venue says about one account."""

    def __init__(self, venue: str, account: str) -> None:
        self._venue = venue
        self._account = account
        self.report = checking(self._report)
        self.fill = checking(self._fill)
        self.position = checking(self._position)
        self.balance = checking(self._balance)

    def fills(self, trades: Iterable[UserTradeData]) -> tuple[Fill, ...]:
        return tuple(self.fill(trade) for trade in trades)

    def accepted(self, order: Order) -> OrderReport:
        """Of an order that the venue took together with another one, and has said nothing else of."""
        return OrderReport(
            account=self._account,
            instrument=order.instrument,
            client_order_id=order.client_order_id,
            venue_order_id="",
            state=OrderState.OPEN,
            side=order.side,
            amount=order.amount,
            order_type=order.order_type.value,
            price=order.price,
        )

    def _report(self, data: OrderData) -> OrderReport:
        state = _STATES.get(data.order_state)
        if state is None:
            raise WireError("order_state", f"one of {', '.join(_STATES)}", repr(data.order_state[:40]))
        ours = order_id_of(data.label) is not None
        return OrderReport(
            account=self._account,
            instrument=instrument_id(self._venue, data.instrument_name),
            client_order_id=data.label,
            # The order a trigger became has an id of its own; the spent trigger must not put the old one back in its place.
            venue_order_id="" if ours and data.order_state == TRIGGERED else data.order_id,
            state=state,
            side=Side(data.direction),
            amount=positive(_lots(data.amount, "amount"), "amount"),
            order_type=data.order_type,
            price=None if _at_market(data) else _price(data.price),
            filled_amount=not_negative(_lots(data.filled_amount or ZERO, "filled_amount"), "filled_amount"),
            average_price=some(data.average_price, "average_price"),
            triggered=bool(data.triggered) or data.order_state == TRIGGERED or data.trigger_order_id is not None,
            reason=data.cancel_reason or "",
            updated_at_ms=data.last_update_timestamp,
        )

    def _fill(self, data: UserTradeData) -> Fill:
        label = data.label or ""
        fill = Fill(
            account=self._account,
            instrument=instrument_id(self._venue, data.instrument_name),
            trade_id=data.trade_id,
            order_id=order_id_of(label) or "",
            client_order_id=label,
            venue_order_id=data.order_id,
            side=Side(data.direction),
            price=data.price,
            amount=_lots(data.amount, "amount"),
            fee=data.fee or ZERO,
            fee_currency=data.fee_currency or "",
            liquidity=Liquidity.MAKER if data.liquidity == "M" else Liquidity.TAKER,
            filled_at_ms=data.timestamp,
        )
        fill.check()
        return fill

    def _position(self, data: PositionData, at_ms: int) -> Position:
        position = Position(
            account=self._account,
            instrument=instrument_id(self._venue, data.instrument_name),
            amount=data.size,
            average_price=some(data.average_price, "average_price"),
            mark_price=some(data.mark_price, "mark_price"),
            unrealised_pnl=rounded(data.floating_profit_loss or ZERO, "floating_profit_loss"),
            realised_pnl=rounded(data.realized_profit_loss or ZERO, "realized_profit_loss"),
            currency=settlement_currency(data.instrument_name),
            updated_at_ms=at_ms,
        )
        position.check()
        if (data.direction == "buy" and data.size < ZERO) or (data.direction == "sell" and data.size > ZERO):
            raise WireError("size", f"the sign of direction {data.direction}", str(data.size))
        return position

    def _balance(self, data: SummaryData, at_ms: int) -> Balance:
        balance = Balance(
            account=self._account,
            currency=data.currency.upper(),
            balance=rounded(data.balance, "balance"),
            equity=rounded(data.equity, "equity"),
            available=rounded(data.available_funds, "available_funds"),
            initial_margin=rounded(data.initial_margin or ZERO, "initial_margin"),
            maintenance_margin=rounded(data.maintenance_margin or ZERO, "maintenance_margin"),
            updated_at_ms=at_ms,
        )
        balance.check()
        return balance


def _at_market(data: OrderData) -> bool:
    """Whether the price shown is only the edge of the price band, which is how the venue stores a market order."""
    return data.order_type in _MARKET_TYPES or data.original_order_type == "market"


def _price(raw: msgspec.Raw) -> Decimal | None:
    text = bytes(raw)
    if text in (b"", b"null", b'"market_price"'):
        return None
    return some(decode(_DECIMAL, text), "price")


def _lots(value: Decimal, field: str) -> Decimal:
    """Amounts are sums of lots; what a sum in floating point adds to them would make an order filled beyond its amount."""
    return rounded(value, field, LOT_DECIMALS)
