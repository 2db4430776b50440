"""Notices put into few messages: one per kind, or one for all when even that would be too many. Pure."""

from collections.abc import Sequence

import msgspec

from engine.model import Notice, Severity

MAX_LINES = 12
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


class Outgoing(msgspec.Struct, frozen=True):
    """One message for a channel and the notices it stands for. `at_ms` is of the newest."""

    severity: Severity
    kind: str
    text: str
    at_ms: int
    notices: tuple[Notice, ...]


def at_least(notice: Notice, severity: Severity) -> bool:
    return _RANK[notice.severity] >= _RANK[severity]


def messages_of(notices: Sequence[Notice], room: int) -> list[Outgoing]:
    """At most `room` (but at least one) messages for all of these, the gravest first."""
    groups: dict[tuple[Severity, str], list[Notice]] = {}
    for notice in notices:
        groups.setdefault((notice.severity, notice.kind), []).append(notice)
    by_gravity = sorted(groups.values(), key=lambda group: -_RANK[group[0].severity])
    if len(by_gravity) <= max(room, 1):
        return [_message(group) for group in by_gravity]
    alone = max(room, 1) - 1
    return [*(_message(group) for group in by_gravity[:alone]), _digest(by_gravity[alone:])]


def _message(group: Sequence[Notice]) -> Outgoing:
    last = group[-1]
    return Outgoing(last.severity, last.kind, _line(group), last.at_ms, tuple(group))


def _digest(groups: Sequence[Sequence[Notice]]) -> Outgoing:
    """One message with a line for each kind."""
    lines = [f"{group[0].kind}: {_line(group)}" for group in groups[:MAX_LINES]]
    if len(groups) > MAX_LINES:
        lines.append(f"and {len(groups) - MAX_LINES} more kinds")
    notices = tuple(notice for group in groups for notice in group)
    text = "\n".join(lines)
    return Outgoing(groups[0][0].severity, "digest", text, max(notice.at_ms for notice in notices), notices)


def _line(group: Sequence[Notice]) -> str:
    text = group[-1].text
    return text if len(group) == 1 else f"{len(group)} times, the last: {text}"


def cut_bytes(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8, cut between characters."""
    data = text.encode(errors="replace")
    return text if len(data) <= limit else data[: max(limit - 3, 0)].decode(errors="ignore") + "…"
