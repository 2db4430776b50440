"""How every feed behaves, whatever it carries. How old data may get, and where it comes from, is the routing table's business."""

from typing import Annotated

import msgspec

from engine.model import INTERVAL_MS

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class FeedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Intervals kept, patience, and how long a request may take with its wait for the venue's budget."""

    intervals: tuple[str, ...] = ("1m",)
    disconnected_s: Seconds = 5.0  # how long the stream may be away before REST serves
    repair_s: Seconds = 5.0  # how long a missing snapshot is waited for
    failures: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3  # gaps and unreadable frames ...
    failures_within_s: Seconds = 30.0  # ... in this time are too many
    clean_s: Seconds = 5.0  # without a gap before streaming is trusted again
    look_every_s: Seconds = 0.5
    request_timeout_s: Seconds = 10.0  # a question about silence, with its wait
    poll_timeout_s: Seconds = (
        120.0  # a poll or a repair waits for its turn in the budget, and is not asked again meanwhile
    )
    history_timeout_s: Seconds = 3600.0
    watchers: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64

    def __post_init__(self) -> None:
        unknown = [interval for interval in self.intervals if interval not in INTERVAL_MS]
        if unknown or len(set(self.intervals)) != len(self.intervals):
            raise ValueError(
                f"intervals: expected different ones of {', '.join(INTERVAL_MS)}, got {list(self.intervals)}"
            )
