"""The best mode of a feed: frames are applied as they come."""

import trio

from actors.feed.ages import Ages, Lags
from actors.feed.base import BaseFeed, Look
from actors.feed.seat import FeedSeat
from actors.messages import VenueReachable
from actors.stream.messages import ChannelRefused, Frames, FramesLost, StreamChanged
from engine.kernel import on
from engine.model import DataClass
from engine.venues.base import Applied, BadReply, VenueError

STREAMING = "streaming"
STARTING = "starting"
AWAY_S = 0.5  # a look that comes this late says nothing of the venue, but of this process
_LACKING = int(Applied.GAP | Applied.HOLE)
_BOOK = int(Applied.GAP | Applied.SNAPSHOT)
_HOLE = int(Applied.HOLE)
_LOST = int(Applied.GAP | Applied.BOOK)


class StreamingFeed(BaseFeed):
    """Applies, repairs, fills holes, and steps down when it cannot vouch for the data."""

    def __init__(self, seat: FeedSeat) -> None:
        super().__init__(seat)
        self._began_s = self._now_s()
        self._snapshot_due_s: float | None = None  # the book is not whole, and this long a snapshot is waited for
        self._ages = Ages(seat, self._began_s)
        self._sworn_by = self._ages.sworn_by
        self._lags = Lags(seat.venue_state, seat.streamed)
        self._failed_s: list[float] = []  # the last failures; a deque would hold a kilobyte for nothing
        self._looked_s = self._began_s
        self._asking: set[DataClass] = set()  # what the venue is being asked about
        self._has_book = DataClass.BOOK in seat.streamed

    async def on_start(self) -> None:
        await super().on_start()
        seat, state = self._seat, self._state
        for data_class in sorted(seat.polled):
            self.spawn(self._poll, data_class, name=f"poll {data_class}")
        if seat.handed_over is not None:
            seat.handed_over = None
            if self._has_book:
                self._snapshot_came()
        else:  # whatever ended the last life may have been in the middle of it
            state.modes[seat.route] = STARTING
            self._repairs.lost_touch()
            if self._has_book:
                state.book.lose()
                self._await_snapshot(self._began_s)
                if seat.stream_up:
                    self._ask_for_book(state)
        self._repair_holes()

    # ── frames ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Frames)
    def frames(self, message: Frames) -> None:
        """The hot path."""
        seat, at_s = self._seat, message.at_s
        if message.since_s < seat.connected_s:
            return  # of an earlier connection
        apply, state, bits, unreadable = self._apply, self._state, 0, 0
        for frame in message.frames:
            try:
                bits |= apply(frame, state, at_s)._value_
            except BadReply as error:
                unreadable += 1
                self._unreadable(error)
        if bits & self._sworn_by:
            for fresh in self._ages.assured:
                fresh.assure(at_s)
        if bits and seat.watchers:
            self._publish(bits)
        if bits & _LACKING or (bits & _BOOK and self._snapshot_due_s is not None):
            self._check(bits)
        for _ in range(unreadable):
            self._failed("a frame was not understood")

    def _check(self, bits: int) -> None:
        if bits & _HOLE:
            self._repairs.found(bits)
            self._repair_holes()
        if not bits & _BOOK:
            return
        if self._state.book.ready:
            self._snapshot_came()
        elif self._snapshot_due_s is None:
            self._state.quality[DataClass.BOOK].missing += 1
            self._repair("a gap in the book")

    def _snapshot_came(self) -> None:
        self._snapshot_due_s = None
        book = self._state.quality[DataClass.BOOK]
        book.repaired = book.missing

    def _seeded(self, bits: int) -> None:
        self._snapshot_came()
        self._changed(bits)

    def _repair(self, why: str) -> None:
        """Have this symbol's book sent again, and nothing else."""
        if self._state.book.ready:
            self._state.book.lose()
            self._publish(_LOST)
        self._await_snapshot(self._now_s())
        self._ask_for_book(self._state)
        self._failed(why)

    def _await_snapshot(self, from_s: float) -> None:
        self._snapshot_due_s = from_s + self._settings.repair_s

    def _failed(self, why: str) -> None:
        now_s, within_s = self._now_s(), self._settings.failures_within_s
        self._failed_s = [at_s for at_s in self._failed_s if now_s - at_s <= within_s] + [now_s]
        if len(self._failed_s) >= self._settings.failures:
            self.step_down(f"{len(self._failed_s)} failures within {within_s} s, the last one: {why}")

    # ── the stream ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(StreamChanged)
    def stream_changed(self, message: StreamChanged) -> None:
        self._remember(message)
        self._ages.assured.clear()
        if message.up:
            self._state.modes[self._seat.route] = STARTING
            self._lags = Lags(self._seat.venue_state, self._seat.streamed)
            if self._has_book and not self._streams_book_from(message.at_s):
                self._await_snapshot(self._now_s())
                if self._seeding is not None:
                    self._state.book.lose()
                    self._ask_for_book(self._state)
            self._repair_holes()

    @on(FramesLost)
    def frames_lost(self, _message: FramesLost) -> None:
        self._repairs.lost_touch()
        self._repair_holes()
        if self._has_book and self._snapshot_due_s is None:
            self._repair("the mailbox was full")

    @on(ChannelRefused)
    def channel_refused(self, message: ChannelRefused) -> None:
        self._seat.refused.add(message.channel)
        self.step_down(f"the venue does not send {message.channel}")

    @on(VenueReachable)
    def venue_reachable(self, _message: VenueReachable) -> None:
        self._history.venue_is_back()

    def _repair_holes(self) -> None:
        if self._seat.stream_up:
            self._repairs.begin(self.spawn)

    # ── looking at the ages ────────────────────────────────────────────────────────────────────────────────────────────

    @on(Look)
    def look(self, _message: Look) -> None:
        now_s, seat = self._now_s(), self._seat
        away_s, self._looked_s = now_s - self._looked_s - self._settings.look_every_s, now_s
        if away_s > AWAY_S:
            return  # we were not listening ourselves: what waits in the sockets is read first, and then judged
        if seat.stream_up:
            self._look_at_ages(now_s)
            if self._has_book:
                self._look_at_book(now_s)
            self._repair_holes()
        elif now_s - max(seat.lost_s, self._began_s) > self._settings.disconnected_s:
            self.step_down(f"no stream for {self._settings.disconnected_s} s: {seat.down_reason}")
        whole = self._snapshot_due_s is None and not self._history.bars_missing and not self._repairs.running
        if seat.stream_up and whole:
            self._state.modes[seat.route] = STREAMING

    def _look_at_ages(self, now_s: float) -> None:
        """Too old is too old, and so is too late; before that the venue is asked whether there is anything newer."""
        fall = self._lags.look(self._state) or self._ages.look(now_s)
        if fall is not None:
            data_class, why = fall
            self._seat.fell_for = {data_class}
            self.step_down(f"{data_class}: {why}")
        for data_class in self._ages.to_ask(now_s):
            if data_class not in self._asking:
                self._asking.add(data_class)
                self.spawn(self._confirm, data_class)

    async def _confirm(self, data_class: DataClass) -> None:
        as_of_s: float | None = None
        try:
            with trio.move_on_after(self._settings.request_timeout_s):
                as_of_s = await self._rest.confirm(data_class)
        except VenueError as error:
            self.log.debug("{}: quiet, and the venue could not be asked: {}", data_class, error)
        finally:
            self._asking.discard(data_class)
        if as_of_s is not None:
            self._ages.confirmed(data_class, as_of_s)

    def _look_at_book(self, now_s: float) -> None:
        seeding = self._seeding
        if self._snapshot_due_s is not None and now_s > self._snapshot_due_s and not (seeding and seeding.running):
            self.step_down(f"no snapshot of the book within {self._settings.repair_s} s")
        if self._state.book.crossed:
            self._repair("the book is crossed")
