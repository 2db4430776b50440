"""The limits of an account: settings, each of them with a reader in `engine.model.limits.risk`."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from engine.model.money import ZERO

Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
PerSecond = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]


class Permission(StrEnum):
    """What an account may be used for from here."""

    TRADE = "trade"
    REDUCE = "reduce"  # only reduce-only orders
    READ = "read"  # no orders at all; cancels pass


class SelfTrade(StrEnum):
    """What happens to an order that would meet a resting one of the same account."""

    REFUSE = "refuse"
    ALLOW = "allow"  # the venue's own prevention, if it has one, decides


class InstrumentLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be said of single instruments. None: as for the account; there, no limit of ours.

    A position's worst case is what it becomes if every order that may rest on one side is filled and nothing on the other.
    Reduce-only orders are not counted, since they open nothing, and a position they may close is not set off against orders
    of the other side: a long of 5 does not make room for 5 more to be sold. So no order of fills takes a position beyond
    `max_position`. A position that is beyond it already may be closed, also by orders that are not reduce-only.
    """

    max_order_amount: Decimal | None = None
    max_order_notional: Decimal | None = None  # in the quote currency
    max_price_deviation: Decimal | None = None  # of a price from the mark on the paying side, as a fraction
    max_resting_deviation: Decimal | None = None  # the same on the other side, where an order only rests
    max_orders_per_instrument: Count | None = None
    max_position: Decimal | None = None  # amount, long or short, in the worst case
    max_position_notional: Decimal | None = None  # the same at the mark, in the quote currency

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if isinstance(value, Decimal) and not (value.is_finite() and value > ZERO):
                raise ValueError(f"{field}: expected a number above zero, got {value}")


class OrderLimits(InstrumentLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one account. None means no limit of ours; the venue has its own.

    What must always be possible is to get out: reduce-only orders are not held up by size, position, exposure, loss, rate,
    lists or orders of their own account, and there is room for them beside twice as many orders. Cancels over their rate wait their turn, and are never
    refused.

    `max_daily_loss`, by currency: how far the account's equity in it may fall from where the UTC day began, or where the node
    first saw it on that day; beyond that the account only reduces, until a person resumes, who accepts the loss so far. It is
    looked at with every pass over the account and whatever its stream tells of balances. Equity does not know a withdrawal from a loss (the account stops in vain:
    resume) nor a deposit from a profit (which hides as much loss: pause and resume after one).

    `instruments`: other limits for single instruments, by full name, bare symbol, or the beginning of one and `*`; the
    longest that fits counts. `allow` and `deny` are lists of the same; an empty `allow` allows all.
    """

    max_waiting: Count = 1000
    max_live_orders: Count = 500
    max_price_deviation: Decimal | None = Decimal("0.1")
    max_exposure_notional: Decimal | None = None  # worst cases of all instruments together, in dollars of any kind
    max_orders_per_s: PerSecond | None = None
    max_cancels_per_s: PerSecond | None = None
    burst_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 1.0  # as many as these seconds allow may come at once
    max_daily_loss: dict[str, Decimal] = {}
    self_trade: SelfTrade = SelfTrade.REFUSE
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    permission: Permission = Permission.TRADE
    instruments: dict[str, InstrumentLimits] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        for currency, amount in self.max_daily_loss.items():
            if not (amount.is_finite() and amount > ZERO):
                raise ValueError(f"max_daily_loss.{currency}: expected a number above zero, got {amount}")
        for pattern in (*self.allow, *self.deny, *self.instruments):
            if not pattern or "*" in pattern[:-1]:
                raise ValueError(f"expected the name of an instrument, or its beginning and *, got {pattern!r}")

    def of(self, instrument: str) -> InstrumentLimits:
        """The limits of one instrument: its own where it has them, the account's for the rest."""
        fitting = [pattern for pattern in self.instruments if _fits(pattern, instrument)]
        if not fitting:
            return self
        own = self.instruments[max(fitting, key=lambda pattern: (not pattern.endswith("*"), len(pattern)))]
        fields = InstrumentLimits.__struct_fields__
        chosen = {field: getattr(own if getattr(own, field) is not None else self, field) for field in fields}
        return InstrumentLimits(**chosen)

    def allows(self, instrument: str) -> bool:
        """Whether the lists let the account trade it."""
        if any(_fits(pattern, instrument) for pattern in self.deny):
            return False
        return not self.allow or any(_fits(pattern, instrument) for pattern in self.allow)


def _fits(pattern: str, instrument: str) -> bool:
    """`instrument` is `venue:symbol`; a pattern without a venue is of the symbol."""
    name = instrument if ":" in pattern else instrument.partition(":")[2]
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
