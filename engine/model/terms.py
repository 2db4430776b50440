"""The words an order is described with: what both the one who asks for it and the venue that holds it understand."""

from enum import StrEnum


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"
    STOP_LIMIT = "stop_limit"
    STOP_MARKET = "stop_market"

    @property
    def has_price(self) -> bool:
        return self in (OrderType.LIMIT, OrderType.STOP_LIMIT)

    @property
    def has_trigger(self) -> bool:
        return self in (OrderType.STOP_LIMIT, OrderType.STOP_MARKET)


class TimeInForce(StrEnum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class TriggerBy(StrEnum):
    MARK = "mark"
    INDEX = "index"
    LAST = "last"


class Priority(StrEnum):
    """Whose turn it is among orders that may leave. A lower one waits longer, and never for ever."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class PartialFill(StrEnum):
    """What happens to the rest of an order that was filled in part."""

    WAIT_REMAINING = "wait_remaining"
    CANCEL_REMAINING = "cancel_remaining"


class ErrorPolicy(StrEnum):
    """What happens after a venue's own refusal: try again some times, give the order up, or keep it for a person."""

    RETRY = "retry"
    CANCEL = "cancel"
    MANUAL = "manual"


class TriggerFill(StrEnum):
    """How much of an order must be filled before the orders linked to it act (Deribit's `trigger_fill_condition`)."""

    FIRST_HIT = "first_hit"  # anything: all at once
    COMPLETE_FILL = "complete_fill"  # all of it
    INCREMENTAL = "incremental"  # as much as was filled, each time
