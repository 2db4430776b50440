"""What a token may do: `area:level` pairs, narrowed to what its key has."""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from engine.simulator.wire.keychanges import Permission

__all__ = ["FULL_ACCESS", "RequestedScope", "allows", "narrowed", "parse_levels", "read_scope", "scope_of"]

LEVELS = {"none": 0, "read": 1, "read_write": 2}
FULL_ACCESS = "account:read_write block_rfq:read_write block_trade:read_write trade:read_write wallet:read_write"


class RequestedScope(msgspec.Struct, frozen=True):
    """A scope string, taken apart. `levels` empty means: all the key has."""

    levels: dict[str, str]
    session: str | None
    expires_s: int | None
    extras: tuple[str, ...]


def read_scope(text: str) -> RequestedScope:
    """Take a scope string apart; parts nobody knows are left out, as the grant may be narrower than what was asked."""
    levels: dict[str, str] = {}
    session, expires_s, extras = None, None, []
    for part in text.split():
        name, _, value = part.partition(":")
        if name == "session" and value:
            session = value[:64]
        elif name == "expires" and value.isascii() and value.isdecimal() and len(value) <= 9:
            expires_s = int(value)
        elif value in LEVELS:
            levels[name] = value
        elif part == "mainaccount" or name == "ip":
            extras.append(part[:64])
    return RequestedScope(levels, session, expires_s, tuple(extras))


def scope_of(permissions: Collection[Permission]) -> str:
    """The scope of a key that may do this much."""
    parts = ["account:read", "block_rfq:read", "block_trade:read", "wallet:read"] if "read" in permissions else []
    if "trade" in permissions:
        parts += ["account:read_write", "trade:read_write"]
    elif "read" in permissions:
        parts.append("trade:read")
    if "withdraw" in permissions:
        parts.append("wallet:read_write")
    return " ".join(parts)  # of an area that is named twice the last level counts


def parse_levels(text: str) -> dict[str, str]:
    return read_scope(text).levels


def narrowed(asked: Mapping[str, str], owned: Mapping[str, str]) -> dict[str, str]:
    """The lower of what was asked and what the key has, for each area; everything the key has if nothing was asked."""
    if not asked:
        return dict(owned)
    granted = {area: min(level, owned.get(area, "none"), key=LEVELS.__getitem__) for area, level in asked.items()}
    return {area: level for area, level in granted.items() if level != "none"}


def allows(scopes: Iterable[str], area: str, level: str) -> bool:
    """Whether `scopes` (`area:level` texts) has at least `level` in `area`."""
    for scope in scopes:
        name, _, owned = scope.partition(":")
        if name == area and LEVELS.get(owned, 0) >= LEVELS[level]:
            return True
    return False
