"""The simulated Deribit as clients reach it: one stream is one connection, and each begins as HTTP."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import trio

from engine.kernel import Clock, Entropy
from engine.simulator.deribit.venue import DeribitVenue
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.deribit import envelope
from engine.simulator.wire.deribit.desk import NAME, Desk
from engine.simulator.wire.deribit.driver import Driver
from engine.simulator.wire.deribit.effects import DeribitEffects
from engine.simulator.wire.deribit.rest import NoAnswer, Rest, http_fault
from engine.simulator.wire.deribit.scopes import FULL_ACCESS
from engine.simulator.wire.deribit.settings import DeribitSettings
from engine.simulator.wire.deribit.socket import SocketSession
from engine.simulator.wire.deribit.subscriptions import Subscriptions
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import Drop, HalfOpen, HttpStatus, Stall
from engine.simulator.wire.frames import TEXT, frame
from engine.simulator.wire.http import BadRequest, HttpPeer, HttpReply, HttpRequest
from engine.simulator.wire.port import RESOURCE_GONE, close_at_once, linger
from engine.simulator.wire.websocket import End, WebSocketPeer

__all__ = ["DeribitServer"]

SOCKET_PATH = "/ws/api/v2"
MAX_STREAMS = 512  # open TCP connections, idle keep-alive ones included
TOO_MANY = HttpReply(429, b'{"error":"too many connections"}')


class _Connection(msgspec.Struct):
    stream: trio.abc.Stream
    scope: trio.CancelScope
    session: SocketSession | None = None
    busy: bool = False
    reset: bool = False


class DeribitServer:
    """One venue and everything that serves it. `run` lets it live; `serve_stream` takes one connection."""

    def __init__(
        self,
        venue: DeribitVenue,
        *,
        clock: Clock,
        venue_clock: VenueClock,
        board: FaultBoard,
        entropy: Entropy,
        settings: DeribitSettings,
    ) -> None:
        self.venue = venue
        self.venue_clock = venue_clock
        self._board = board
        self._entropy = entropy
        self._settings = settings
        self._desk = Desk(venue, clock=clock, venue_clock=venue_clock, board=board, entropy=entropy, settings=settings)
        self._rest = Rest(self._desk)
        self._driver = Driver(venue, venue_clock)
        self._subscriptions: Subscriptions[SocketSession] = Subscriptions(venue.activate, venue.deactivate)
        self._cod_accounts: set[str] = set()
        self._connections: dict[int, _Connection] = {}
        self._last_connection = 0
        self._notifications = 0
        self._ends: dict[str, int] = {}
        venue.publish = self.publish
        self._desk.after_call = self._driver.nudge
        board.attach(NAME, DeribitEffects(venue, venue_clock, self, board, entropy.fork("effects")))

    def add_key(self, client_id: str, client_secret: str, account: str, scope: str = FULL_ACCESS) -> None:
        """Let a key act for an account the venue has."""
        self._desk.grants.add_key(client_id, client_secret, account, scope)

    def add_account(self, name: str, balances: Mapping[str, Decimal]) -> None:
        self.venue.add_account(name, balances)

    async def run(self) -> None:
        """Let time pass in the venue, for as long as it is served."""
        await self._driver.run()

    def publish(self, channel: str, data: Any, account: str | None) -> None:
        """Send one message of a channel to all who may hear it; it is encoded once for all that did not label it."""
        listeners = self._subscriptions.listeners(channel)
        if not listeners:
            return
        dressed = self._desk.quirks.dress(data)
        unlabelled: bytes | None = None
        for session in listeners:
            if account is not None and session.channels.account_of(channel) != account:
                continue
            label = session.channels.label_of(channel)
            if label:
                ready = frame(TEXT, envelope.notification(channel, dressed, label))
            else:
                ready = unlabelled = unlabelled or frame(TEXT, envelope.notification(channel, dressed))
            session.notify(channel, ready)
            self._notifications += 1

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end, and close the stream. Never raises for what a client does."""
        self._last_connection += 1
        number = self._last_connection
        connection = _Connection(stream, trio.CancelScope())
        try:
            if len(self._connections) < MAX_STREAMS and not self._board.take(Drop, Site(NAME, number)):
                self._connections[number] = connection
                with connection.scope:
                    await self._serve(HttpPeer(stream), number, connection)
        except RESOURCE_GONE:
            pass
        finally:
            self._connections.pop(number, None)
            await close_at_once(stream, reset=connection.reset)

    def stats(self) -> dict[str, Any]:
        sessions = [connection.session for connection in self._connections.values() if connection.session]
        return {
            "connections": len(self._connections),
            "sockets": len(sessions),
            "channels": len(self._subscriptions),
            "calls": self._desk.calls,
            "notifications": self._notifications,
            "accepted_connections": self._last_connection,
            "socket_ends": dict(self._ends),
        }

    # -- what faults reach

    def sites(self) -> Iterable[Site]:
        return [Site(NAME, number) for number in self._connections]

    def drop(self, site: Site, *, reset: bool) -> None:
        connection = self._connections[site.connection or 0]
        connection.reset = reset
        if connection.session is not None:
            connection.session.peer.end(End.DROPPED)
        else:
            connection.scope.cancel()

    def inject(self, site: Site, ready: bytes) -> None:
        session = self._connections[site.connection or 0].session
        if session is not None:
            session.peer.inject(ready)

    # -- one connection

    async def _serve(self, http: HttpPeer, number: int, connection: _Connection) -> None:
        site = Site(NAME, number)
        while True:
            try:
                request = await http.next_request()
            except BadRequest as error:
                await http.refuse(error)
                return
            if request is None:
                return
            await self._board.until_clear(site, HalfOpen)
            if request.is_upgrade and request.path == SOCKET_PATH:
                await self._serve_socket(http, request, number, connection)
                return
            connection.busy = True
            try:
                reply = await self._answer(request, number)
            except NoAnswer as lost:
                if not lost.close:
                    await http.until_gone()
                return
            await self._board.until_clear(site, Stall, HalfOpen)
            await http.respond(reply)
            connection.busy = False

    async def _answer(self, request: HttpRequest, number: int) -> HttpReply:
        return TOO_MANY if self._crowded() else await self._rest.answer(request, number)

    def _crowded(self) -> bool:
        """Sockets and requests in progress count; idle keep-alive connections do not."""
        active = sum(connection.busy or connection.session is not None for connection in self._connections.values())
        return active > self._settings.max_connections

    async def _serve_socket(self, http: HttpPeer, request: HttpRequest, number: int, connection: _Connection) -> None:
        site = Site(NAME, number)
        peer = WebSocketPeer(
            http,
            site=site,
            board=self._board,
            entropy=self._entropy,
            max_outbound_bytes=self._settings.max_outbound_bytes,
        )
        connection.busy = True
        refusal = self._board.take(HttpStatus, site)
        if refusal is not None or self._crowded():
            await http.respond(TOO_MANY if refusal is None else http_fault(refusal))
            await linger(http.stream)
            return
        await self._board.until_clear(site, Stall)
        if not await peer.handshake(request):
            return
        session = SocketSession(peer, number, self._desk, self._subscriptions, self._cod_accounts)
        connection.session = session

        def on_end(reason: End) -> None:
            connection.session, connection.busy = None, False
            self._ends[reason.value] = self._ends.get(reason.value, 0) + 1
            session.on_end(reason)
            self._driver.nudge()

        await peer.serve(on_message=session.on_message, on_end=on_end, companion=session.heartbeat.run)
