"""One socket of the simulated Binance: what it has subscribed to, what it may say how often, and how long it lives."""

from collections import deque
from collections.abc import Callable, Iterable

import trio
from wsproto.events import Ping, Pong

from engine.simulator.wire.binance_usdm.commands import (
    INVALID_REQUEST,
    Command,
    CommandError,
    error_reply,
    read_command,
    result_reply,
)
from engine.simulator.wire.binance_usdm.lifeline import Lifeline
from engine.simulator.wire.binance_usdm.limits import Limits
from engine.simulator.wire.binance_usdm.routes import NAME, PRIVATE, Place, aliases_of
from engine.simulator.wire.binance_usdm.settings import BinanceSettings
from engine.simulator.wire.binance_usdm.streams import Streams
from engine.simulator.wire.binance_usdm.users import UserStreams
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import Drop, LoseFrames, LoseReply, LoseRequest, Silence
from engine.simulator.wire.websocket import End, WebSocketPeer

__all__ = ["SocketSession"]

RouteOf = Callable[[str], str | None]


class SocketSession:
    """State of one socket. A stream of another route, or one nobody knows, is acknowledged and listed, and silent."""

    def __init__(
        self,
        peer: WebSocketPeer,
        number: int,
        place: Place,
        *,
        streams: "Streams[SocketSession]",
        users: "UserStreams[SocketSession]",
        route_of: RouteOf,
        board: FaultBoard,
        limits: Limits,
        settings: BinanceSettings,
    ) -> None:
        self.peer = peer
        self.combined = place.combined
        self.number = number
        self._place = place
        self._streams = streams
        self._users = users
        self._route_of = route_of
        self._board = board
        self._limits = limits
        self._settings = settings
        self._subscribed: dict[str, bool] = {}  # by name: whether it is heard here
        self._heard_s: deque[float] = deque(maxlen=settings.messages_per_second + 1)
        self._lifeline = Lifeline(settings, ping=peer.ping, end=peer.end)
        self._methods: dict[str, Callable[[Command], object]] = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "LIST_SUBSCRIPTIONS": lambda _: list(self._subscribed),
            "SET_PROPERTY": self._set_property,
            "GET_PROPERTY": lambda _: self.combined,
        }
        self._join(place.streams)

    # -- the wire

    def on_message(self, payload: bytes | None) -> None:
        """Take one message of the client, None for one that is too large."""
        if self._floods():
            return
        try:
            command = read_command(payload)
            if self._lost_on_the_way(command.method):
                return
            reply = result_reply(command.id, self._methods[command.method](command))
        except CommandError as error:
            self.peer.send(error_reply(error), self._site())
            return
        if not self._board.take(LoseReply, self._site(command.method)):
            self.peer.send(reply, self._site(command.method))

    def on_control(self, event: Ping | Pong) -> None:
        """Control frames count as messages, and a pong may answer a ping."""
        if not self._floods() and isinstance(event, Pong):
            self._lifeline.pong(bytes(event.payload))

    def on_end(self, reason: End) -> None:
        """The socket is gone: leave all streams."""
        self._leave(list(self._subscribed))
        if reason is End.RATE_LIMIT:
            self._limits.flooded()

    async def companion(self) -> None:
        """Pings and the longest life run beside the socket."""
        await self._lifeline.run()

    def notify(self, ready: bytes, site: Site) -> None:
        """Pass on a message that was framed for all listeners of its stream."""
        if not self._board.calm and (self._board.take(Silence, site) or self._board.take(LoseFrames, site)):
            return
        self.peer.send_frame(ready, site)

    def _floods(self) -> bool:
        """Count what came; more than so many in a second end the socket."""
        now_s = trio.current_time()
        self._heard_s.append(now_s)
        if len(self._heard_s) < (self._heard_s.maxlen or 0) or now_s - self._heard_s[0] >= 1.0:
            return False
        self.peer.end(End.RATE_LIMIT)
        return True

    def _lost_on_the_way(self, method: str) -> bool:
        site = self._site(method)
        if self._board.take(Drop, site):
            self.peer.end(End.DROPPED)
            return True
        lost = self._board.take(LoseRequest, site)
        if lost is not None and lost.close:
            self.peer.end(End.DROPPED)
        return lost is not None

    def _site(self, method: str = "") -> Site:
        return Site(NAME, self.number, method=method)

    # -- commands

    def _subscribe(self, command: Command) -> None:
        self._join(command.streams, command)

    def _unsubscribe(self, command: Command) -> None:
        self._leave(name for name in command.streams if name in self._subscribed)

    def _set_property(self, command: Command) -> None:
        self.combined = command.combined

    def _join(self, names: Iterable[str], command: Command | None = None) -> None:
        new = [name for name in names if name not in self._subscribed]
        if command is not None and len(self._subscribed) + len(new) > self._settings.max_streams:
            text = f"Invalid request: at most {self._settings.max_streams} streams a connection"
            raise CommandError(INVALID_REQUEST, text, command.id)
        for name in new:
            if self._place.route == PRIVATE:
                self._subscribed[name] = True
                self._users.add(name, self, self._place.events.get(name))
                continue
            route = self._route_of(name)
            heard = route is not None and route == self._place.hears
            self._subscribed[name] = heard
            if heard:
                assert route is not None, "heard"
                site = Site(NAME, self.number, channel=name, aliases=aliases_of(name, route))
                self._streams.add(name, self, site)

    def _leave(self, names: Iterable[str]) -> None:
        for name in names:
            heard = self._subscribed.pop(name)
            if self._place.route == PRIVATE:
                self._users.remove(name, self)
            elif heard:
                self._streams.remove(name, self)
