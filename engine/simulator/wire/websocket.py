"""One accepted WebSocket: wsproto over a trio stream, with one reader, one writer and one reason to end.

A socket ends in two steps. The *session* is over at once, whatever the transport does: its owner is told, and what
hangs on it (cancel-on-disconnect, subscriptions) happens. The *transport* closes after that, unless a stall or
half-open fault holds it: a peer that went away without a word does not send a FIN because we lost interest.
"""

from collections.abc import Awaitable, Callable
from enum import Enum

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.utilities import RemoteProtocolError

from engine.kernel import Entropy
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import HalfOpen, Stall
from engine.simulator.wire.frames import TEXT, frame
from engine.simulator.wire.http import HttpPeer, HttpReply, HttpRequest
from engine.simulator.wire.outbox import Outbox
from engine.simulator.wire.port import RESOURCE_GONE, linger

__all__ = ["End", "WebSocketPeer"]

MAX_MESSAGE_BYTES = 32 * 1024
READ_BYTES = 64 * 1024
FLUSH_TIMEOUT_S = 2.0


class End(Enum):
    """Why a socket ended."""

    PEER_CLOSED = "peer closed"  # with a close frame, or by breaking the protocol
    PEER_GONE = "peer gone"
    DROPPED = "dropped"  # a fault: closed without a word
    LOGOUT = "logout"
    RATE_LIMIT = "rate limit"
    UNANSWERED = "unanswered"  # a test_request or a ping without its answer
    INACTIVE = "inactive"
    EXPIRED = "expired"  # a socket has a longest life
    TOO_SLOW = "too slow"


# Ends with a close frame behind everything that waits.
_CLOSE_CODES = {End.LOGOUT: 1000, End.RATE_LIMIT: 1008, End.UNANSWERED: 1001, End.INACTIVE: 1001, End.EXPIRED: 1001}
_ORDERLY = {End.PEER_CLOSED, *_CLOSE_CODES}


