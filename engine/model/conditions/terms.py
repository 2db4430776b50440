"""What must be true before an order may leave.

An order with conditions waits in the store until they hold, all of `conditions` and one at least of every group in `any_of`,
at one moment and on fresh data. A trailing stop waits for the price to turn: its trigger follows the best price seen.

How values compare. Market data are float64, and so are the thresholds they are compared with: the float nearest to what was
written. Of texts with at most `DIGITS` digits no two different numbers have the same float, so comparing the floats is
comparing the written numbers: `==` holds when the venue wrote the same decimal number, and a price of 100.1 is not above
100.1. Finer thresholds are refused. Figures of the account and those that somebody publishes are `Decimal` on both sides,
times are whole milliseconds, and a feed's mode is its place in `MODES`, so `>= polling` is said of a feed that streams too.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.terms import TriggerBy

MODES = ("starting", "polling", "streaming")
DIGITS = 15


class ConditionType(StrEnum):
    """What a condition looks at."""

    PRICE = "price"  # `field` says which: last (the default), mark, index, bid, ask
    MARK = "mark"  # the same as price with the field mark
    INDEX = "index"  # the same as price with the field index
    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"
    POSITION = "position"  # signed amount the account holds of the instrument
    PNL = "pnl"  # `field`: unrealised (the default), realised or total of the instrument's position; daily, see `Condition`
    TIME = "time"  # Unix milliseconds of the node's clock, or ISO 8601 with a zone
    MODE = "mode"  # of the instrument's feed: streaming, polling, starting
    CUSTOM = "custom"  # a figure named `field` that a strategy or a person publishes
    IV = "iv"  # known by name to be refused by name: no venue here tells it
    DELTA = "delta"  # likewise


class Operator(StrEnum):
    """The first five hold or do not; a crossing is one move from one side of the value to the other."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    EQUAL = "=="
    CROSSES_ABOVE = "crosses_above"  # from the value or below it to above it
    CROSSES_BELOW = "crosses_below"  # from the value or above it to below it

    @property
    def crosses(self) -> bool:
        return self in (Operator.CROSSES_ABOVE, Operator.CROSSES_BELOW)


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One comparison. An empty `instrument_name` is the order's own; for the time, a custom figure and the day's PnL it means
    nothing. `value` is a number in any of its forms; of a time, ISO 8601 too; of a mode, its name. The day's PnL is that of
    the account since the UTC day began, in its only currency (`daily`) or in one that is named (`daily.BTC`).
    """

    type: ConditionType
    operator: Operator
    value: str | int | float
    instrument_name: str = ""
    field: str = ""


class Trail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stop that follows the market: `distance` in price or `percent` of the best price, one of the two.

    With `activation_price` it begins to follow once the price was there: at it or above it for a sell, at it or below it for
    a buy.
    """

    by: TriggerBy = TriggerBy.MARK
    distance: Decimal | None = None
    percent: Decimal | None = None
    activation_price: Decimal | None = None


class Trailing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a trailing stop has come: the best price since it was activated, as last stored."""

    best: Decimal
    at_ms: int
