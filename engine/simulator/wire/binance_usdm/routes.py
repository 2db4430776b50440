"""Where a socket was opened, which decides what it hears.

`/public` and `/market` have their own streams each. The root is what old clients use: the handshake succeeds, streams of
/public come, those of /market do not, and nothing says so. `/private` is for user data, by listen key, in the path or as
`listenKey=…` with the `events` that are wanted of it; a key nobody has is silent.
"""

from urllib.parse import parse_qs, parse_qsl, unquote

import msgspec

from engine.simulator.wire.http import HttpRequest

__all__ = ["NAME", "PRIVATE", "PUBLIC", "Place", "aliases_of", "place_of"]

NAME = "binance_usdm"
PUBLIC, MARKET, PRIVATE = "public", "market", "private"
_RAW, _COMBINED = "ws", "stream"


class Place(msgspec.Struct, frozen=True):
    """`route` is as in the path, empty at the root; `combined` wraps each payload; `streams` come without being asked for, of
    listen keys those `events` only that were named."""

    route: str
    combined: bool
    streams: tuple[str, ...]
    events: dict[str, frozenset[str]] = {}

    @property
    def hears(self) -> str | None:
        """The route whose streams are delivered here; None for none."""
        if self.route == PRIVATE:
            return None
        return self.route or PUBLIC


def place_of(request: HttpRequest) -> Place | None:
    """The place a request wants to open a socket at; None if there is none."""
    parts = request.path.strip("/").split("/")
    route = parts.pop(0) if parts[0] in (PUBLIC, MARKET, PRIVATE) else ""
    if not parts:
        return None
    form, names = parts[0], [unquote(name) for name in parts[1:]]
    if route == PRIVATE and form in (_RAW, _COMBINED) and not names:
        events = _listened(request.query)
        if events:
            kinds = {key: wanted for key, wanted in events.items() if wanted}
            return Place(route, combined=form == _COMBINED, streams=tuple(events), events=kinds)
    if form == _RAW:
        return Place(route, combined=False, streams=_distinct(names))
    if form == _COMBINED and not names:
        listed = parse_qs(request.query).get("streams", [""])[-1]
        return Place(route, combined=True, streams=_distinct(listed.split("/")))
    return None


def _listened(query: str) -> dict[str, frozenset[str]]:
    """By listen key: the events named after it, none for all of them."""
    events: dict[str, frozenset[str]] = {}
    key = ""
    for name, value in parse_qsl(query):
        if name == "listenKey":
            key = value
            events[key] = frozenset()
        elif name == "events" and key:
            events[key] = frozenset(value.split("/"))
    return events


def aliases_of(stream: str, route: str) -> tuple[str, ...]:
    """What faults may call a stream besides its name: by its route, and by its kind without the symbol."""
    kind = stream.partition("@")[2]
    return (f"{route}/{stream}", kind) if kind else (f"{route}/{stream}",)


def _distinct(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))
