"""How an account is kept in step with its venue."""

from decimal import Decimal
from typing import Annotated

import msgspec

from engine.model import SyncMode

DEFAULT_TOLERANCE = Decimal("1e-8")  # of any currency: the last digit of a venue's books

Seconds = Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an account is kept in step. `overlap_s`: how far a pass looks back behind the last one.

    At every pass each balance has to be what was there before with every line of the venue's statement since. `tolerance` is by how
    much it may differ, by currency; where none is said `DEFAULT_TOLERANCE`. To it comes one unit of the venue's last digit for each
    line, because venues round each by itself. A difference has to show twice, `confirm_after_s` apart. `mode` says what follows when
    it does, and when money leaves that is not allowed to: `warn` tells people, `raise` also refuses whoever asked for the pass, `halt`
    also closes the order gate until somebody resumes.
    """

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
    mode: SyncMode = SyncMode.WARN
    allow_withdrawals: bool = False
    tolerance: dict[str, Decimal] = {}
    confirm_after_s: Seconds = 1.0
    statement_every_s: Seconds = (
        10.0  # passes that follow each other sooner read it once, unless somebody asks; it is dear
    )

    def tolerated(self, currency: str) -> Decimal:
        return self.tolerance.get(currency, DEFAULT_TOLERANCE)
