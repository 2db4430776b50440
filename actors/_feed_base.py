"""What both modes of a feed share: settings, the seat that outlives them, the watchers."""

from collections.abc import Iterable
from typing import Annotated, ClassVar

import msgspec

from actors._market_rest import MarketRest
from actors.messages import MarketChanged, WatchMarket
from actors.stream import Resnapshot, Resubscribe, StreamChanged
from engine.kernel import Actor, Down, Lane, MailboxFull, Message, Overflow, Ref, on
from engine.model import INTERVAL_MS, DataClass, MarketState, Source, VenueState
from engine.venues.base import Applied, BadReply, FeedAdapter, Venue

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]

_APPLIED = tuple(Applied(bits) for bits in range(512))  # making a flag is slow, looking it up is not


class FeedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a market and when its data is too old. A polled class must be asked for more often than its age allows."""

    intervals: tuple[str, ...] = ("1m",)
    bars_kept: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 500
    trades_kept: Annotated[int, msgspec.Meta(ge=2, le=1_000_000)] = 1000
    book_age_s: Seconds = 5.0
    ticker_age_s: Seconds = 5.0
    trades_age_s: Seconds = 60.0
    bars_age_s: Seconds = 90.0
    book_poll_s: Seconds = 1.0
    ticker_poll_s: Seconds = 1.0
    trades_poll_s: Seconds = 3.0
    bars_poll_s: Seconds = 15.0
    disconnected_s: Seconds = 5.0  # how long the stream may be away before REST serves
    repair_s: Seconds = 5.0  # how long a missing snapshot is waited for
    failures: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3  # gaps and unreadable frames ...
    failures_within_s: Seconds = 30.0  # ... in this time are too many
    clean_s: Seconds = 5.0  # without a gap before streaming is trusted again
    look_every_s: Seconds = 0.5
    request_timeout_s: Seconds = 10.0
    watchers: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64

    def __post_init__(self) -> None:
        unknown = [interval for interval in self.intervals if interval not in INTERVAL_MS]
        if unknown or len(set(self.intervals)) != len(self.intervals):
            raise ValueError(
                f"intervals: expected different ones of {', '.join(INTERVAL_MS)}, got {list(self.intervals)}"
            )
        polls = self.polls_s()
        for data_class, bound_s in self.bounds_s().items():
            if polls[data_class] >= bound_s:
                raise ValueError(
                    f"{data_class}_poll_s: expected less than {data_class}_age_s ({bound_s}), got {polls[data_class]}"
                )

    def bounds_s(self) -> dict[DataClass, float]:
        """The age each class may reach; without intervals there are no bars to judge."""
        bounds = {
            DataClass.BOOK: self.book_age_s,
            DataClass.TICKER: self.ticker_age_s,
            DataClass.TRADES: self.trades_age_s,
        }
        return bounds | ({DataClass.BARS: self.bars_age_s} if self.intervals else {})

    def polls_s(self) -> dict[DataClass, float]:
        """How often each class is asked for while polling."""
        return {
            DataClass.BOOK: self.book_poll_s,
            DataClass.TICKER: self.ticker_poll_s,
            DataClass.TRADES: self.trades_poll_s,
            DataClass.BARS: self.bars_poll_s,
        }

    def market(self, instrument: str) -> MarketState:
        """An empty state of this shape."""
        return MarketState(
            instrument,
            bounds_s=self.bounds_s(),
            intervals=self.intervals,
            bars_kept=self.bars_kept,
            trades_kept=self.trades_kept,
        )


class FeedSeat:
    """What belongs to a feed's place in the tree and outlives its incarnations."""

    __slots__ = (
        "connected_s",
        "down_reason",
        "fell_for",
        "handed_over",
        "lost_s",
        "refused",
        "route",
        "session",
        "settings",
        "state",
        "stream",
        "stream_up",
        "symbol",
        "venue",
        "venue_state",
        "watchers",
    )

    def __init__(
        self,
        venue: Venue,
        venue_state: VenueState,
        symbol: str,
        route: str,
        state: MarketState,
        settings: FeedSettings,
        session: Ref,
        stream: Ref,
    ) -> None:
        self.venue = venue
        self.venue_state = venue_state
        self.symbol = symbol
        self.route = route
        self.state = state
        self.settings = settings
        self.session = session
        self.stream = stream
        self.watchers: dict[str, tuple[Ref, int]] = {}  # by path: who, and which Applied bits
        self.stream_up = False
        self.connected_s = float("-inf")  # names the present connection, or the last one
        self.lost_s = float("-inf")  # when the last one was lost
        self.down_reason = ""
        self.handed_over = False  # probation ended well: the book is whole as it stands
        self.fell_for: set[DataClass] = set()  # must be heard from again before streaming is trusted
        self.refused: set[str] = set()  # channels the venue does not send


