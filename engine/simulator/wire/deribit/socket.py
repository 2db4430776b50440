"""One WebSocket client of the simulated Deribit: its login, its subscriptions, its heartbeat, and what happens when it is gone."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from wsproto.events import Ping, Pong

from engine.simulator.deribit.params import Param, choice, flag, integer, listing, parse, required, text
from engine.simulator.deribit.rpc import RpcError
from engine.simulator.wire.deribit import envelope
from engine.simulator.wire.deribit.channels import SocketChannels
from engine.simulator.wire.deribit.desk import NAME, Call, Desk, Outcome, OwnMethod
from engine.simulator.wire.deribit.grants import Grant
from engine.simulator.wire.deribit.heartbeat import Heartbeat
from engine.simulator.wire.deribit.scopes import allows
from engine.simulator.wire.deribit.subscriptions import Subscriptions
from engine.simulator.wire.faultboard import Site
from engine.simulator.wire.faults import Drop, LoseFrames, LoseReply, LoseRequest, Silence
from engine.simulator.wire.frames import TEXT, frame
from engine.simulator.wire.websocket import End, WebSocketPeer

__all__ = ["SocketSession"]

MIN_HEARTBEAT_S = 10
MAX_CHANNELS = 500
IN_ORDER = ("public/subscribe", "private/subscribe")  # data follows the reply, never the other way round

_INTERVAL: dict[str, Param] = {"interval": required(integer(MIN_HEARTBEAT_S, 3600))}
_CHANNELS: dict[str, Param] = {"channels": required(listing(MAX_CHANNELS)), "label": text(16)}
_COD_SCOPE: dict[str, Param] = {"scope": choice("connection", "account", default="connection")}
_LOGOUT: dict[str, Param] = {"invalidate_token": flag(True)}


class SocketSession:
    """State and methods of one socket. `cod_accounts` are the accounts whose new sockets cancel on disconnect."""

    def __init__(
        self,
        peer: WebSocketPeer,
        connection: int,
        desk: Desk,
        subscriptions: "Subscriptions[SocketSession]",
        cod_accounts: set[str],
    ) -> None:
        self.peer = peer
        self.connection = connection
        self._desk = desk
        self._cod_accounts = cod_accounts
        self._cod = False
        self._grant: Grant | None = None
        self._held_back: list[tuple[bytes, Site]] | None = None  # notifications that wait for the reply being made
        self.channels = SocketChannels(self, desk.venue, subscriptions)
        self.heartbeat = Heartbeat(
            inactivity_s=desk.settings.inactivity_s, send=self._send_heartbeat, lost=self._lost_client
        )
        self._own = self._methods()

    # -- messages

    def on_message(self, payload: bytes | None) -> None:
        """Take one message of the client, None for one that is too large."""
        us_in = self._desk.venue_clock.now_us()
        try:
            if payload is None:
                raise envelope.too_large()
            request = envelope.read_request(payload, id_needed=True)
        except envelope.MalformedRequest as malformed:
            us_out = self._desk.venue_clock.now_us()
            self.peer.send(envelope.error_reply(malformed.id, malformed.error, us_in, us_out), self._site())
            return
        self.heartbeat.heard(request.method)
        if not self._lost_on_the_way(request.method):
            self._perform(request, us_in)

    def on_control(self, event: Ping | Pong) -> None:
        """Proof of life is a matter of methods here."""

    def notify(self, channel: str, ready: bytes) -> None:
        """Pass on a notification that was built for all listeners of `channel`."""
        site = Site(NAME, self.connection, channel=channel)
        if self._desk.board.take(Silence, site) or self._desk.board.take(LoseFrames, site):
            return
        if self._held_back is not None:
            self._held_back.append((ready, site))
        else:
            self.peer.send_frame(ready, site)

    def on_end(self, reason: End) -> None:
        """The socket is gone: leave all channels, end its tokens, cancel its orders where that was asked for."""
        self.channels.leave_all()
        self._desk.grants.forget_connection(self.connection)
        if self._cod and reason is not End.LOGOUT:
            self._desk.venue.cancel_for_connection(self.connection)
        self._desk.after_call()

    async def companion(self) -> None:
        """The heartbeat runs beside the socket."""
        await self.heartbeat.run()

    def _lost_on_the_way(self, method: str) -> bool:
        if self._desk.board.take(Drop, self._site(method)):
            self.peer.end(End.DROPPED)
            return True
        lost = self._desk.board.take(LoseRequest, self._site(method))
        if lost is not None and lost.close:
            self.peer.end(End.DROPPED)
        return lost is not None

    def _perform(self, request: envelope.Request, us_in: int) -> None:
        done = partial(self._answer, request, us_in)
        try:
            grant = self._grant_of(request)
        except RpcError as error:
            done(error)
            return
        self._held_back = [] if request.method in IN_ORDER or self._desk.quirks.reply_first() else None
        self._desk.perform(Call(request, self.connection, grant), self._own, done)
        held_back, self._held_back = self._held_back, None
        for ready, site in held_back or ():
            self.peer.send_frame(ready, site)

    def _answer(self, request: envelope.Request, us_in: int, outcome: Outcome) -> None:
        site = self._site(request.method)
        lost = self._desk.board.take(LoseReply, site)
        if lost is not None:
            if lost.close:
                self.peer.end(End.DROPPED)
            return
        us_out = self._desk.venue_clock.now_us()
        if isinstance(outcome, RpcError):
            self.peer.send(envelope.error_reply(request.id, outcome, us_in, us_out), site)
            if outcome.code == envelope.TOO_MANY_REQUESTS:
                self.peer.end(End.RATE_LIMIT)
            return
        reply = envelope.result_reply(request.id, self._desk.quirks.dress(outcome), us_in, us_out)
        delay_s = 0.0 if request.method in IN_ORDER else self._desk.quirks.reply_delay_s()
        if delay_s:
            self.peer.send_later(reply, delay_s, site)
        else:
            self.peer.send(reply, site)

    def _site(self, method: str = "") -> Site:
        return Site(NAME, self.connection, method=method)

    # -- login

    def _grant_of(self, request: envelope.Request) -> Grant | None:
        """A token in the params counts first, then the one the socket remembers while it lives. Raises 13009."""
        token = request.params.get("access_token")
        if isinstance(token, str):
            return self._desk.grants.by_token(token, self.connection)
        if self._grant is not None and self._desk.grants.is_live(self._grant):
            return self._grant
        return None

    def _remember(self, grant: Grant) -> None:
        self._grant = grant
        self._cod = self._cod or grant.key.account in self._cod_accounts

    def _logout(self, call: Call) -> Any:
        if parse(_LOGOUT, call.request.params)["invalidate_token"] and call.grant is not None:
            self._desk.grants.log_out(call.grant)
        self.peer.end(End.LOGOUT)
        return None

    # -- heartbeat

    def _set_heartbeat(self, call: Call) -> str:
        self.heartbeat.set(parse(_INTERVAL, call.request.params)["interval"])
        return "ok"

    def _disable_heartbeat(self, call: Call) -> str:
        self.heartbeat.set(None)
        return "ok"

    def _send_heartbeat(self, kind: str) -> None:
        payload = envelope.encode({"params": {"type": kind}, "method": "heartbeat", "jsonrpc": "2.0"})
        self.peer.send(payload, self._site("heartbeat"))

    def _lost_client(self, unanswered: bool) -> None:
        self.peer.end(End.UNANSWERED if unanswered else End.INACTIVE)

    # -- channels

    def _subscribe_public(self, call: Call) -> list[str]:
        return self._subscribe(call, private=False)

    def _subscribe_private(self, call: Call) -> list[str]:
        return self._subscribe(call, private=True)

    def _subscribe(self, call: Call, *, private: bool) -> list[str]:
        given = parse(_CHANNELS, call.request.params)
        caller = self._desk.caller(self.connection, call.grant)
        accepted = self.channels.accepted(given["channels"], caller, private=private)
        label = (given["label"] or "") if private else ""
        for channel in accepted:
            for data in self.channels.join(channel, caller, label):
                dressed = self._desk.quirks.dress(data)
                self.notify(channel, frame(TEXT, envelope.notification(channel, dressed, label)))
        return accepted

    def _unsubscribe(self, call: Call) -> list[str]:
        return self.channels.leave(parse(_CHANNELS, call.request.params)["channels"])

    def _unsubscribe_all(self, call: Call) -> str:
        self.channels.leave_all()
        return "ok"

    # -- cancel on disconnect

    def _enable_cod(self, call: Call) -> str:
        return self._switch_cod(call, enabled=True)

    def _disable_cod(self, call: Call) -> str:
        return self._switch_cod(call, enabled=False)

    def _switch_cod(self, call: Call, *, enabled: bool) -> str:
        """`connection` is this socket alone, `account` what sockets begin with that log in later."""
        account = _account(call, "read_write")
        if parse(_COD_SCOPE, call.request.params)["scope"] == "connection":
            self._cod = enabled
        elif enabled:
            self._cod_accounts.add(account)
        else:
            self._cod_accounts.discard(account)
        return "ok"

    def _get_cod(self, call: Call) -> dict[str, Any]:
        account = _account(call, "read")
        scope = parse(_COD_SCOPE, call.request.params)["scope"]
        return {"scope": scope, "enabled": self._cod if scope == "connection" else account in self._cod_accounts}

    def _methods(self) -> Mapping[str, OwnMethod]:
        return {
            **self._desk.common_methods(self.connection, self._remember),
            "private/logout": self._logout,
            "public/set_heartbeat": self._set_heartbeat,
            "public/disable_heartbeat": self._disable_heartbeat,
            "public/subscribe": self._subscribe_public,
            "private/subscribe": self._subscribe_private,
            "public/unsubscribe": self._unsubscribe,
            "private/unsubscribe": self._unsubscribe,
            "public/unsubscribe_all": self._unsubscribe_all,
            "private/unsubscribe_all": self._unsubscribe_all,
            "private/enable_cancel_on_disconnect": self._enable_cod,
            "private/disable_cancel_on_disconnect": self._disable_cod,
            "private/get_cancel_on_disconnect": self._get_cod,
        }


def _account(call: Call, level: str) -> str:
    """The caller's account. Raises 13021 where its token may not do this."""
    assert call.grant is not None, "the desk refuses private methods without a grant"
    if not allows(call.grant.scopes, "account", level):
        raise RpcError(13021, "forbidden", {"reason": f"scope account:{level} is needed"})
    return call.grant.key.account
