"""One WebSocket of public data, shared by many feeds.

The stream does not parse: it asks the adapter whose a frame is and puts the raw bytes into that feed's mailbox,
together with the other frames that came in the same read. Losing the connection is a state, not a failure: it tells its
feeds, waits and opens another one, for ever and without using a restart. It reconnects by itself when the venue
acknowledges nothing or falls silent altogether; whether the data of *one* symbol is old is that feed's business. A feed
that cannot keep up loses its own frames and is told so; nobody else notices.

A connection is named by the moment it was made (`since_s`, monotonic), so nothing from an earlier one can be taken for
the present one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec
import trio

from engine.kernel import Actor, Backoff, Lane, MailboxFull, Message, Overflow, Ref, on
from engine.net.websocket import Connection, WebSocketError, WebSocketLimits, connect
from engine.venues.base import BadReply, Route, StreamAdapter

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]

_LIMITS = WebSocketLimits(close_timeout_s=0.5)
_WAITING_FRAMES = 1000  # to the venue; more means that it takes nothing
_LEAVE_S = 1.0  # an unsubscription and the subscription after it may be carried out by different workers of the venue
_GARBAGE = 100  # control frames on one connection that are not understood


# ── messages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Frames(Message, frozen=True):
    """Raw frames of one symbol in the order they came, all received at `at_s` (monotonic) on the connection made at `since_s`."""

    since_s: float
    at_s: float
    frames: Sequence[bytes]


class StreamChanged(Message, frozen=True):
    """The connection was made at `at_s` and everything was asked for (`up`), or is gone since then."""

    lane: ClassVar[Lane] = Lane.CONTROL
    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    up: bool
    at_s: float
    reason: str = ""


class FramesLost(Message, frozen=True):
    """The feed's mailbox was full: what came meanwhile is gone and its book must start again."""

    lane: ClassVar[Lane] = Lane.CONTROL
    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class ChannelRefused(Message, frozen=True):
    """The venue does not send one of the symbol's channels."""

    lane: ClassVar[Lane] = Lane.CONTROL
    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    channel: str

    def conflation_key(self) -> str:
        return self.channel


class Resnapshot(Message, frozen=True):
    """A feed lost its place: have the venue send this symbol's book from the start."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    symbol: str

    def conflation_key(self) -> str:
        return self.symbol


class Resubscribe(Message, frozen=True):
    """A feed misses a whole class of data: ask for everything of this symbol again."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    symbol: str

    def conflation_key(self) -> str:
        return self.symbol


class _ComeBack(Message, frozen=True):
    """To itself: the second half of `Resubscribe`."""

    symbol: str


# ── the actor ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class StreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one connection is kept."""

    symbols_per_stream: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    acknowledged_within_s: Seconds = 10.0
    silent_after_s: Seconds = 15.0  # no data of any symbol: connect again
    retry_min_s: Seconds = 0.5
    retry_max_s: Seconds = 30.0
    healthy_after_s: Seconds = 30.0  # a connection that lasted this long is followed by the shortest wait


class StreamPlan(msgspec.Struct, frozen=True):
    """What one stream carries: a fresh adapter for each connection, and whom each symbol's frames are for."""

    adapter: Callable[[], StreamAdapter]
    feeds: Mapping[str, Ref]
    intervals: Sequence[str]


