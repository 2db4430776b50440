"""What a Deribit section of a profile decodes into."""

from urllib.parse import urlsplit

import msgspec

from engine.model import ProofRules

_TEST_HTTP = "https://test.deribit.com/api/v2"
_TEST_WS = "wss://test.deribit.com/ws/api/v2"
_BOOK_INTERVALS = ("raw", "100ms", "agg2")
TEST_HOST = "test.deribit.com"
_ABOVE_ZERO = (
    "request_timeout_s",
    "orders_per_s",
    "orders_burst",
    "statements_per_s",
    "statements_burst",
    "resolve_margin_s",
    "resolve_repeat_s",
)


class DeribitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses, pace and margins. The defaults are the test venue's and the lowest trading tier's."""

    http_url: str = _TEST_HTTP
    ws_url: str = _TEST_WS
    currencies: tuple[str, ...] = ("BTC", "ETH", "USDC")  # asked one by one where the venue has no "any"
    book_interval: str = "100ms"  # "raw" needs an authenticated socket, which the public stream is not
    heartbeat_s: int = 15
    request_timeout_s: float = 10.0
    orders_per_s: float = 5.0
    orders_burst: float = 20.0
    statements_per_s: float = 1.0  # pages of the transaction log, which has a limit of its own
    statements_burst: float = 8.0
    resolve_margin_s: float = 6.0  # the engine may hold a started order for 5 s
    resolve_repeat_s: float = 60.0
    max_connections: int = 8  # the venue allows 32 per address, sockets and requests in progress together

    def __post_init__(self) -> None:
        if self.book_interval not in _BOOK_INTERVALS:
            raise ValueError(f"book_interval: expected one of {', '.join(_BOOK_INTERVALS)}, got {self.book_interval}")
        if not 10 <= self.heartbeat_s <= 3600:
            raise ValueError(f"heartbeat_s: expected 10 to 3600, got {self.heartbeat_s}")
        if not self.currencies or len(self.currencies) > 20:
            raise ValueError(f"currencies: expected 1 to 20 names, got {len(self.currencies)}")
        for field in _ABOVE_ZERO:
            if not 0 < getattr(self, field) < 1e6:
                raise ValueError(f"{field}: expected a number above 0, got {getattr(self, field)}")
        for field in ("orders_burst", "statements_burst"):  # a part of it is kept for what is more urgent
            if getattr(self, field) < 2:
                raise ValueError(f"{field}: expected at least 2, got {getattr(self, field)}")
        if not 1 <= self.max_connections <= 32:
            raise ValueError(f"max_connections: expected 1 to 32, got {self.max_connections}")

    @property
    def resolve(self) -> ProofRules:
        """When a denial of an order is proof: after that the next attempt may start by itself."""
        return ProofRules(margin_s=self.resolve_margin_s, repeat_s=self.resolve_repeat_s)

    @property
    def production_url(self) -> str:
        """An address where real money would move, empty when there is none."""
        return next((url for url in (self.http_url, self.ws_url) if _is_production(url)), "")


def _is_production(url: str) -> bool:
    """Every host of the exchange but the one for tests, however it is spelled."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return host != TEST_HOST and f".{host}".endswith(".deribit.com")
