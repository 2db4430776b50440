"""What belongs to a feed's place in the tree and outlives its incarnations and moves."""

from collections.abc import Iterable, Mapping

from actors.feed.settings import FeedSettings
from actors.stream import Pulse
from engine.kernel import Ref
from engine.model import DataClass, DataRow, VenueState
from engine.venues.base import FeedAdapter, MarketVenue


class FeedSeat:
    """One symbol on one route. `streamed` and `polled` are the classes that come by it, as the routing table has them."""

    __slots__ = (
        "bars_given_up",
        "bars_lost",
        "bars_missing",
        "bars_owed",
        "connected_s",
        "down_reason",
        "fell_for",
        "handed_over",
        "loading",
        "lost_s",
        "polled",
        "pulse",
        "refused",
        "route",
        "rows",
        "session",
        "settings",
        "state",
        "stream",
        "stream_up",
        "streamed",
        "symbol",
        "trades_given_up",
        "trades_lost",
        "trades_missing",
        "trades_whole_to",
        "up_s",
        "venue",
        "venue_state",
        "watchers",
        "whole_ms",
    )

    def __init__(
        self,
        venue: MarketVenue,
        venue_state: VenueState,
        symbol: str,
        route: str,
        *,
        rows: Mapping[str, DataRow],
        settings: FeedSettings,
        session: Ref,
        stream: Ref | None,
        pulse: Pulse,
    ) -> None:
        self.venue = venue
        self.venue_state = venue_state
        self.symbol = symbol
        self.route = route
        self.rows = rows
        self.settings = settings
        self.session = session
        self.stream = stream
        self.pulse = pulse
        self.state = venue_state.markets[symbol]
        here = venue.routes[route] & self.state.fresh.keys()
        self.streamed = frozenset(name for name in here if rows[name].via == "stream")
        self.polled = frozenset(name for name in here if rows[name].via == "poll")
        self.watchers: dict[str, tuple[Ref, int]] = {}  # by path: who, and which Applied bits
        self.stream_up = False
        self.connected_s = float("-inf")  # names the present connection, or the last one
        self.up_s = float("-inf")  # when everything was subscribed to on it
        self.lost_s = float("-inf")  # when the last one was lost
        self.down_reason = ""
        self.handed_over: FeedAdapter | None = None  # probation ended well: the book is whole, and this knows its place
        self.fell_for: set[DataClass] = set()  # must be heard from again before streaming is trusted
        self.refused: set[str] = set()  # channels the venue does not send
        self.loading: set[str] = set()  # histories that are on their way
        self.whole_ms: dict[str, int] = {}  # by interval: bars after this one may be missing or not final
        self.bars_missing = 0  # as counted in the quality figures, like the others below
        self.bars_lost = 0
        self.bars_owed = 0  # holes of which it is not known how many bars, or versions of bars, are in them
        self.bars_given_up: dict[str, int] = {}  # by interval: bars the venue itself does not have
        self.trades_missing = 0
        self.trades_given_up = 0
        self.trades_lost = 0
        self.trades_whole_to = -1  # holes up to this number are not asked for again

    @property
    def classes(self) -> frozenset[DataClass]:
        return self.streamed | self.polled


def carried(
    venue: MarketVenue, route: str, rows: Mapping[str, DataRow], vias: Iterable[str] = ("stream", "poll")
) -> frozenset[DataClass]:
    """The classes of a route whose rows say one of `vias`."""
    return frozenset(name for name in venue.routes[route] if name in rows and rows[name].via in vias)
