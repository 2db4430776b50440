"""How an account is kept in step with its venue."""

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an account is kept in step. `overlap_s`: how far a pass looks back behind the last one."""

    sync_every_s: Seconds = 60.0
    sync_retry_s: Seconds = 2.0
    query_timeout_s: Seconds = 20.0
    connect_timeout_s: Seconds = 10.0
    silence_s: Seconds = 40.0  # the venue's heartbeat comes every 10 s or so
    ping_every_s: Seconds = 20.0  # where there is no heartbeat
    pong_timeout_s: Seconds = 10.0
    first_lookback_s: Seconds = 86_400.0
    overlap_s: Seconds = 120.0
    deaf_after_s: Seconds = 10.0  # a fill older than this that only a pass brought was not told by the stream
    backoff_min_s: Seconds = 0.5
    backoff_max_s: Seconds = 30.0
