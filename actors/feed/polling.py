"""The lower mode of a feed: REST serves, and the stream is on probation.

A poll waits for its turn in the venue's budget, one at a time for each class, so that hundreds of feeds share what there
is fairly; meanwhile readers see the last data and its age. A feed whose classes are never streamed has this mode alone.
"""

from actors.feed.ages import Lags, periodic_of
from actors.feed.base import BaseFeed, Look
from actors.feed.probation import hand_over, probation_of
from actors.feed.rest import ASKABLE
from actors.feed.seat import FeedSeat
from actors.messages import VenueReachable
from actors.stream.messages import ChannelRefused, Frames, FramesLost, Resubscribe, StreamChanged
from engine.kernel import on
from engine.model import DataClass, MarketState
from engine.venues.base import Applied, BadReply

POLLING = "polling"
_GAP = int(Applied.GAP)
_NUDGE_MAX_S = 60.0


class PollingFeed(BaseFeed):
    """Asks for each class at its own pace; steps up when what the stream brings has been whole for a while."""

    def __init__(self, seat: FeedSeat) -> None:
        super().__init__(seat)
        self._has_book = DataClass.BOOK in seat.streamed
        self._begin_probation()

    def _begin_probation(self) -> None:
        self._probation: MarketState = probation_of(self._seat)
        self._lags = Lags(self._seat.venue_state, self._seat.streamed)
        self._clean_since_s: float | None = None
        self._nudges = 0
        self._nudge_s = self._now_s() + self._settings.repair_s

    async def on_start(self) -> None:
        await super().on_start()
        self._repairs.lost_touch()  # the stream may be trusted again before the first poll has come
        self._state.modes[self._seat.route] = POLLING
        for data_class in sorted(self._seat.classes & ASKABLE):
            self.spawn(self._poll, data_class, name=f"poll {data_class}")
        if self._seat.stream_up:
            self._ask_for_book(self._probation)

    # ── probation ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Frames)
    def frames(self, message: Frames) -> None:
        if message.since_s < self._seat.connected_s:
            return
        bits, unreadable = 0, 0
        for frame in message.frames:
            try:
                bits |= self._apply(frame, self._probation, message.at_s)._value_
            except BadReply as error:
                unreadable += 1
                self._unreadable(error)
        if unreadable or (self._has_book and not self._probation.book.ready):
            self._failed(message.at_s)
        elif self._clean_since_s is None or bits & _GAP:
            self._clean_since_s = message.at_s
            self._nudge_s = max(self._nudge_s, message.at_s + self._settings.clean_s + self._settings.repair_s)

    def _failed(self, at_s: float) -> None:
        """Probation starts over; a snapshot that is missing now is asked for soon."""
        if self._clean_since_s is not None:
            self._clean_since_s = None
            self._nudge_s = min(self._nudge_s, at_s + self._settings.repair_s)

    @on(StreamChanged)
    def stream_changed(self, message: StreamChanged) -> None:
        self._remember(message)
        self._begin_probation()
        if message.up and self._seeding is not None:
            self._ask_for_book(self._probation)

    @on(FramesLost)
    def frames_lost(self, _message: FramesLost) -> None:
        self._probation.book.lose()
        self._failed(self._now_s())

    @on(ChannelRefused)
    def channel_refused(self, message: ChannelRefused) -> None:
        self._seat.refused.add(message.channel)

    @on(VenueReachable)
    def venue_reachable(self, _message: VenueReachable) -> None:
        """Polling has found out by itself."""
        self._history.venue_is_back()

    @on(Look)
    def look(self, _message: Look) -> None:
        now_s = self._now_s()
        if not self._seat.stream_up:
            return
        if self._probation.book.crossed:
            self.frames_lost(FramesLost())
        if self._lags.look(self._probation):
            self._clean_since_s = None
        if self._passed(now_s):
            hand_over(self._seat, self._probation)
            self._seat.handed_over = self._adapter
            self._seat.fell_for = set()
            self.step_up(f"{self._settings.clean_s} s without a gap")
        elif now_s >= self._nudge_s:
            self._nudge(now_s)

    def _passed(self, now_s: float) -> bool:
        if self._clean_since_s is None or now_s - self._clean_since_s < self._settings.clean_s or self._seat.refused:
            return False
        needed = (periodic_of(self._seat) - _PATIENT) | self._seat.fell_for
        return not needed.intersection(self._probation.stale_classes(now_s))

    def _nudge(self, now_s: float) -> None:
        """Something is missing although the stream is up: ask for it again, ever more rarely."""
        self._nudges += 1
        self._nudge_s = now_s + min(_NUDGE_MAX_S, self._settings.repair_s * 2**self._nudges)
        if self._probation.book.ready or not self._has_book:
            self._seat.refused.clear()
            self._clean_since_s = None
            self._ask_stream(Resubscribe(self._seat.symbol))
        else:
            self._ask_for_book(self._probation)


_PATIENT = frozenset((DataClass.TRADES, DataClass.BARS))  # not heard of within their age is no reason to stay down
