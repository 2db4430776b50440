"""The routing table in force: a venue's defaults with the cells the configuration says otherwise."""

from collections.abc import Mapping

import msgspec

from engine.model import DataCells, DataClass, DataRow

__all__ = ["polled", "routing_table"]

_PASS_S = 5.0


def routing_table(policy: Mapping[str, DataRow], cells: Mapping[str, DataCells]) -> dict[str, DataRow]:
    """One row for each class and source of `policy`.

    ValueError: a row the venue does not have, a polled one that would always be stale, or one that can only be streamed. What
    is streamed may be asked for more rarely than its bound while its stream is away: the budget may allow no more, and it shows.
    """
    unknown = sorted(cells.keys() - policy.keys())
    if unknown:
        raise ValueError(f"data.{unknown[0]}: expected one of {', '.join(sorted(policy))}, got {unknown[0]!r}")
    rows = {name: cells[name].over(row) if name in cells else row for name, row in policy.items()}
    for name, row in rows.items():
        if row.via == "poll" and name != DataClass.FORCED and row.poll_s >= row.age_s:
            raise ValueError(
                f"data.{name}.poll_s: expected less than its age_s ({row.age_s}), got {row.poll_s}: it would always be stale"
            )
        if row.via == "poll" and name == DataClass.FORCED:
            raise ValueError(f"data.{name}.via: expected stream or off, got poll: it cannot be asked for")
    return rows


def polled(rows: Mapping[str, DataRow]) -> dict[str, DataRow]:
    """The same table for a node that opens no stream: what is streamed is asked for, what cannot be asked for is off.

    What is asked for is good for two polls and the time they take; a bound made for a stream would call it stale for ever.
    """

    def by_rest(name: str, row: DataRow) -> DataRow:
        if row.via != "stream":
            return row
        if name == DataClass.FORCED:
            return msgspec.structs.replace(row, via="off")
        return msgspec.structs.replace(row, via="poll", age_s=max(row.age_s, 2 * row.poll_s + _PASS_S))

    return {name: by_rest(name, row) for name, row in rows.items()}
