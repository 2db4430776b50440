"""What must be true before an order may leave.

An order with conditions waits in the store until they hold, all of `conditions` and one at least of every group in `any_of`,
at one moment and on fresh data. A trailing stop waits for the price to turn: its trigger follows the best price seen.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.terms import TriggerBy


class ConditionType(StrEnum):
    """What a condition looks at."""

    PRICE = "price"  # `field` says which: last (the default), mark, index, bid, ask
    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"
    POSITION = "position"  # signed amount the account holds of the instrument
    PNL = (
        "pnl"  # `field`: unrealised (the default), realised or total of the instrument's position; daily of the account
    )
    TIME = "time"  # Unix milliseconds of the node's clock, or ISO 8601 with a zone
    MODE = "mode"  # of the instrument's feed: streaming, polling, starting
    CUSTOM = "custom"  # a figure named `field` that a strategy or a person publishes


class Operator(StrEnum):
    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    EQUAL = "=="
    CROSSES_ABOVE = "crosses_above"
    CROSSES_BELOW = "crosses_below"


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One comparison. An empty `instrument_name` is the order's own. `value` is a number in any of its forms; of a time, ISO 8601
    too; of a mode, its name.
    """

    type: ConditionType
    operator: Operator
    value: str | int | float
    instrument_name: str = ""
    field: str = ""


class Trail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stop that follows the market: `distance` in price or `percent` of the best price, one of the two.

    With `activation_price` it begins to follow once the price was there.
    """

    by: TriggerBy = TriggerBy.MARK
    distance: Decimal | None = None
    percent: Decimal | None = None
    activation_price: Decimal | None = None


class Trailing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a trailing stop has come: the best price since it was activated, as last stored."""

    best: Decimal
    at_ms: int
