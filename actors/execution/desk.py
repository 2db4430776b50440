"""What the execution of an account works with."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated

import msgspec

from engine.kernel import Ref
from engine.model import MarketState, VenueState
from engine.store import Store

#: Where a crash drill may kill the process, besides the points of the order queue.
POINTS = ("plan.decided", "plan.durable", "plan.answered")

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class ExecutionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How plans are worked.

    `distance_ticks` and `step_s` are for progressive orders that leave them open, until `learn_from` rests are known to choose
    them by. `explore` is the share of those orders that are worked at another pace, drawn at random: what is never tried is
    never learned. `maker_fee` and `taker_fee`, as fractions, are for a venue that does not tell fees with its instruments (Binance
    does not): what crossing costs is weighed by them.
    """

    max_plans: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    max_life_s: Annotated[float, msgspec.Meta(gt=0, le=604_800)] = 86_400.0
    tick_s: Seconds = 0.25
    call_timeout_s: Seconds = 15.0
    retry_s: Seconds = 1.0
    retry_max_s: Seconds = 30.0
    distance_ticks: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    step_s: Annotated[float, msgspec.Meta(ge=0.05, le=86_400)] = 5.0
    learn_from: Annotated[int, msgspec.Meta(ge=10, le=1_000_000)] = 100
    explore: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.1
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None
    forget_after_days: Annotated[float, msgspec.Meta(gt=0, le=3650)] = 14.0
    history_plans: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 2000


class ExecutionDesk(msgspec.Struct, frozen=True, kw_only=True):
    """It outlives incarnations."""

    account: str
    venue: VenueState
    store: Store
    settings: ExecutionSettings
    orders: Ref
    recorder: Ref
    notifier: Ref
    market: Callable[[str], MarketState | None]
    feeds: Callable[[str], tuple[Ref, ...]]
    owner_of: Callable[[str], Ref | None]  # strategy name → whom to tell
    point: Callable[[str], None] = lambda _label: None  # where a drill may kill the process
