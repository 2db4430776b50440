"""What a Binance USD-M section of a profile decodes into."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from engine.model import ProofRules

_TEST_HTTP = "https://demo-fapi.binance.com"
_TEST_WS = "wss://demo-fstream.binance.com"
_SPOT_HTTP = "https://api.binance.com"
_TEST_HOSTS = frozenset(
    {
        "demo-fapi.binance.com",
        "demo-fstream.binance.com",
        "testnet.binancefuture.com",
        "fstream.binancefuture.com",
    }
)
_HOUSES = (".binance.com", ".binancefuture.com")


class BinanceUsdmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses, streams and pace. The defaults are the test venue's; its spot prices are the real ones, which are public.

    `ws_url` is the base to which the routes `/public`, `/market` and `/private` are added. `weight_share` is the part of the
    host's request weight this node may use: other programs behind the same address share it. `order_share` is the part of
    an account's order counters. `resolve_margin_s`: this venue has denied existing orders for minutes.
    """

    http_url: str = _TEST_HTTP
    ws_url: str = _TEST_WS
    spot_url: str = _SPOT_HTTP
    request_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 10.0
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=32)] = 8
    weight_share: Annotated[float, msgspec.Meta(ge=0.02, le=1)] = 0.8  # less would not pay for the dearest request
    order_share: Annotated[float, msgspec.Meta(ge=0.02, le=1)] = 0.9  # less would not pay for a batch of five
    recv_window_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = (
        5.0  # of questions; an order's is what is left of its validity
    )
    resolve_margin_s: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 300.0
    resolve_repeat_s: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 60.0
    renew_key_s: Annotated[float, msgspec.Meta(gt=0, le=3_300)] = 1_800.0  # a listen key lives an hour
    book: Literal["depth20", "diff"] = "depth20"
    book_speed: Literal["100ms", "250ms", "500ms"] = "100ms"
    mark_speed: Literal["1s", "3s"] = "1s"  # with 3 s a single lost message would break a bound of 5 s
    rotate_after_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 82_800.0  # the venue cuts after 24 h

    @property
    def resolve(self) -> ProofRules:
        """When a denial of an order is proof. Its validity is checked at the venue's door only, so even then no attempt starts by
        itself."""
        return ProofRules(margin_s=self.resolve_margin_s, repeat_s=self.resolve_repeat_s, may_resubmit=False)

    @property
    def production_url(self) -> str:
        """An address where real money would move, empty when there is none. Spot is only asked for prices."""
        return next((url for url in (self.http_url, self.ws_url) if _is_production(url)), "")


def _is_production(url: str) -> bool:
    """Every host of the exchange but the ones for tests, however it is spelled."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return host not in _TEST_HOSTS and f".{host}".endswith(_HOUSES)
