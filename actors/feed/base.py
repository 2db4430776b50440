"""What both modes of a feed share: the seat, the watchers, the history, polls, the way to the stream."""

from typing import ClassVar

import trio

from actors.feed.history import History
from actors.feed.repair import Repair
from actors.feed.rest import APPLIED, MarketRest
from actors.feed.seat import FeedSeat
from actors.feed.seeding import Seeding
from actors.messages import MarketChanged, WatchMarket
from actors.stream.messages import Resnapshot, Resubscribe, StreamChanged
from engine.kernel import Actor, Backoff, Down, Lane, MailboxFull, Message, Overflow, on
from engine.model import DataClass, MarketState, Source
from engine.venues.base import Applied, BadReply, FeedAdapter, RateLimited, VenueError

_APPLIED = tuple(Applied(bits) for bits in range(2 * int(max(Applied))))  # making a flag is slow, looking it up is not

_ASK_AGAIN_S = 30.0  # what is asked for more rarely than that is asked for sooner after a failure


class Look(Message, frozen=True):
    """Time to look at the ages."""

    lane: ClassVar[Lane] = Lane.CONTROL
    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class _BeginToLook(Message, frozen=True):
    """The feeds of a venue look at different moments."""


class BaseFeed(Actor):
    """The only writer of its classes of data, whatever its mode."""

    mailbox_capacity = 256  # reads of the socket: a frame or two of the symbol each, hundreds behind a backlog

    def __init__(self, seat: FeedSeat) -> None:
        super().__init__()
        self._seat = seat
        self._state = seat.state
        self._settings = seat.settings
        self._now_s = self.ctx.clock.monotonic_s
        self._adapter: FeedAdapter = seat.handed_over or seat.venue.feed(seat.symbol, seat.route)
        self._apply = self._adapter.apply
        self._rest = MarketRest(seat.session, seat.symbol, seat.state, seat.venue_state, self.ctx.clock, seat.settings)
        self._history = History(seat, self._rest, self.ctx.clock, self.ctx.entropy, self._changed)
        self._repairs = Repair(seat, self._rest, self.ctx.entropy)
        self._poll_backoff = Backoff(min_s=0.5, max_s=30.0, jitter=0.5)
        seed = self._adapter.seed
        self._seeding = Seeding(self._rest, seed, self.ctx.clock, self.ctx.entropy) if seed is not None else None

    async def on_start(self) -> None:
        for watcher, _ in self._seat.watchers.values():
            self.watch(watcher)
        self.spawn(self._history.load)
        self.after(self.ctx.entropy.uniform(0.0, self._settings.look_every_s), _BeginToLook())

    @on(_BeginToLook)
    def begin_to_look(self, _message: _BeginToLook) -> None:
        self.every(self._settings.look_every_s, Look())
        self.ctx.self_ref.tell(Look())

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

    def _changed(self, bits: int) -> None:
        if self._seat.watchers:
            self._publish(bits)

    def _publish(self, bits: int) -> None:
        changed = MarketChanged(self._state.instrument, _APPLIED[bits])
        for watcher, wanted in self._seat.watchers.values():
            if bits & wanted:
                try:
                    watcher.tell(changed)
                except MailboxFull:
                    continue  # it is told of the next change; the data is in the state

    # ── frames ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _unreadable(self, error: BadReply) -> None:
        self._state.quality[min(self._seat.streamed)].unreadable += 1
        self.log.warning("a frame was not understood: {}", error)

    # ── polls ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _poll(self, data_class: DataClass) -> None:
        """Ask at once and then for ever, one request at a time: in step while it works, with growing pauses while it does not."""
        every_s, failures = self._seat.rows[data_class].poll_s, 0
        while True:
            began_s = trio.current_time()
            try:
                await self._rest.take(data_class)
            except VenueError as error:
                failures += 1
                wait_s = max(min(every_s, _ASK_AGAIN_S), self._poll_backoff.delay_s(failures, self.ctx.entropy))
                if isinstance(error, RateLimited):
                    wait_s = max(wait_s, error.retry_after_s)
                self.log.debug("{} not polled, again in {:.1f} s: {}", data_class, wait_s, error)
            else:
                failures, wait_s = 0, every_s * self.ctx.entropy.uniform(0.9, 1.0)
                self._polled(data_class)
            await trio.sleep_until(max(began_s + wait_s, trio.current_time()))

    def _polled(self, data_class: DataClass) -> None:
        if data_class is DataClass.BARS:
            self._repairs.polled()
        self._changed(int(APPLIED[data_class]))

    # ── the stream ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _remember(self, message: StreamChanged) -> None:
        seat = self._seat
        seat.stream_up, seat.down_reason = message.up, message.reason
        if message.up:
            seat.connected_s, seat.up_s = message.at_s, self._now_s()
            seat.refused.clear()
        else:
            seat.lost_s = message.at_s
            self._repairs.lost_touch()

    def _ask_stream(self, message: Resnapshot | Resubscribe) -> None:
        if self._seat.stream is None:
            return
        try:
            self._seat.stream.tell(message)
        except MailboxFull:
            self.log.warning("the stream took no request for a snapshot")

    def _ask_for_book(self, state: MarketState) -> None:
        """Have the book of `state` begin again: by the stream, or by a request where the stream brings changes only."""
        if DataClass.BOOK not in self._seat.streamed:
            return
        if self._seeding is None:
            self._ask_stream(Resnapshot(self._seat.symbol))
        elif not self._seeding.running:
            self._seeding.running = True
            self.spawn(self._seeding.run, state, self._seeded)

    def _seeded(self, bits: int) -> None:
        """The book is whole."""

    def _streams_book_from(self, since_s: float) -> bool:
        """Whether the book is whole already by what this connection brought."""
        fresh = self._state.fresh[DataClass.BOOK]
        return self._state.book.ready and fresh.source is Source.STREAM and fresh.heard_s >= since_s
