"""Where data came from and how old it is. Age is judged by data, not by the health of a socket."""

from enum import StrEnum

import msgspec


class Source(StrEnum):
    NONE = "none"
    STREAM = "stream"
    REST = "rest"


class Freshness:
    """Source and time of the newest data of one class. Times are monotonic seconds.

    `updated_s` is the moment the data is known to have been current; `heard_s` is when data last came. They differ when
    something else proved that there was nothing newer: a later message on the same connection, or the venue's own answer.
    """

    __slots__ = ("bound_s", "heard_s", "source", "updated_s")

    def __init__(self, bound_s: float) -> None:
        self.bound_s = bound_s
        self.source = Source.NONE
        self.updated_s = float("-inf")
        self.heard_s = float("-inf")

    def touch(self, source: Source, now_s: float) -> None:
        """Data came."""
        self.source = source
        self.updated_s = now_s
        self.heard_s = now_s

    def assure(self, now_s: float) -> None:
        """What is here was still the newest there was at `now_s`."""
        self.updated_s = max(self.updated_s, now_s)

    def age_s(self, now_s: float) -> float:
        return now_s - self.updated_s

    def stale(self, now_s: float) -> bool:
        return now_s - self.updated_s > self.bound_s


class ClassSummary(msgspec.Struct, frozen=True):
    """Freshness of one data class as shown to people; `age_s` is None when nothing ever came."""

    source: Source
    age_s: float | None
    stale: bool


def summary_of(fresh: Freshness, now_s: float) -> ClassSummary:
    """How `fresh` looks at `now_s`."""
    age_s = None if fresh.source is Source.NONE else round(fresh.age_s(now_s), 3)
    return ClassSummary(source=fresh.source, age_s=age_s, stale=fresh.stale(now_s))
