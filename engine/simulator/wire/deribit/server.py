"""The simulated Deribit as clients reach it: one stream is one connection, and each begins as HTTP."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import trio

from engine.kernel import Clock, Entropy
from engine.simulator.deribit.venue import DeribitVenue
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.deribit import envelope
from engine.simulator.wire.deribit.desk import NAME, Desk
from engine.simulator.wire.deribit.effects import DeribitEffects
from engine.simulator.wire.deribit.rest import Rest, http_fault
from engine.simulator.wire.deribit.scopes import FULL_ACCESS
from engine.simulator.wire.deribit.settings import DeribitSettings
from engine.simulator.wire.deribit.socket import SocketSession
from engine.simulator.wire.deribit.subscriptions import Subscriptions
from engine.simulator.wire.driver import Driver
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import HttpStatus
from engine.simulator.wire.frames import TEXT, frame
from engine.simulator.wire.http import HttpReply, HttpRequest
from engine.simulator.wire.reception import Reception
from engine.simulator.wire.websocket import WebSocketPeer

__all__ = ["DeribitServer"]

SOCKET_PATH = "/ws/api/v2"


class DeribitServer:
    """One venue and everything that serves it. `run` lets it live; `serve_stream` takes one connection."""

    name = NAME
    too_many = HttpReply(429, b'{"error":"too many connections"}')

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
        self._desk = Desk(venue, clock=clock, venue_clock=venue_clock, board=board, entropy=entropy, settings=settings)
        self._rest = Rest(self._desk)
        self._driver = Driver(venue, venue_clock)
        self._subscriptions: Subscriptions[SocketSession] = Subscriptions(venue.activate, venue.deactivate)
        self._cod_accounts: set[str] = set()
        self._notifications = 0
        self._reception = Reception(
            self,
            board=board,
            entropy=entropy,
            max_connections=settings.max_connections,
            max_outbound_bytes=settings.max_outbound_bytes,
        )
        venue.publish = self.publish
        self._desk.after_call = self._driver.nudge
        board.attach(NAME, DeribitEffects(venue, venue_clock, self._reception, board, entropy.fork("effects")))

    def add_key(self, client_id: str, client_secret: str, account: str, scope: str = FULL_ACCESS) -> None:
        """Let a key act for an account the venue has."""
        self._desk.grants.add_key(client_id, client_secret, account, scope)

    def revoke_key(self, client_id: str) -> None:
        """End a key, and the sockets that live by it. Raises KeyError."""
        logged_in = self._desk.grants.revoke_key(client_id)
        for site in list(self._reception.sites()):
            if site.connection in logged_in:
                self._reception.drop(site, reset=False)

    def allow(self, client_id: str, scope: str) -> None:
        """Change what a key may do. Raises KeyError."""
        self._desk.grants.allow(client_id, scope)

    def add_account(self, name: str, balances: Mapping[str, Decimal]) -> None:
        self.venue.add_account(name, balances)

    def nudge(self) -> None:
        """Something was done to the venue that no request asked for."""
        self._driver.nudge()

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
        await self._reception.serve_stream(stream)

    def sites(self) -> Iterable[Site]:
        """The open connections, as faults know them."""
        return self._reception.sites()

    def inject(self, site: Site, ready: bytes) -> None:
        """Send a frame to a socket as it is."""
        self._reception.inject(site, ready)

    def stats(self) -> dict[str, Any]:
        return {
            "connections": len(self._reception),
            "sockets": self._reception.sockets,
            "channels": len(self._subscriptions),
            "calls": self._desk.calls,
            "notifications": self._notifications,
            "accepted_connections": self._reception.accepted,
            "socket_ends": dict(self._reception.ends),
        }

    # -- what the reception asks

    def takes_socket(self, request: HttpRequest) -> bool:
        return request.path == SOCKET_PATH

    def socket_site(self, request: HttpRequest, number: int) -> Site:
        return Site(NAME, number)

    def refuses_socket(self, request: HttpRequest, site: Site) -> HttpReply | None:
        refusal = self._board.take(HttpStatus, site)
        return None if refusal is None else http_fault(refusal)

    def open_session(self, peer: WebSocketPeer, number: int, request: HttpRequest) -> SocketSession:
        return SocketSession(peer, number, self._desk, self._subscriptions, self._cod_accounts)

    async def answer(self, request: HttpRequest, number: int) -> HttpReply:
        return await self._rest.answer(request, number)
