"""Where the clients of one venue arrive: one stream is one connection, each begins as HTTP and may become a socket.

Everything here is the same for all venues; what a venue says and takes is its `Face`.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec
import trio
from wsproto.events import Ping, Pong

from engine.kernel import Entropy
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import Drop, HalfOpen, Stall
from engine.simulator.wire.http import BadRequest, HttpPeer, HttpReply, HttpRequest
from engine.simulator.wire.httpfaults import NoAnswer
from engine.simulator.wire.port import RESOURCE_GONE, close_at_once, linger
from engine.simulator.wire.websocket import End, WebSocketPeer

__all__ = ["Face", "Reception", "Session"]

MAX_STREAMS = 512  # open TCP connections, idle keep-alive ones included


class Session(Protocol):
    """One socket as its venue knows it."""

    peer: WebSocketPeer

    def on_message(self, payload: bytes | None) -> None:
        """Take a message of the client; None for one that is too large."""

    def on_end(self, reason: End) -> None:
        """The socket is gone; called once."""

    def on_control(self, event: Ping | Pong) -> None:
        """A ping, which is answered already, or a pong."""

    async def companion(self) -> None:
        """What runs beside the socket, as long as it lives."""


class Face(Protocol):
    """A venue as its reception needs it."""

    name: str
    too_many: HttpReply  # said to whom there is no room for

    def takes_socket(self, request: HttpRequest) -> bool:
        """Whether an upgrade request is for a path that has sockets."""

    def socket_site(self, request: HttpRequest, number: int) -> Site:
        """Where the faults of a whole socket strike."""

    def refuses_socket(self, request: HttpRequest, site: Site) -> HttpReply | None:
        """What is answered instead of a handshake, where it is not to be."""

    def open_session(self, peer: WebSocketPeer, number: int, request: HttpRequest) -> Session: ...

    async def answer(self, request: HttpRequest, number: int) -> HttpReply:
        """The reply to one HTTP request. Raises `NoAnswer` where a fault wants it lost."""


class _Connection(msgspec.Struct):
    stream: trio.abc.Stream
    scope: trio.CancelScope
    site: Site
    session: Session | None = None
    busy: bool = False
    reset: bool = False


class Reception:
    """`serve_stream` takes one connection; faults reach all of them through `sites`, `drop`, `end` and `inject`."""

    def __init__(
        self, face: Face, *, board: FaultBoard, entropy: Entropy, max_connections: int, max_outbound_bytes: int
    ) -> None:
        self.accepted = 0
        self.ends: dict[str, int] = {}
        self._face = face
        self._board = board
        self._entropy = entropy
        self._max_connections = max_connections
        self._max_outbound_bytes = max_outbound_bytes
        self._connections: dict[int, _Connection] = {}

    def __len__(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def sockets(self) -> int:
        """How many of them are sockets."""
        return sum(1 for _ in self._sessions())

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end, and close the stream. Never raises for what a client does."""
        self.accepted += 1
        number = self.accepted
        connection = _Connection(stream, trio.CancelScope(), Site(self._face.name, number, socket=False))
        try:
            if len(self._connections) < MAX_STREAMS and not self._board.take(Drop, connection.site):
                self._connections[number] = connection
                with connection.scope:
                    await self._serve(HttpPeer(stream), number, connection)
        except RESOURCE_GONE:
            pass
        finally:
            self._connections.pop(number, None)
            await close_at_once(stream, reset=connection.reset)

    # -- what faults reach

    def sites(self) -> Iterable[Site]:
        return [connection.site for connection in self._connections.values()]

    def drop(self, site: Site, *, reset: bool) -> None:
        """Close without a word."""
        connection = self._connections[site.connection or 0]
        connection.reset = reset
        if connection.session is not None:
            connection.session.peer.end(End.DROPPED)
        else:
            connection.scope.cancel()

    def end(self, site: Site, reason: End) -> None:
        """End a socket; nothing happens to a connection that is none."""
        session = self._connections[site.connection or 0].session
        if session is not None:
            session.peer.end(reason)

    def inject(self, site: Site, ready: bytes) -> None:
        """Send a frame to a socket as it is."""
        session = self._connections[site.connection or 0].session
        if session is not None:
            session.peer.inject(ready)

    # -- one connection

    async def _serve(self, http: HttpPeer, number: int, connection: _Connection) -> None:
        while True:
            try:
                request = await http.next_request()
            except BadRequest as error:
                await http.refuse(error)
                return
            if request is None:
                return
            await self._board.until_clear(connection.site, HalfOpen)
            if request.is_upgrade and self._face.takes_socket(request):
                await self._serve_socket(http, request, number, connection)
                return
            connection.busy = True
            try:
                reply = await self._answer(request, number)
            except NoAnswer as lost:
                if not lost.close:
                    await http.until_gone()
                return
            await self._board.until_clear(connection.site, Stall, HalfOpen)
            await http.respond(reply)
            connection.busy = False

    async def _answer(self, request: HttpRequest, number: int) -> HttpReply:
        return self._face.too_many if self._crowded() else await self._face.answer(request, number)

    def _crowded(self) -> bool:
        """Sockets and requests in progress count; idle keep-alive connections do not."""
        active = sum(connection.busy or connection.session is not None for connection in self._connections.values())
        return active > self._max_connections

    async def _serve_socket(self, http: HttpPeer, request: HttpRequest, number: int, connection: _Connection) -> None:
        site = connection.site = self._face.socket_site(request, number)
        connection.busy = True
        if self._board.take(Drop, site, sockets_only=True):
            return
        await self._board.until_clear(site, HalfOpen)
        refusal = self._face.refuses_socket(request, site)
        if refusal is not None or self._crowded():
            await http.respond(refusal or self._face.too_many)
            await linger(http.stream)
            return
        await self._board.until_clear(site, Stall)
        peer = WebSocketPeer(
            http, site=site, board=self._board, entropy=self._entropy, max_outbound_bytes=self._max_outbound_bytes
        )
        if not await peer.handshake(request):
            return
        session = self._face.open_session(peer, number, request)
        connection.session = session

        def on_end(reason: End) -> None:
            connection.session, connection.busy = None, False
            connection.site = Site(self._face.name, number, socket=False)
            self.ends[reason.value] = self.ends.get(reason.value, 0) + 1
            session.on_end(reason)

        await peer.serve(
            on_message=session.on_message, on_end=on_end, companion=session.companion, on_control=session.on_control
        )

    def _sessions(self) -> Iterator[Session]:
        return (connection.session for connection in self._connections.values() if connection.session is not None)
