"""The simulated Binance USD-M as clients reach it: requests and all three routes of streams on one port."""

from typing import Any

import trio

from engine.kernel import Clock, Entropy
from engine.simulator.binance_usdm import BinanceVenue
from engine.simulator.wire.binance_usdm.effects import BinanceEffects
from engine.simulator.wire.binance_usdm.keys import Keys
from engine.simulator.wire.binance_usdm.limits import Limits
from engine.simulator.wire.binance_usdm.rest import Rest
from engine.simulator.wire.binance_usdm.routes import NAME, Place, place_of
from engine.simulator.wire.binance_usdm.session import SocketSession
from engine.simulator.wire.binance_usdm.settings import BinanceSettings
from engine.simulator.wire.binance_usdm.streams import Streams
from engine.simulator.wire.binance_usdm.users import UserStreams
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.driver import Driver
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.http import HttpReply, HttpRequest, json_reply
from engine.simulator.wire.reception import Reception
from engine.simulator.wire.websocket import WebSocketPeer

__all__ = ["BinanceServer"]


class BinanceServer:
    """One venue and everything that serves it. `run` lets it live; `serve_stream` takes one connection."""

    name = NAME
    too_many = json_reply(429, {"code": -1003, "msg": "Too many connections."})

    def __init__(
        self,
        venue: BinanceVenue,
        *,
        clock: Clock,
        venue_clock: VenueClock,
        board: FaultBoard,
        entropy: Entropy,
        settings: BinanceSettings,
    ) -> None:
        self.venue = venue
        self._board = board
        self._settings = settings
        self._limits = Limits(clock, venue_clock, settings)
        self.keys = Keys()
        self._driver = Driver(venue, venue_clock)
        self._rest = Rest(venue, venue_clock, board, self._limits, self.keys, entropy, after_call=self._driver.nudge)
        self._users: UserStreams[SocketSession] = UserStreams()
        self._streams: Streams[SocketSession] = Streams(self._activate, venue.deactivate)
        self._reception = Reception(
            self,
            board=board,
            entropy=entropy,
            max_connections=settings.max_connections,
            max_outbound_bytes=settings.max_outbound_bytes,
        )
        venue.publish = self._streams.publish
        venue.trading.tell = self._users.publish
        venue.trading.listen_keys.life_ms = round(settings.listen_key_s * 1000)
        board.attach(NAME, BinanceEffects(venue, venue_clock, self._reception, board, entropy.fork("effects")))

    def nudge(self) -> None:
        """Something was done to the venue that no request asked for."""
        self._driver.nudge()

    async def run(self) -> None:
        """Let time pass in the venue, for as long as it is served."""
        await self._driver.run()

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end, and close the stream. Never raises for what a client does."""
        await self._reception.serve_stream(stream)

    def stats(self) -> dict[str, Any]:
        reception, limits = self._reception, self._limits
        return {
            "connections": len(reception),
            "sockets": reception.sockets,
            "streams": len(self._streams),
            "calls": dict(self._rest.calls),
            "used": limits.used(),
            "used_in_all": limits.totals(),
            "refused": limits.refused,
            "bans": limits.bans,
            "messages": self._streams.sent,
            "listen_keys": len(self._users),
            "user_messages": self._users.sent,
            "accepted_connections": reception.accepted,
            "socket_ends": dict(reception.ends),
        }

    # -- what the reception asks

    def takes_socket(self, request: HttpRequest) -> bool:
        return place_of(request) is not None

    def socket_site(self, request: HttpRequest, number: int) -> Site:
        """A whole socket is narrowed by its route, as in `channel="market/"`."""
        return Site(NAME, number, channel=f"{_place(request).route}/")

    def refuses_socket(self, request: HttpRequest, site: Site) -> HttpReply | None:
        refusal = self._rest.refusal(site)
        if refusal is None and len(_place(request).streams) > self._settings.max_streams:
            return json_reply(
                400, {"code": -1101, "msg": f"At most {self._settings.max_streams} streams a connection."}
            )
        return refusal

    def open_session(self, peer: WebSocketPeer, number: int, request: HttpRequest) -> SocketSession:
        return SocketSession(
            peer,
            number,
            _place(request),
            streams=self._streams,
            users=self._users,
            route_of=self.venue.route_of,
            board=self._board,
            limits=self._limits,
            settings=self._settings,
        )

    async def answer(self, request: HttpRequest, number: int) -> HttpReply:
        return await self._rest.answer(request, number)

    def _activate(self, stream: str) -> None:
        self.venue.activate(stream)
        self._driver.nudge()


def _place(request: HttpRequest) -> Place:
    place = place_of(request)
    assert place is not None, "the reception asks only about places that are"
    return place
