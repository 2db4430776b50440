"""What the watcher of an account's waiting orders works with."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from engine.kernel import Ref
from engine.model import MarketState
from engine.store import Store

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class TriggerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How conditions are watched. `evaluation_interval_s`: how often what no market message tells (time, positions, figures
    that are asked for) is looked at.
    """

    evaluation_interval_s: Seconds = 5.0


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