class Lateness:
    """Whether frames come late by the venue's own time stamps: delivered, but too late to be of use.

    One late stamp proves nothing: what a venue sends first after a subscription is old if the market is quiet. Two in a
    row do.
    """

    def __init__(self, venue: VenueState) -> None:
        self._venue = venue
        self._seen: dict[DataClass, int] = {}
        self._late: set[DataClass] = set()

    def look(self, state: MarketState) -> str:
        """Which class comes how late, empty if none comes later than its age allows."""
        for data_class, venue_ms in ((DataClass.BOOK, state.book.venue_ms), (DataClass.TICKER, state.ticker.venue_ms)):
            fresh = state.fresh[data_class]
            if fresh.source is not Source.STREAM or venue_ms in (0, self._seen.get(data_class)):
                continue
            came_ms = self._venue.now_ms(fresh.updated_s)
            if came_ms is None:
                continue
            self._seen[data_class] = venue_ms
            late_s = (came_ms - venue_ms) / 1000
            if late_s <= fresh.bound_s:
                self._late.discard(data_class)
            elif data_class in self._late:
                return f"{data_class}: comes {late_s:.1f} s late, {fresh.bound_s} s allowed"
            else:
                self._late.add(data_class)
        return ""


class Look(Message, frozen=True):
    """Time to look at the ages."""

    lane: ClassVar[Lane] = Lane.CONTROL
    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class BaseFeed(Actor):
    """What both modes share: the seat, the watchers, the way to the stream."""

    mailbox_capacity = 256  # reads of the socket, each with up to some hundred frames

    def __init__(self, seat: FeedSeat) -> None:
        super().__init__()
        self._seat = seat
        self._state = seat.state
        self._settings = seat.settings
        self._now_s = self.ctx.clock.monotonic_s
        self._adapter: FeedAdapter = seat.venue.feed(seat.symbol, seat.route)
        self._rest = MarketRest(
            seat.session, seat.symbol, seat.state, seat.venue_state, self.ctx.clock, seat.settings.request_timeout_s
        )

    async def on_start(self) -> None:
        for watcher, _ in self._seat.watchers.values():
            self.watch(watcher)
        self.every(self._settings.look_every_s, Look())

    @on(WatchMarket)
    def watch_market(self, message: WatchMarket) -> None:
        watchers, path = self._seat.watchers, message.watcher.path
        if not message.wanted:
            watchers.pop(path, None)
        elif path not in watchers and len(watchers) >= self._settings.watchers:
            self.log.error("no room for watcher {}: {} are watching", path, len(watchers))
        else:
            watchers[path] = (message.watcher, int(message.wanted))
            self.watch(message.watcher)

    @on(Down)
    def watcher_down(self, message: Down) -> None:
        self._seat.watchers.pop(message.path, None)

    def _publish(self, bits: int) -> None:
        changed = MarketChanged(self._state.instrument, _APPLIED[bits])
        for watcher, wanted in self._seat.watchers.values():
            if bits & wanted:
                try:
                    watcher.tell(changed)
                except MailboxFull:
                    continue  # it is told of the next change; the data is in the state

    def _apply(self, frames: Iterable[bytes], state: MarketState, at_s: float) -> tuple[int, int]:
        """The Applied bits of some frames together, and how many could not be read."""
        apply, bits, unreadable = self._adapter.apply, 0, 0
        for frame in frames:
            try:
                bits |= int(apply(frame, state, at_s))
            except BadReply as error:
                unreadable += 1
                self.log.warning("a frame was not understood: {}", error)
        return bits, unreadable

    def _remember(self, message: StreamChanged) -> None:
        seat = self._seat
        seat.stream_up, seat.down_reason = message.up, message.reason
        if message.up:
            seat.connected_s = message.at_s
            seat.refused.clear()
        else:
            seat.lost_s = message.at_s

    def _ask_stream(self, message: Resnapshot | Resubscribe) -> None:
        try:
            self._seat.stream.tell(message)
        except MailboxFull:
            self.log.warning("the stream took no request for a snapshot")
