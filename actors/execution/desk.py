"""What the execution of an account works with."""

from collections.abc import Callable

import msgspec

from engine.kernel import Ref
from engine.model import MarketState, VenueState
from engine.store import Store


class ExecutionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How plans are worked."""


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
