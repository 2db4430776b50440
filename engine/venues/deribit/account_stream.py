"""An account's own events over one socket: log in, subscribe, stay logged in, read what happens.

Login is a signature, never the secret itself. The token it brings dies with the connection and is renewed at half of its life, on whatever
heartbeat comes after that. Any trouble with login or channels ends the connection: the account then asks REST for what it missed.
"""

from collections.abc import Collection, Sequence
from typing import Any, Literal

import msgspec

from engine.kernel import Entropy
from engine.net import client_signature
from engine.venues.base import Connected, Credentials, PrivateEvent, StreamTrouble
from engine.venues.clock import VenueClock
from engine.venues.decoding import WireError, decode
from engine.venues.deribit.errors import venue_error
from engine.venues.deribit.mapping import AccountView, is_rest_of_parts
from engine.venues.deribit.names import channel_of
from engine.venues.deribit.rpc import encode_request
from engine.venues.deribit.wire import AuthResult, ChangesData, Envelope, Heartbeat, Note, SummaryData

CHANNELS = ("user.changes.any.any.raw", "user.portfolio.any")

_NONCE_CHARS = 8
_MAX_UNANSWERED = 100
_ENVELOPE = msgspec.json.Decoder(Envelope)
_HEARTBEAT = msgspec.json.Decoder(Heartbeat)
_AUTH = msgspec.json.Decoder(AuthResult)
_NAMES = msgspec.json.Decoder(list[str])
_CHANGES = msgspec.json.Decoder(Note[ChangesData])
_PORTFOLIO = msgspec.json.Decoder(Note[SummaryData])

Purpose = Literal["login", "renewal", "heartbeat", "subscribe", "test"]
Result = tuple[tuple[PrivateEvent, ...], tuple[bytes, ...]]


class DeribitPrivate:
    """See `engine.venues.base.PrivateAdapter`. Login is by frames and heartbeats come often: nothing is asked of REST."""

    life_s: float | None = None
    renew_every_s: float | None = None
    guard_every_s: float | None = None
    quiet = False

    def __init__(
        self,
        url: str,
        view: AccountView,
        *,
        credentials: Credentials,
        clock: VenueClock,
        entropy: Entropy,
        heartbeat_s: int,
    ) -> None:
        self.url = url
        self._view = view
        self._credentials = credentials
        self._clock = clock
        self._entropy = entropy
        self._heartbeat_s = heartbeat_s
        self._requests = 0
        self._asked: dict[int, Purpose] = {}
        self._refresh_token = ""
        self._renew_at_ms = 0

    async def renew(self, rest: Any) -> None:
        """Nothing to ask for."""

    async def guard(self, rest: Any, symbols: Collection[str]) -> None:
        """This venue counts down for nobody."""

    def greet(self) -> tuple[bytes, ...]:
        timestamp_ms, nonce = self._clock.now_ms(), self._entropy.token(_NONCE_CHARS)
        params = {
            "grant_type": "client_signature",
            "client_id": self._credentials.key,
            "timestamp": timestamp_ms,
            "nonce": nonce,
            "data": "",
            "signature": client_signature(self._credentials.reveal_secret(), timestamp_ms=timestamp_ms, nonce=nonce),
        }
        return (self._ask("login", "public/auth", params),)

    def receive(self, frame: bytes) -> Result:
        """Raises `WireError` for a frame that does not decode: what it said is then learned from REST."""
        channel = channel_of(frame)
        if channel is not None:
            return self._events(channel, frame), ()
        envelope = decode(_ENVELOPE, frame)
        if envelope.method == "heartbeat":
            return (), self._heartbeat(envelope)
        if envelope.usOut:
            self._clock.observe(envelope.usOut / 1000)
        purpose = self._asked.pop(envelope.id, None) if isinstance(envelope.id, int) else None
        if envelope.error is not None:
            return (StreamTrouble(str(venue_error(envelope.error, purpose or "request"))),), ()
        return self._answered(purpose, envelope)

    def _events(self, channel: bytes, frame: bytes) -> tuple[PrivateEvent, ...]:
        """Fills come before the order that they end, so that an order is not seen filled without them."""
        if channel.startswith(b"user.changes."):
            data = decode(_CHANGES, frame).params.data
            now_ms = self._clock.now_ms()
            orders = [self._view.report(order) for order in data.orders if not is_rest_of_parts(order)]
            positions = [self._view.position(position, now_ms) for position in data.positions]
            return (*self._view.fills(data.trades), *orders, *positions)
        if channel.startswith(b"user.portfolio."):
            return (self._view.balance(decode(_PORTFOLIO, frame).params.data, self._clock.now_ms()),)
        return ()

    def _heartbeat(self, envelope: Envelope) -> tuple[bytes, ...]:
        frames: list[bytes] = []
        if decode(_HEARTBEAT, envelope.params).type == "test_request":
            frames.append(self._ask("test", "public/test", {}))
        if self._refresh_token and self._clock.now_ms() >= self._renew_at_ms:
            params = {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
            self._refresh_token = ""
            frames.append(self._ask("renewal", "public/auth", params))
        return tuple(frames)

    def _answered(self, purpose: Purpose | None, envelope: Envelope) -> Result:
        if purpose in ("login", "renewal"):
            token = self._keep_token(envelope)
            return ((), self._subscribe(token)) if purpose == "login" else ((), ())
        if purpose == "subscribe":
            accepted: list[str] = decode(_NAMES, envelope.result)
            return (_connected(accepted),), ()
        return (), ()

    def _keep_token(self, envelope: Envelope) -> str:
        result = decode(_AUTH, envelope.result)
        self._refresh_token = result.refresh_token
        self._renew_at_ms = self._clock.now_ms() + result.expires_in * 500
        return result.access_token

    def _subscribe(self, token: str) -> tuple[bytes, ...]:
        return (
            self._ask("heartbeat", "public/set_heartbeat", {"interval": self._heartbeat_s}),
            self._ask("subscribe", "private/subscribe", {"channels": CHANNELS, "access_token": token}),
        )

    def _ask(self, purpose: Purpose, method: str, params: dict[str, Any]) -> bytes:
        if len(self._asked) >= _MAX_UNANSWERED:
            raise WireError("id", f"answers to {_MAX_UNANSWERED} requests", "none to any of them")
        self._requests += 1
        self._asked[self._requests] = purpose
        return encode_request(self._requests, method, params)


def _connected(accepted: Sequence[str]) -> Connected | StreamTrouble:
    """A channel that is silently missing from the answer would be missed silently."""
    known = {name.lower() for name in accepted}
    missing = [name for name in CHANNELS if name.lower() not in known]
    return StreamTrouble(f"the venue does not send {', '.join(missing)}") if missing else Connected()
