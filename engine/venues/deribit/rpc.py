"""JSON-RPC 2.0 over HTTP: one call, one typed answer or the `VenueError` that says what may have happened.

Private calls are signed one by one (deri-hmac-sha256), so there is no token to expire. A signature is good for a minute around its time stamp,
which is taken from the venue's clock; when that was off (13009), the refusal itself brings the right time and the call is signed once more.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
import trio

from engine.kernel import Entropy
from engine.net import (
    Breaker,
    BudgetExceeded,
    HttpClient,
    HttpReply,
    Priority,
    RateBudget,
    ReplyLost,
    RequestNotSent,
    client_signature,
    deri_hmac,
)
from engine.venues.base import (
    BadReply,
    Credentials,
    NotAuthorised,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    VenueError,
)
from engine.venues.clock import VenueClock
from engine.venues.decoding import WireError, decode
from engine.venues.deribit.credits import price_of, priority_of
from engine.venues.deribit.errors import WRONG_TOKEN, venue_error
from engine.venues.deribit.wire import Envelope

T = TypeVar("T")

_ENVELOPE = msgspec.json.Decoder(Envelope)
_NONCE_CHARS = 8
_MAX_RETRY_AFTER_S = 600.0
_TOO_MANY = 429
_JUDGE_S = 0.05  # before the caller's deadline
_ANSWER_S = 0.5  # what a question keeps of its time for the exchange itself
_BREAK_S = 2.0  # long enough to spare a host that is down, short enough to notice its return


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """A result and the venue's time when it left (0 when the reply did not say)."""

    result: T
    venue_ms: int


def encode_request(request_id: int, method: str, params: Mapping[str, Any]) -> bytes:
    """One JSON-RPC request; params that are None are left out. A `Decimal` must come as `msgspec.Raw` of its plain text."""
    given = {key: value for key, value in params.items() if value is not None}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": given})


