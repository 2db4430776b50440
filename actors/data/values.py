"""What a read returns: the plain value the caller expects, which also knows where it came from.

A `Rows` is a list, a `Record` a dict, a `Number` a float; each has `.info`. `json.dumps` writes them as the plain thing.
Every read makes new ones, so they may be kept and changed.
"""

from typing import Generic, TypeVar

import msgspec

from engine.model import Source

T = TypeVar("T")


class ValueInfo(msgspec.Struct, frozen=True):
    """Where a value came from and how far to trust it.

    `age_s` is the time since the value is known to have been current, None if that was never noted. `stale`: older than
    its row in the routing table allows. `degraded`: its class should be streamed and REST serves it meanwhile. `complete`:
    the history behind it is loaded; while it is not, fewer rows are there than the venue has.
    """

    source: Source
    age_s: float | None
    stale: bool
    degraded: bool
    complete: bool = True


class Rows(list[T], Generic[T]):
    """Rows, oldest first."""

    __slots__ = ("info",)

    def __init__(self, rows: list[T], info: ValueInfo) -> None:
        super().__init__(rows)
        self.info = info


class Record(dict[str, T], Generic[T]):
    """Named figures."""

    __slots__ = ("info",)

    def __init__(self, figures: dict[str, T], info: ValueInfo) -> None:
        super().__init__(figures)
        self.info = info


class Number(float):
    """One figure."""

    __slots__ = ("info",)

    info: ValueInfo

    def __new__(cls, value: float, info: ValueInfo) -> "Number":
        made = super().__new__(cls, value)
        made.info = info
        return made
