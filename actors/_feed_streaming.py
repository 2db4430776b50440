"""The best mode of a feed: frames are applied as they come."""

from collections import deque

import trio

from actors._feed_base import BaseFeed, FeedSeat, Lateness, Look
from actors.messages import VenueReachable
from actors.stream import ChannelRefused, Frames, FramesLost, Resnapshot, StreamChanged
from engine.kernel import Backoff, on
from engine.model import DataClass
from engine.venues.base import Applied, VenueError

STREAMING = "streaming"
_CONTINUITY = int(Applied.GAP | Applied.SNAPSHOT)
_LOST = int(Applied.GAP | Applied.BOOK)


class StreamingFeed(BaseFeed):
    """Applies, repairs, fills holes, and steps down when it cannot vouch for the data."""

    def __init__(self, seat: FeedSeat) -> None:
        super().__init__(seat)
        self._began_s = self._now_s()
        self._snapshot_due_s: float | None = None  # the book is not whole, and this long a snapshot is waited for
        self._lateness = Lateness(seat.venue_state)
        self._failed_s: deque[float] = deque(maxlen=seat.settings.failures)
        self._filled = False
        self._fill: trio.CancelScope | None = None
        self._fill_again_s = float("-inf")
        self._fill_failures = 0
        self._asked_s: dict[DataClass, float] = {}
        self._fill_backoff = Backoff(min_s=0.25, max_s=10.0, jitter=0.5)

    async def on_start(self) -> None:
        await super().on_start()
        seat, state = self._seat, self._state
        if seat.handed_over:
            seat.handed_over = False
        else:
            state.modes[seat.route] = "starting"
            state.book.lose()  # whatever ended the last life may have been in the middle of it
            self._await_snapshot(self._began_s)
            if seat.stream_up:
                self._ask_stream(Resnapshot(seat.symbol))
        self._start_fill()

    # ── frames ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Frames)
    def frames(self, message: Frames) -> None:
        seat = self._seat
        if message.since_s < seat.connected_s:
            return  # of an earlier connection
        bits, unreadable = self._apply(message.frames, self._state, message.at_s)
        if bits and seat.watchers:
            self._publish(bits)
        if bits & _CONTINUITY:
            self._check_book()
        for _ in range(unreadable):
            self._failed("a frame was not understood")

    def _check_book(self) -> None:
        if self._state.book.ready:
            self._snapshot_due_s = None
        elif self._snapshot_due_s is None:
            self._repair("a gap in the book")

    def _repair(self, why: str) -> None:
        """Have this symbol's book sent again, and nothing else."""
        if self._state.book.ready:
            self._state.book.lose()
            self._publish(_LOST)
        self._await_snapshot(self._now_s())
        self._ask_stream(Resnapshot(self._seat.symbol))
        self._failed(why)

    def _await_snapshot(self, from_s: float) -> None:
        self._snapshot_due_s = from_s + self._settings.repair_s

    def _failed(self, why: str) -> None:
        now_s, failed_s = self._now_s(), self._failed_s
        failed_s.append(now_s)
        within_s = self._settings.failures_within_s
        if len(failed_s) == failed_s.maxlen and now_s - failed_s[0] <= within_s:
            self.step_down(f"{len(failed_s)} failures within {within_s} s, the last one: {why}")

    # ── the stream ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(StreamChanged)
    def stream_changed(self, message: StreamChanged) -> None:
        self._remember(message)
        if message.up:
            self._state.modes[self._seat.route] = "starting"
            self._lateness = Lateness(self._seat.venue_state)
            self._await_snapshot(message.at_s)
            self._start_fill()

    @on(FramesLost)
    def frames_lost(self, _message: FramesLost) -> None:
        if self._snapshot_due_s is None:
            self._repair("the mailbox was full")

    @on(ChannelRefused)
    def channel_refused(self, message: ChannelRefused) -> None:
        self._seat.refused.add(message.channel)
        self.step_down(f"the venue does not send {message.channel}")

    @on(VenueReachable)
    def venue_reachable(self, _message: VenueReachable) -> None:
        if not self._filled:
            self._start_fill()

    # ── history and holes ──────────────────────────────────────────────────────────────────────────────────────────────

    def _start_fill(self) -> None:
        if self._fill is not None:
            self._fill.cancel()
        self._filled = False
        self._fill_again_s = float("inf")
        self._fill = self.spawn(self._fill_once)

    async def _fill_once(self) -> None:
        try:
            await self._rest.fill()
        except VenueError as error:
            self._fill_failures += 1
            self._fill_again_s = self._now_s() + self._fill_backoff.delay_s(self._fill_failures, self.ctx.entropy)
            self.log.debug("history is not filled yet: {}", error)
        else:
            self._fill_failures = 0
            self._filled = True
            if self._seat.watchers:
                self._publish(int(Applied.TRADES | Applied.BARS))

    # ── looking at the ages ────────────────────────────────────────────────────────────────────────────────────────────

    @on(Look)
    def look(self, _message: Look) -> None:
        now_s, seat = self._now_s(), self._seat
        if now_s >= self._fill_again_s:
            self._start_fill()
        if seat.stream_up:
            self._look_at_ages(now_s)
            self._look_at_book(now_s)
        elif now_s - max(seat.lost_s, self._began_s) > self._settings.disconnected_s:
            self.step_down(f"no stream for {self._settings.disconnected_s} s: {seat.down_reason}")
        if seat.stream_up and self._filled and self._snapshot_due_s is None:
            self._state.modes[seat.route] = STREAMING

    def _look_at_ages(self, now_s: float) -> None:
        """Too old is too old, and so is too late; at half the age the venue is asked whether there is anything newer."""
        late = self._lateness.look(self._state)
        if late:
            self.step_down(late)
        heard_since_s = max(self._seat.connected_s, self._began_s)
        for data_class, fresh in self._state.fresh.items():
            age_s = now_s - max(fresh.updated_s, heard_since_s)
            if age_s > fresh.bound_s:
                self._seat.fell_for = {data_class}
                self.step_down(f"{data_class}: nothing for {age_s:.1f} s, {fresh.bound_s} s allowed")
            elif age_s > fresh.bound_s / 2 and now_s - self._asked_s.get(data_class, heard_since_s) > fresh.bound_s / 4:
                self._asked_s[data_class] = now_s
                self.spawn(self._confirm, data_class)

    async def _confirm(self, data_class: DataClass) -> None:
        try:
            await self._rest.confirm(data_class)
        except VenueError as error:
            self.log.debug("{}: quiet, and the venue could not be asked: {}", data_class, error)

    def _look_at_book(self, now_s: float) -> None:
        if self._snapshot_due_s is not None and now_s > self._snapshot_due_s:
            self.step_down(f"no snapshot of the book within {self._settings.repair_s} s")
        if self._state.book.crossed:
            self._repair("the book is crossed")
