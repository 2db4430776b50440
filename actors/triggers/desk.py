"""What the watcher of an account's waiting orders works with."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from engine.kernel import Ref
from engine.model import MarketState
from engine.store import Store

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class TriggerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How conditions are watched. `evaluation_interval_s`: how often everything is looked at that no message tells (positions,
    polled samples, feed modes), what became reliable without one, and what is met is told again until it is taken in.
    """

    evaluation_interval_s: Seconds = 5.0
    custom_age_s: Seconds = 60.0  # a published figure that is older is stale
    custom_figures: Count = 1000  # how many published figures are kept
    errors_to_notice: Count = 12  # looks in a row at which a figure could not be read, before people are told
    trails_per_s: Count = 1000  # trailing stops whose new best price is stored, each second


class TriggersDesk(msgspec.Struct, frozen=True, kw_only=True):
    """It outlives incarnations. `market` and `feeds` are by instrument id, of any venue; None and () where nobody follows it."""

    account: str
    store: Store
    settings: TriggerSettings
    orders: Ref
    account_sync: Ref
    notifier: Ref
    market: Callable[[str], MarketState | None]
    feeds: Callable[[str], tuple[Ref, ...]]
