"""How a simulated Deribit behaves where nothing is wrong."""

import msgspec

from engine.simulator.wire.deribit.credits import CreditLimits
from engine.simulator.wire.deribit.grants import DEFAULT_EXPIRES_S
from engine.simulator.wire.quirks import QuirkSettings

__all__ = ["DeribitSettings"]


class DeribitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits are the venue's own. `max_connections` counts sockets and requests in progress."""

    expires_in_s: int = DEFAULT_EXPIRES_S
    credits: CreditLimits = CreditLimits()
    quirks: QuirkSettings = QuirkSettings()
    max_connections: int = 32
    max_outbound_bytes: int = 8 * 1024 * 1024
    inactivity_s: float = 600.0
    clock_offset_ms: int = 0

    @classmethod
    def plain(cls) -> "DeribitSettings":
        """Without rate limits and peculiarities: for tests of other things."""
        return cls(credits=CreditLimits.generous(), quirks=QuirkSettings.none())
