"""How a simulated Binance USD-M behaves where nothing is wrong."""

import msgspec

__all__ = ["BinanceSettings"]

DAY_S = 86_400.0
NO_LIMIT = 1_000_000_000


class BinanceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits are the venue's own, for one address, which all clients of a simulator share; those of orders are for one account.

    Weights count from full minutes (of the venue's clock), funding and data from full five minutes. More than
    `ban_after_refusals` requests that ran into a spent limit before its time was over bring a ban; each ban is
    `ban_growth` times as long as the one before, up to `max_ban_s`. As many bring `flood_ban_after` sockets closed for
    flooding within `flood_window_s`.
    """

    weight_per_minute: int = 2_400
    spot_weight_per_minute: int = 6_000
    funding_per_5_minutes: int = 500
    data_per_5_minutes: int = 1_000
    orders_per_10_seconds: int = 300
    orders_per_minute: int = 1_200
    listen_key_s: float = 3_600.0
    ban_after_refusals: int = 10
    ban_s: float = 120.0
    ban_growth: float = 2.0
    max_ban_s: float = 3 * DAY_S
    max_connections: int = 300
    max_streams: int = 1_024
    messages_per_second: int = 10
    flood_ban_after: int = 5
    flood_window_s: float = 300.0
    ping_s: float = 180.0
    pong_timeout_s: float = 600.0
    life_s: float = DAY_S
    max_outbound_bytes: int = 8 * 1024 * 1024
    clock_offset_ms: int = 0

    @classmethod
    def plain(cls) -> "BinanceSettings":
        """Without rate limits: for tests and benches of other things."""
        return cls(
            weight_per_minute=NO_LIMIT,
            spot_weight_per_minute=NO_LIMIT,
            funding_per_5_minutes=NO_LIMIT,
            data_per_5_minutes=NO_LIMIT,
            orders_per_10_seconds=NO_LIMIT,
            orders_per_minute=NO_LIMIT,
            messages_per_second=1_000_000,
        )