class WebSocketPeer:
    """A client on the other end of a socket. `send` never blocks; `serve` lasts as long as the socket."""

    def __init__(
        self, http: HttpPeer, *, site: Site, board: FaultBoard, entropy: Entropy, max_outbound_bytes: int
    ) -> None:
        self._http = http
        self._stream = http.stream
        self._site = site
        self._board = board
        self._ws = WSConnection(ConnectionType.SERVER)
        self._outbox = Outbox(
            self._stream,
            site=site,
            board=board,
            entropy=entropy,
            max_bytes=max_outbound_bytes,
            on_overflow=self._too_slow,
        )
        self._message = bytearray()
        self._oversized = False
        self._ended = trio.Event()
        self.end_reason: End | None = None
        self._on_message: Callable[[bytes | None], None] = _ignore
        self._on_control: Callable[[Ping | Pong], None] = _ignore

    async def handshake(self, request: HttpRequest) -> bool:
        """Answer the upgrade request. False if it was no valid one; the refusal has been sent then."""
        try:
            self._ws.initiate_upgrade_connection(request.raw_headers, request.target)
        except RemoteProtocolError as error:
            status = getattr(error.event_hint, "status_code", 400)
            await self._http.respond(HttpReply(status, b"{}", (("connection", "close"),)))
            return False
        except UnicodeError:
            await self._http.respond(HttpReply(400, b"{}", (("connection", "close"),)))
            return False
        await self._stream.send_all(self._ws.send(AcceptConnection()))
        return True

    def send(self, payload: bytes, site: Site) -> None:
        """Queue one text message."""
        self.send_frame(frame(TEXT, payload), site)

    def send_frame(self, ready: bytes, site: Site) -> None:
        """Queue one frame that was built before, because it goes to many sockets."""
        if self.end_reason is None:
            self._outbox.send(ready, site)

    def send_later(self, payload: bytes, delay_s: float, site: Site) -> None:
        """Queue one text message after a while."""
        if self.end_reason is None:
            self._outbox.send_later(frame(TEXT, payload), delay_s, site)

    def inject(self, ready: bytes) -> None:
        """Queue bytes as they are, past all message faults."""
        if self.end_reason is None:
            self._outbox.put(ready)

    def ping(self, payload: bytes) -> None:
        """Queue a ping frame."""
        self.inject(self._ws.send(Ping(payload)))

    def end(self, reason: End) -> None:
        """End the session now; the transport follows. Only the first reason counts."""
        if self.end_reason is not None:
            return
        self.end_reason = reason
        if reason in _CLOSE_CODES:
            self._outbox.put(self._ws.send(CloseConnection(code=_CLOSE_CODES[reason])))
        self._ended.set()

    async def serve(
        self,
        *,
        on_message: Callable[[bytes | None], None],
        on_end: Callable[[End], None],
        companion: Callable[[], Awaitable[None]],
        on_control: Callable[[Ping | Pong], None] | None = None,
    ) -> None:
        """Read and write until the socket ends.

        `on_message` gets each message, None for one above `MAX_MESSAGE_BYTES`, `on_control` each ping, answered
        already, and each pong. `companion` runs beside and is cancelled at the end; `on_end` is called once then, from
        here and never from within a `send`.
        """
        self._on_message = on_message
        self._on_control = on_control or _ignore
        async with trio.open_nursery() as transport:
            transport.start_soon(self._write)
            async with trio.open_nursery() as session:
                session.start_soon(self._read)
                session.start_soon(companion)
                await self._ended.wait()
                session.cancel_scope.cancel()
            on_end(self.end_reason or End.PEER_GONE)
            if self.end_reason is not End.DROPPED:
                await self._board.until_clear(self._site, Stall, HalfOpen)
            if self.end_reason in _ORDERLY:
                with trio.move_on_after(FLUSH_TIMEOUT_S):
                    await self._outbox.flush()
            transport.cancel_scope.cancel()
        if self.end_reason in _ORDERLY:  # nobody writes any more
            await linger(self._stream)

    async def _write(self) -> None:
        try:
            await self._outbox.run()
        except* RESOURCE_GONE:
            self.end(End.PEER_GONE)

    async def _read(self) -> None:
        self._ws.receive_data(self._http.trailing_bytes())
        while self._handle_events():
            data = await self._receive()
            if not data:
                self.end(End.PEER_GONE)
                return
            self._ws.receive_data(data)
        self.end(End.PEER_CLOSED)

    async def _receive(self) -> bytes:
        await self._board.until_clear(self._site, HalfOpen)
        try:
            data = bytes(await self._stream.receive_some(READ_BYTES))
        except RESOURCE_GONE:
            data = b""
        await self._board.until_clear(self._site, HalfOpen)
        return data

    def _handle_events(self) -> bool:
        """Act on everything received. False when the client closed or broke the protocol."""
        for event in self._ws.events():
            if self.end_reason is not None:
                return False
            if isinstance(event, CloseConnection):
                self._outbox.put(self._ws.send(event.response()))
                return False
            self._handle(event)
        return True

    def _handle(self, event: Event) -> None:
        if isinstance(event, Ping):
            self._outbox.put(self._ws.send(event.response()))
            self._on_control(event)
        elif isinstance(event, Pong):
            self._on_control(event)
        elif isinstance(event, TextMessage):
            self._collect(event.data.encode(), finished=event.message_finished)
        elif isinstance(event, BytesMessage):
            self._collect(bytes(event.data), finished=event.message_finished)

    def _collect(self, data: bytes, *, finished: bool) -> None:
        self._oversized = self._oversized or len(self._message) + len(data) > MAX_MESSAGE_BYTES
        if self._oversized:
            self._message.clear()
        else:
            self._message += data
        if finished:
            message = None if self._oversized else bytes(self._message)
            self._message.clear()
            self._oversized = False
            self._on_message(message)

    def _too_slow(self) -> None:
        self.end(End.TOO_SLOW)


def _ignore(_: object) -> None:
    """Nobody listens, or not yet."""
