"""The lower mode of a feed: REST serves, and the stream is on probation."""

import trio

from actors._feed_base import BaseFeed, FeedSeat, Lateness, Look
from actors._market_rest import APPLIED
from actors.messages import VenueReachable
from actors.stream import ChannelRefused, Frames, FramesLost, Resnapshot, Resubscribe, StreamChanged
from engine.kernel import Backoff, on
from engine.model import DataClass, MarketState, Source
from engine.venues.base import Applied, RateLimited, VenueError

POLLING = "polling"
_GAP = int(Applied.GAP)
_NUDGE_MAX_S = 60.0


class PollingFeed(BaseFeed):
    """Asks for each class at its own pace; steps up when what the stream brings has been whole for a while."""

    def __init__(self, seat: FeedSeat) -> None:
        super().__init__(seat)
        self._backoff = Backoff(min_s=0.5, max_s=30.0, jitter=0.5)
        self._new_probation()

    def _new_probation(self) -> None:
        seat = self._seat
        self._probation = MarketState(
            seat.state.instrument, bounds_s=seat.settings.bounds_s(), intervals=seat.settings.intervals, bars_kept=10
        )
        self._lateness = Lateness(seat.venue_state)
        self._clean_since_s: float | None = None
        self._nudges = 0
        self._nudge_s = self._now_s() + seat.settings.repair_s

    async def on_start(self) -> None:
        await super().on_start()
        self._state.modes[self._seat.route] = POLLING
        for data_class, every_s in self._settings.polls_s().items():
            if data_class in self._state.fresh:
                self.spawn(self._serve, data_class, every_s, name=f"poll {data_class}")
        if self._seat.stream_up:
            self._ask_stream(Resnapshot(self._seat.symbol))

    async def _serve(self, data_class: DataClass, every_s: float) -> None:
        """Ask at once and then for ever: in step while it works, with growing pauses while it does not."""
        failures = 0
        while True:
            began_s = trio.current_time()
            try:
                await self._rest.take(data_class)
            except VenueError as error:
                failures += 1
                wait_s = max(every_s, self._backoff.delay_s(failures, self.ctx.entropy))
                if isinstance(error, RateLimited):
                    wait_s = max(wait_s, error.retry_after_s)
                self.log.debug("{} not polled, again in {:.1f} s: {}", data_class, wait_s, error)
            else:
                failures, wait_s = 0, every_s * self.ctx.entropy.uniform(0.9, 1.0)
                if self._seat.watchers:
                    self._publish(int(APPLIED[data_class]))
            await trio.sleep_until(began_s + wait_s)

    # ── probation ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Frames)
    def frames(self, message: Frames) -> None:
        if message.since_s < self._seat.connected_s:
            return
        bits, unreadable = self._apply(message.frames, self._probation, message.at_s)
        if not self._probation.book.ready or unreadable:
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
        self._new_probation()

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

    @on(Look)
    def look(self, _message: Look) -> None:
        now_s = self._now_s()
        if not self._seat.stream_up:
            return
        if self._probation.book.crossed:
            self.frames_lost(FramesLost())
        if self._lateness.look(self._probation):
            self._clean_since_s = None
        if self._passed(now_s):
            hand_over(self._probation, self._state)
            self._seat.handed_over = True
            self._seat.fell_for = set()
            self.step_up(f"{self._settings.clean_s} s without a gap")
        elif now_s >= self._nudge_s:
            self._nudge(now_s)

    def _passed(self, now_s: float) -> bool:
        if self._clean_since_s is None or now_s - self._clean_since_s < self._settings.clean_s or self._seat.refused:
            return False
        needed = {DataClass.BOOK, DataClass.TICKER} | self._seat.fell_for
        return not needed.intersection(self._probation.stale_classes(now_s))

    def _nudge(self, now_s: float) -> None:
        """Something is missing although the stream is up: ask for it again, ever more rarely."""
        self._nudges += 1
        self._nudge_s = now_s + min(_NUDGE_MAX_S, self._settings.repair_s * 2**self._nudges)
        if self._probation.book.ready:
            self._seat.refused.clear()
            self._clean_since_s = None
            self._ask_stream(Resubscribe(self._seat.symbol))
        else:
            self._ask_stream(Resnapshot(self._seat.symbol))


def hand_over(gathered: MarketState, state: MarketState) -> None:
    """What the stream brought on probation becomes what everyone reads; what REST brought meanwhile stays."""
    book = gathered.book
    state.book.replace(book.bids(), book.asks(), change_id=book.change_id, venue_ms=book.venue_ms)
    state.trades.merge(gathered.trades.view())
    for interval, bars in gathered.bars.items():
        state.bars[interval].merge(bars.view())
    if gathered.fresh[DataClass.TICKER].source is Source.STREAM:
        for name in state.ticker.__slots__:
            setattr(state.ticker, name, getattr(gathered.ticker, name))
    for data_class, fresh in gathered.fresh.items():
        if fresh.source is Source.STREAM and fresh.updated_s > state.fresh[data_class].updated_s:
            state.touch(data_class, Source.STREAM, fresh.updated_s)
