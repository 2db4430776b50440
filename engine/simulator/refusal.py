"""Why the exchange refuses a command. The venue's face turns a reason into its own error code."""

from enum import Enum

__all__ = ["Reason", "Refusal"]


class Reason(Enum):
    UNKNOWN_INSTRUMENT = "unknown instrument"
    UNKNOWN_ORDER = "unknown order"
    NOT_OPEN = "order is not open"
    NOT_OWNER = "order belongs to another account"
    MARKET_CLOSED = "market is closed"
    INVALID_AMOUNT = "amount is not a positive multiple of the step"
    BELOW_FILLED = "amount is below what is already filled"
    INVALID_PRICE = "price is missing or not positive"
    WRONG_TICK = "price is off the tick grid"
    PRICE_TOO_HIGH = "price is above the band"
    PRICE_TOO_LOW = "price is below the band"
    POST_ONLY_CROSSES = "post-only order would trade"
    POST_ONLY_NOT_ALLOWED = "post-only does not go with this order"
    REDUCE_ONLY = "reduce-only order would not reduce a position"
    SELF_TRADE = "order would trade with the account's own"
    NOT_ENOUGH_FUNDS = "not enough funds"
    INVALID_DISPLAY = "display amount is too small or too large"
    INVALID_TRIGGER = "trigger is missing or incomplete"
    TRIGGER_TOO_HIGH = "trigger price is above the reference"
    TRIGGER_TOO_LOW = "trigger price is below the reference"
    TRIGGER_WRONG_TICK = "trigger price is off the tick grid"
    TOO_MANY_TRIGGERS = "too many conditional orders"
    TOO_MANY_ORDERS = "too many open orders"
    NO_POSITION = "there is no position"


class Refusal(Exception):
    """A command was refused and nothing was changed, except where the reason's use says otherwise.

    `limit` is the bound that was broken, where there is one.
    """

    def __init__(self, reason: Reason, limit: object = None) -> None:
        super().__init__(reason.value if limit is None else f"{reason.value}: {limit}")
        self.reason = reason
        self.limit = limit
