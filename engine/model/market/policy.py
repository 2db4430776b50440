"""The routing table of market data: for each class where it comes from, how old it may get, how often it is asked for, how much is kept.

A venue brings a whole table of defaults; the configuration overrides single cells of single rows. So a new source of data
is one adapter and one row.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec

Via: TypeAlias = Literal["stream", "poll", "off"]
AgeSeconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=604_800)]
Kept: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class DataRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row. `age_s` is the freshness bound a reader is promised; `poll_s` is how often the class is asked for when it is
    polled: always (`via = "poll"`) or while its stream is away. `silence_s` is how long a streamed class may say nothing at
    all before the venue is asked whether there was nothing to say.
    """

    via: Via = "stream"
    age_s: AgeSeconds = 5.0
    poll_s: AgeSeconds = 1.0
    silence_s: AgeSeconds = 60.0
    keep: Kept = 500


class DataCells(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a configuration says of one row; what it does not say stays as the venue has it."""

    via: Via | None = None
    age_s: AgeSeconds | None = None
    poll_s: AgeSeconds | None = None
    silence_s: AgeSeconds | None = None
    keep: Kept | None = None

    def over(self, row: DataRow) -> DataRow:
        """`row` with the cells that were said."""
        said = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(row, **said)
