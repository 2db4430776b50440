"""What the simulated exchange trades in: orders, trades and fills.

These are the exchange's own types, read from the protocol independently of the node's. Money, prices and amounts are
`Decimal`; an amount is in the instrument's unit (USD for inverse contracts, base coin for linear ones).
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Protocol

import msgspec

ZERO = Decimal(0)


def holding_of(instrument: str, leg: str) -> str:
    """The name of a position: the instrument's, and which of its legs where an account holds both ways at once."""
    return f"{instrument}#{leg}" if leg else instrument


def instrument_of(holding: str) -> str:
    return holding.partition("#")[0]


class Side(Enum):
    BUY = "buy"
    SELL = "sell"

    __hash__ = object.__hash__  # members are single objects; Enum's own hashes the name, in Python

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY

    def signed(self, amount: Decimal) -> Decimal:
        return amount if self is Side.BUY else -amount

    def reaches(self, limit: Decimal, price: Decimal) -> bool:
        """Whether an order of this side with this limit trades at `price`."""
        return limit >= price if self is Side.BUY else limit <= price


class Kind(Enum):
    LIMIT = "limit"
    MARKET = "market"
    MARKET_LIMIT = "market_limit"  # the unfilled remainder rests at the price of the last fill


class Lifetime(Enum):
    GOOD_TIL_CANCELLED = "good_til_cancelled"
    GOOD_TIL_DAY = "good_til_day"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    FILL_OR_KILL = "fill_or_kill"


class State(Enum):
    OPEN = "open"
    FILLED = "filled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    UNTRIGGERED = "untriggered"
    TRIGGERED = "triggered"


class SelfTrading(Enum):
    """What happens when an order meets one of the same account's."""

    REJECT_TAKER = "reject_taker"
    CANCEL_MAKER = "cancel_maker"
    CANCEL_TAKER = "cancel_taker"
    CANCEL_BOTH = "cancel_both"


class Family(Enum):
    """What a conditional order waits for: STOP an adverse move, TAKE a favourable one, TRAILING a retreat from the best."""

    STOP = "stop"
    TAKE = "take"
    TRAILING = "trailing"


class Reference(Enum):
    INDEX = "index_price"
    MARK = "mark_price"
    LAST = "last_price"


class Trigger(msgspec.Struct, kw_only=True):
    """The condition of a conditional order. A trailing one keeps `price` at `offset` from the best seen so far."""

    family: Family
    reference: Reference
    price: Decimal
    offset: Decimal | None = None

    def fires_above(self, side: Side) -> bool:
        return (side is Side.BUY) is not (self.family is Family.TAKE)

    def met(self, side: Side, reference: Decimal) -> bool:
        return reference >= self.price if self.fires_above(side) else reference <= self.price

    def trail(self, side: Side, reference: Decimal) -> None:
        if self.offset is None:
            return
        if side is Side.SELL:
            self.price = max(self.price, reference - self.offset)
        else:
            self.price = min(self.price, reference + self.offset)


class Place(Protocol):
    """A place in a linked set. It is told of each new order that takes it, and of changes to one that waits in it."""

    def joined(self, order: "Order") -> None: ...

    def amended(self, order: "Order") -> None: ...


class OrderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for. `price` is needed by limit orders only.

    `leg` names the position it is for, where an account holds both ways at once. `self_trading` counts before the
    account's. `terms` is whatever the venue's face wants to find again on the order. `seat` is its place in a linked set.
    """

    instrument: str
    side: Side
    amount: Decimal
    kind: Kind = Kind.LIMIT
    price: Decimal | None = None
    lifetime: Lifetime = Lifetime.GOOD_TIL_CANCELLED
    post_only: bool = False
    reject_post_only: bool = False
    reduce_only: bool = False
    display_amount: Decimal | None = None
    trigger: Trigger | None = None
    label: str = ""
    connection_id: int = 0
    is_liquidation: bool = False
    leg: str = ""
    self_trading: SelfTrading | None = None
    terms: object = None
    seat: Place | None = None

    @property
    def holding(self) -> str:
        return holding_of(self.instrument, self.leg)


class Order(msgspec.Struct, kw_only=True, eq=False):
    """One order in the life the exchange gives it. `shown` is the part visible in the book (0 when not in it); one that `waits`
    does so for another order's fill, not for a price."""

    order_id: str
    account: str
    instrument: str
    side: Side
    kind: Kind
    amount: Decimal
    price: Decimal | None
    lifetime: Lifetime
    created_ms: int
    updated_ms: int
    state: State = State.OPEN
    filled: Decimal = ZERO
    cost: Decimal = ZERO  # the sum of instrument.worth(amount, price) of the fills, unsigned; gives the average price
    shown: Decimal = ZERO
    label: str = ""
    post_only: bool = False
    reject_post_only: bool = False
    reduce_only: bool = False
    replaced: bool = False
    is_liquidation: bool = False
    display_amount: Decimal | None = None
    trigger: Trigger | None = None
    trigger_order_id: str | None = None
    cancel_reason: str | None = None
    reject_reason: str | None = None
    connection_id: int = 0
    leg: str = ""
    self_trading: SelfTrading | None = None
    terms: object = None
    seat: Place | None = None
    waits: bool = False

    @property
    def holding(self) -> str:
        return holding_of(self.instrument, self.leg)

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.filled

    @property
    def is_live(self) -> bool:
        return self.state is State.OPEN or self.state is State.UNTRIGGERED


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One print on the public tape. `side` is the taker's; `liquidation` says which side was liquidated (M, T or MT)."""

    trade_id: str
    seq: int
    instrument: str
    at_ms: int
    side: Side
    price: Decimal
    amount: Decimal
    mark: Decimal
    index: Decimal
    tick_direction: int
    liquidation: str | None = None


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One account's share in a trade, with the order as it was right after it."""

    trade: Trade
    order_id: str
    account: str
    side: Side
    state: State
    kind: Kind
    maker: bool
    fee: Decimal
    fee_currency: str
    profit: Decimal
    label: str
    reduce_only: bool
    post_only: bool
    is_liquidation: bool
    leg: str = ""


class Submission(msgspec.Struct, frozen=True):
    """What came of a command on one order: the order, and the fills it made at once."""

    order: Order
    fills: Sequence[Fill]
