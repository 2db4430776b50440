"""How the node stands with its venues: what `doctor` asks of a node that runs, so that it need not disturb it."""

import msgspec

from actors.admin._desk import Desk, Method, Nothing
from actors.admin._look import Listing
from actors.parts import NodeParts, VenueParts
from engine.net import PoolUse
from engine.venues.base import MarketVenue


class VenueHealth(msgspec.Struct, frozen=True):
    """`offset_ms`: by how much our wall clock is ahead of the venue's, None before that was read. `problem` is empty while
    the venue answers. The addresses are those in use, a simulated venue's too."""

    venue: str
    kind: str
    problem: str
    offset_ms: float | None
    http_url: str
    ws_url: str
    budgets: dict[str, PoolUse]


async def venue_health(desk: Desk, _: Nothing) -> Listing[VenueHealth]:
    found = [
        _health(desk.parts, venue, venue.exchange) for venue in desk.parts.venues.values() if venue.exchange is not None
    ]
    return Listing(found, more=False)


def _health(parts: NodeParts, venue: VenueParts, exchange: MarketVenue) -> VenueHealth:
    http_url, ws_url = exchange.addresses
    venue_ms = venue.state.now_ms(parts.clock.monotonic_s())
    offset_ms = None if venue_ms is None else float(parts.clock.wall_ms() - venue_ms)
    return VenueHealth(
        venue.name, venue.kind, venue.state.problem, offset_ms, http_url, ws_url, dict(exchange.budgets())
    )


METHODS = {"venue.health": Method(Nothing, venue_health)}
