"""How one exchange is asked through ccxt."""

from typing import Annotated, Any

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class CcxtSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one exchange is asked.

    `urls` replaces addresses: by ccxt's name of an API (`rest`, `fapiPrivate`), or `*` for the host of all of them. `options` are
    ccxt's own of that exchange, `without` are capabilities not to be used (`fetchCurrencies`). At most `calls` questions in each
    `window_s`, beside the pace ccxt keeps itself, `rate_limit_ms` in place of its own. A question is asked `attempts` times, and each may take `call_timeout_s`; a
    thread that does not come back by then is left behind, of which there are at most `max_abandoned`.
    """

    urls: dict[str, str] = {}
    options: dict[str, Any] = {}
    without: tuple[str, ...] = ()
    sandbox: bool = False
    calls: Count = 50
    window_s: Annotated[float, msgspec.Meta(ge=4, le=86_400)] = 10.0
    rate_limit_ms: Annotated[float, msgspec.Meta(gt=0, le=3_600_000)] | None = None
    call_timeout_s: Seconds = 30.0
    attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3
    backoff_min_s: Seconds = 0.5
    backoff_max_s: Seconds = 20.0
    breaker_failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    breaker_open_s: Seconds = 60.0
    max_abandoned: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