class RpcClient:
    """Calls to one Deribit host for one account, or for none."""

    def __init__(
        self,
        base_url: str,
        http: HttpClient,
        *,
        budget: RateBudget,
        clock: VenueClock,
        entropy: Entropy,
        credentials: Credentials | None,
        timeout_s: float,
    ) -> None:
        self._path = urlsplit(base_url).path.rstrip("/")
        self._http = http
        self._budget = budget
        self._breaker = Breaker(failures=5, open_s=_BREAK_S)
        self._clock = clock
        self._entropy = entropy
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._calls = 0

    async def call(self, method: str, params: Mapping[str, Any], decoder: msgspec.json.Decoder[T]) -> Answer[T]:
        """Raises a `VenueError`. The deadline covers the wait for credits and the exchange together."""
        deadline_s = trio.current_time() + self._timeout_s
        try:
            return await self._call(method, params, decoder, deadline_s)
        except NotAuthorised as error:
            if error.code != WRONG_TOKEN or self._credentials is None:
                raise
        return await self._call(method, params, decoder, deadline_s)

    def login_params(self, scope: str) -> Mapping[str, str | int]:
        """What `public/auth` takes, signed now. Raises `NotAuthorised` without credentials."""
        if self._credentials is None:
            raise NotAuthorised("public/auth: no credentials for this account")
        timestamp_ms, nonce = self._clock.now_ms(), self._entropy.token(_NONCE_CHARS)
        signature = client_signature(self._credentials.reveal_secret(), timestamp_ms=timestamp_ms, nonce=nonce)
        return {
            "grant_type": "client_signature",
            "client_id": self._credentials.key,
            "timestamp": timestamp_ms,
            "nonce": nonce,
            "data": "",
            "signature": signature,
            "scope": scope,
        }

    async def close(self) -> None:
        await self._http.close()

    async def _call(
        self, method: str, params: Mapping[str, Any], decoder: msgspec.json.Decoder[T], deadline_s: float
    ) -> Answer[T]:
        self._calls += 1
        body = encode_request(self._calls, method, params)
        await self._pay(method, deadline_s)
        reply = await self._exchange(method, body, deadline_s)
        envelope = self._open(method, reply)
        return Answer(decode(decoder, envelope.result), envelope.usOut // 1000)

    async def _pay(self, method: str, deadline_s: float) -> None:
        """Wait for credits, and refuse to ask a host that is down when the question can wait.

        Nobody waits for as long as there is time, an order or a cancel for half of it: who was cut off by his own deadline
        in this line could not say that nothing was sent, and who left it at the last moment would have paid for a request
        with no time for its answer.
        """
        bucket, cost = price_of(method)
        priority = priority_of(method)
        now_s = trio.current_time()
        if priority >= Priority.QUERY and not self._breaker.allow(now_s):
            raise NotSent(f"{method}: the venue keeps failing; next try in {self._breaker.wait_s(now_s):.1f} s")
        try:
            left_s = min(deadline_s, trio.current_effective_deadline()) - now_s
            patience_s = left_s / 2 if priority <= Priority.ORDER else left_s - min(_ANSWER_S, left_s / 4)
            await self._budget.take(bucket, cost, priority, max(0.0, patience_s))
        except BudgetExceeded as error:
            raise RateLimited(f"{method}: {error}", retry_after_s=error.wait_s) from error

    async def _exchange(self, method: str, body: bytes, deadline_s: float) -> HttpReply:
        # The client knows whether a byte left; a caller whose deadline cuts it off would have to assume the worst.
        soonest_s = min(deadline_s, trio.current_effective_deadline() - _JUDGE_S)
        timeout_s = max(0.001, soonest_s - trio.current_time())
        try:
            reply = await self._http.request(
                "POST", f"/{method}", timeout_s=timeout_s, body=body, headers=self._headers(method, body)
            )
        except RequestNotSent as error:
            self._breaker.failed(trio.current_time())
            raise NotSent(str(error)) from error
        except ReplyLost as error:
            self._breaker.failed(trio.current_time())
            raise OutcomeUnknown(str(error)) from error
        self._breaker.succeeded()
        return reply

    def _headers(self, method: str, body: bytes) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if not method.startswith("private/"):
            return headers
        if self._credentials is None:
            raise NotAuthorised(f"{method}: no credentials for this account")
        headers["authorization"] = deri_hmac(
            self._credentials.key,
            self._credentials.reveal_secret(),
            timestamp_ms=self._clock.now_ms(),
            nonce=self._entropy.token(_NONCE_CHARS),
            method="POST",
            uri=f"{self._path}/{method}",
            body=body.decode(),
        )
        return headers

    def _open(self, method: str, reply: HttpReply) -> Envelope:
        """The envelope with a result; raises what an error body, a bare status or a broken body means."""
        try:
            envelope = decode(_ENVELOPE, reply.body)
        except WireError as error:
            self._drain(method, without_envelope := self._from_status(method, reply, error))
            raise without_envelope from error
        if envelope.usOut:
            self._clock.observe(envelope.usOut / 1000)
        if envelope.error is not None:
            refusal = venue_error(envelope.error, method, retry_after_s=_retry_after_s(reply))
            self._drain(method, refusal)
            raise refusal
        if not bytes(envelope.result):
            raise WireError("$", "a result or an error", f"HTTP {reply.status} with neither")
        return envelope

    def _from_status(self, method: str, reply: HttpReply, error: WireError) -> VenueError:
        """A body that is no JSON-RPC: a proxy or a gateway speaks, and only some of its words are clear."""
        text = f"{method}: HTTP {reply.status}: {error}"
        if reply.status == _TOO_MANY:
            return RateLimited(text, retry_after_s=_retry_after_s(reply))
        if reply.status in (401, 403):
            return NotAuthorised(text)
        return OutcomeUnknown(text) if reply.status >= 500 else BadReply(text)

    def _drain(self, method: str, error: VenueError) -> None:
        if isinstance(error, RateLimited):
            self._budget.drain(price_of(method)[0], error.retry_after_s)


def _retry_after_s(reply: HttpReply) -> float:
    """The `Retry-After` header in seconds, 1 when absent; dates are not used by this venue."""
    text = reply.headers.get("retry-after", "")
    return min(float(text), _MAX_RETRY_AFTER_S) if text.isascii() and text.isdigit() else 1.0