class Stream(Actor):
    """Owns the connection; the tasks below live in the nursery of one connection each."""

    def __init__(self, plan: StreamPlan, settings: StreamSettings) -> None:
        super().__init__()
        self._plan = plan
        self._settings = settings
        self._backoff = Backoff(min_s=settings.retry_min_s, max_s=settings.retry_max_s, jitter=0.5)
        self._open: _Open | None = None

    async def on_start(self) -> None:
        self._tell_all(StreamChanged(up=False, at_s=self.ctx.clock.monotonic_s(), reason="not connected yet"))
        self.spawn(self._keep_connected)

    @on(Resnapshot)
    def resnapshot(self, message: Resnapshot) -> None:
        self._request(lambda adapter: adapter.resnapshot(message.symbol))

    @on(Resubscribe)
    def resubscribe(self, message: Resubscribe) -> None:
        """What is still subscribed would be sent no second time: first leave, and come back when that has been carried out."""
        self._request(lambda adapter: adapter.unsubscribe((message.symbol,), self._plan.intervals))
        self.after(_LEAVE_S, _ComeBack(message.symbol))

    @on(_ComeBack)
    def come_back(self, message: _ComeBack) -> None:
        self._request(lambda adapter: adapter.subscribe((message.symbol,), self._plan.intervals))

    def _request(self, frames: Callable[[StreamAdapter], Sequence[bytes]]) -> None:
        """Ask for something more on the present connection; without one everything is about to be asked for anyway."""
        if self._open is not None:
            try:
                self._open.send(frames(self._open.adapter))
            except BadReply as error:
                self._open.end(str(error))

    # ── one connection after the other ─────────────────────────────────────────────────────────────────────────────────

    async def _keep_connected(self) -> None:
        attempts = 0
        while True:
            began_s = self.ctx.clock.monotonic_s()
            reason = await self._one_connection()
            ended_s = self.ctx.clock.monotonic_s()
            self._tell_all(StreamChanged(up=False, at_s=ended_s, reason=reason))
            attempts = 1 if ended_s - began_s >= self._settings.healthy_after_s else attempts + 1
            delay_s = self._backoff.delay_s(attempts, self.ctx.entropy)
            self.log.warning("disconnected, trying again in {:.1f} s: {}", delay_s, reason)
            await trio.sleep(delay_s)

    async def _one_connection(self) -> str:
        """Connect and stay; returns why it ended."""
        adapter = self._plan.adapter()
        try:
            async with connect(adapter.url, limits=_LIMITS) as connection:
                opened = _Open(adapter, self.ctx.clock.monotonic_s())
                await self._stay(connection, opened)
                return opened.ended
        except WebSocketError as error:
            return str(error)

    async def _stay(self, connection: Connection, opened: "_Open") -> None:
        """Until one of the tasks calls `opened.end`."""
        try:
            with opened.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, connection, opened)
                    nursery.start_soon(self._watch, opened)
                    nursery.start_soon(self._read, connection, opened)
                    opened.send(opened.adapter.greet())
                    opened.send(opened.adapter.subscribe(tuple(self._plan.feeds), self._plan.intervals))
                    self._open = opened
                    self._tell_all(StreamChanged(up=True, at_s=opened.since_s))
        finally:
            self._open = None

    async def _write(self, connection: Connection, opened: "_Open") -> None:
        try:
            async for frame in opened.to_send:
                await connection.send(frame)
        except WebSocketError as error:
            opened.end(str(error))

    async def _watch(self, opened: "_Open") -> None:
        """Acknowledgement and silence. A venue that acknowledges and sends nothing is the commonest failure of all."""
        acknowledged_within_s, silent_after_s = self._settings.acknowledged_within_s, self._settings.silent_after_s
        while True:
            await trio.sleep(min(acknowledged_within_s, silent_after_s) / 4)
            now_s = self.ctx.clock.monotonic_s()
            if not opened.acknowledged and now_s - opened.since_s > acknowledged_within_s:
                opened.end(f"no subscription acknowledged within {acknowledged_within_s} s")
            if now_s - opened.heard_s > silent_after_s:
                opened.end(f"no data for {silent_after_s} s")

    async def _read(self, connection: Connection, opened: "_Open") -> None:
        try:
            while True:
                self._sort(opened, await connection.receive_many(), self.ctx.clock.monotonic_s())
        except WebSocketError as error:
            opened.end(str(error))

    def _sort(self, opened: "_Open", frames: list[bytes], at_s: float) -> None:
        """The hot path: one look at each frame, one message per symbol and read."""
        route = opened.adapter.route
        by_symbol: dict[str, list[bytes]] = {}
        for frame in frames:
            symbol = route(frame)
            if symbol is None:
                self._control(opened, frame)
            elif symbol in by_symbol:
                by_symbol[symbol].append(frame)
            else:
                by_symbol[symbol] = [frame]
        for symbol, own in by_symbol.items():
            self._deliver(symbol, Frames(opened.since_s, at_s, own))
        if by_symbol:
            opened.heard_s = at_s

    def _deliver(self, symbol: str, frames: Frames) -> None:
        feed = self._plan.feeds.get(symbol)
        if feed is None:
            return  # the venue's last words on a symbol
        try:
            feed.tell(frames)
        except MailboxFull:
            _tell(feed, FramesLost())

    # ── control frames ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _control(self, opened: "_Open", frame: bytes) -> None:
        try:
            route = opened.adapter.control(frame)
        except BadReply as error:  # if it was data, its feed will find the gap
            self._not_understood(opened, error)
            return
        opened.send(route.replies)
        if route.acknowledged:
            opened.acknowledged = True
        self._pass_on_refusals(route)
        if route.problem:
            opened.end(route.problem)

    def _not_understood(self, opened: "_Open", error: BadReply) -> None:
        if opened.garbage == 0:
            self.log.warning("a frame was not understood: {}", error)
        opened.garbage += 1
        if opened.garbage > _GARBAGE:
            opened.end(f"{opened.garbage} frames were not understood, the last one: {error}")

    def _pass_on_refusals(self, route: Route) -> None:
        for channel in route.refused:
            symbol = symbol_of(channel, self._plan.feeds)
            self.log.warning("the venue does not send {}", channel)
            if symbol is not None:
                _tell(self._plan.feeds[symbol], ChannelRefused(channel))

    def _tell_all(self, message: StreamChanged) -> None:
        for feed in self._plan.feeds.values():
            _tell(feed, message)


class _Open:
    """What belongs to one connection."""

    __slots__ = ("_outbox", "acknowledged", "adapter", "ended", "garbage", "heard_s", "scope", "since_s", "to_send")

    def __init__(self, adapter: StreamAdapter, now_s: float) -> None:
        self.adapter = adapter
        self.since_s = now_s
        self.heard_s = now_s
        self.acknowledged = False
        self.ended = ""
        self.garbage = 0
        self.scope = trio.CancelScope()
        self._outbox, self.to_send = trio.open_memory_channel[bytes](_WAITING_FRAMES)

    def send(self, frames: Sequence[bytes]) -> None:
        try:
            for frame in frames:
                self._outbox.send_nowait(frame)
        except trio.WouldBlock:
            self.end(f"the venue takes nothing: {_WAITING_FRAMES} frames wait to be sent")

    def end(self, reason: str) -> None:
        """Leave this connection; the first reason counts."""
        self.ended = self.ended or reason
        self.scope.cancel()


def _tell(feed: Ref, message: Message) -> None:
    """Control messages are conflated; if there is no room even so, the feed is about to be told newer things."""
    try:
        feed.tell(message)
    except MailboxFull:
        return


def symbol_of(channel: str, symbols: Mapping[str, object]) -> str | None:
    """The symbol a channel's name contains, the longest if several do; venues write it in either case."""
    name = channel.lower()
    return max((symbol for symbol in symbols if symbol.lower() in name), key=len, default=None)
