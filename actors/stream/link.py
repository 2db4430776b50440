"""One connection of a stream, from the first byte to its end.

It asks for everything at the pace the venue allows, hands on what comes, answers control frames, and ends itself when
the venue acknowledges nothing or falls silent altogether. Who uses it, and what follows it, is the stream's business.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import loguru
import msgspec
import trio

from actors.stream.messages import ChannelRefused, Frames, FramesLost
from engine.kernel import Clock, MailboxFull, Message, Ref
from engine.net.websocket import Connection, WebSocketError, WebSocketLimits, connect
from engine.venues.base import BadReply, Route, StreamAdapter

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]

_LIMITS = WebSocketLimits(close_timeout_s=0.5)
_WAITING_FRAMES = 1000  # to the venue; more means that it takes nothing
_GARBAGE = 100  # control frames on one connection that are not understood


class StreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How connections are kept."""

    symbols_per_stream: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    acknowledged_within_s: Seconds = 10.0  # from the last frame sent
    silent_after_s: Seconds = 15.0  # no data of any symbol: connect again
    retry_min_s: Seconds = 0.5
    retry_max_s: Seconds = 30.0
    healthy_after_s: Seconds = 30.0  # a connection that lasted this long is followed by the shortest wait
    settled_within_s: Seconds = 15.0  # how long a replacement is waited for to bring what the old connection brings


class Link:
    """`opened` once everything is acknowledged; `heard` has the time of the newest frame by symbol."""

    def __init__(
        self,
        adapter: StreamAdapter,
        feeds: Mapping[str, Ref],
        intervals: Sequence[str],
        settings: StreamSettings,
        clock: Clock,
        log: "loguru.Logger",
        on_open: Callable[["Link"], None],
        on_data: Callable[[float], None],
    ) -> None:
        self.adapter = adapter
        self.since_s = float("-inf")
        self.heard_s = float("-inf")
        self.heard: dict[str, float] = {}
        self.opened = False
        self.ended = ""
        self._feeds = feeds
        self._intervals = intervals
        self._settings = settings
        self._now_s = clock.monotonic_s
        self._log = log
        self._on_open = on_open
        self._on_data = on_data
        self._unanswered = 0  # frames that ask for something
        self._waiting = 0  # frames not sent yet
        self._sent_s = float("inf")
        self._garbage = 0
        self._refused: list[str] = []  # channels
        self._scope = trio.CancelScope()
        self._outbox, self._to_send = trio.open_memory_channel[bytes](_WAITING_FRAMES)

    async def run(self) -> str:
        """Connect and stay; returns why it ended."""
        with self._scope:
            try:
                async with connect(self.adapter.url, limits=_LIMITS) as connection:
                    self.since_s = self.heard_s = self._now_s()
                    await self._stay(connection)
            except WebSocketError as error:
                self.end(str(error))
        return self.ended

    def end(self, reason: str) -> None:
        """Leave this connection; the first reason counts."""
        self.ended = self.ended or reason
        self._scope.cancel()

    def ask(self, frames: Callable[[StreamAdapter], Sequence[bytes]]) -> None:
        """Ask for something more; before there is a connection everything is about to be asked for anyway."""
        if self.since_s < 0.0:
            return
        try:
            self._send(frames(self.adapter))
        except BadReply as error:
            self.end(str(error))

    def _send(self, frames: Sequence[bytes]) -> None:
        try:
            for frame in frames:
                self._outbox.send_nowait(frame)
                self._waiting += 1
        except trio.WouldBlock:
            self.end(f"the venue takes nothing: {_WAITING_FRAMES} frames wait to be sent")

    # ── the tasks of a connection ──────────────────────────────────────────────────────────────────────────────────────

    async def _stay(self, connection: Connection) -> None:
        """Until one of the tasks calls `end`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, connection)
            nursery.start_soon(self._watch)
            nursery.start_soon(self._read, connection)
            self._send(self.adapter.greet())
            wanted = self.adapter.subscribe(tuple(self._feeds), self._intervals)
            self._unanswered = len(wanted)
            self._send(wanted)

    async def _write(self, connection: Connection) -> None:
        pause_s = 1.0 / self.adapter.frames_per_s
        try:
            async for frame in self._to_send:
                await connection.send(frame)
                self._waiting -= 1
                self._sent_s = self._now_s()
                await trio.sleep(pause_s)
        except WebSocketError as error:
            self.end(str(error))

    async def _watch(self) -> None:
        """Acknowledgement and silence. A venue that acknowledges and sends nothing is the commonest failure of all."""
        acknowledged_within_s, silent_after_s = self._settings.acknowledged_within_s, self._settings.silent_after_s
        while True:
            await trio.sleep(min(acknowledged_within_s, silent_after_s) / 4)
            now_s = self._now_s()
            if not self.opened and not self._waiting and now_s - self._sent_s > acknowledged_within_s:
                self.end(f"{self._unanswered} subscriptions not acknowledged within {acknowledged_within_s} s")
            if now_s - self.heard_s > silent_after_s and not self._waiting:
                self.end(f"no data for {silent_after_s} s")

    async def _read(self, connection: Connection) -> None:
        try:
            while True:
                self._sort(await connection.receive_many(), self._now_s())
        except WebSocketError as error:
            self.end(str(error))

    # ── what comes ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _sort(self, frames: list[bytes], at_s: float) -> None:
        """The hot path: one look at each frame, one message per symbol and read."""
        route = self.adapter.route
        by_symbol: dict[str, list[bytes]] = {}
        for frame in frames:
            symbol = route(frame)
            if symbol is None:
                self._control(frame)
            elif symbol in by_symbol:
                by_symbol[symbol].append(frame)
            else:
                by_symbol[symbol] = [frame]
        if not by_symbol:
            return
        self.heard_s = at_s
        self._on_data(at_s)
        feeds, heard, since_s = self._feeds, self.heard, self.since_s
        for symbol, own in by_symbol.items():
            feed = feeds.get(symbol)
            if feed is None:
                continue  # the venue's last words on a symbol
            heard[symbol] = at_s
            try:
                feed.tell(Frames(since_s, at_s, own))
            except MailboxFull:
                tell(feed, FramesLost())

    def _control(self, frame: bytes) -> None:
        try:
            route = self.adapter.control(frame)
        except BadReply as error:  # if it was data, its feed will find the gap
            self._not_understood(error)
            return
        self._send(route.replies)
        if route.acknowledged or route.refused:
            self._answered(route)
        if route.problem:
            self.end(route.problem)

    def _answered(self, route: Route) -> None:
        self._refused.extend(route.refused)
        self._unanswered -= 1
        if self._unanswered <= 0 and not self.opened:
            self.opened = True
            self._on_open(self)
        if self.opened:  # a feed forgets refusals when it hears of a new connection
            self._pass_on_refusals()

    def _pass_on_refusals(self) -> None:
        for channel in self._refused:
            symbol = self.adapter.symbol_of(channel)
            self._log.warning("the venue does not send {}", channel)
            if symbol is not None and symbol in self._feeds:
                tell(self._feeds[symbol], ChannelRefused(channel))
        self._refused.clear()

    def _not_understood(self, error: BadReply) -> None:
        if self._garbage == 0:
            self._log.warning("a frame was not understood: {}", error)
        self._garbage += 1
        if self._garbage > _GARBAGE:
            self.end(f"{self._garbage} frames were not understood, the last one: {error}")


def tell(feed: Ref, message: Message) -> None:
    """Control messages are conflated; if there is no room even so, the feed is about to be told newer things."""
    try:
        feed.tell(message)
    except MailboxFull:
        return
