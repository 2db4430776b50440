"""HTTP requests with one deadline, a bounded answer and errors that say what the peer may have done.

The question that matters after a failed order request is whether a byte of it left. httpx's own exceptions do not
answer it (a timeout can fall on either side), so the client watches httpcore's trace for the moment the request head is
written.

Texts of errors name method and path, never query, headers or body: those carry keys.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

import httpx
import msgspec
import trio

from engine.net._dialed_transport import DialedTransport
from engine.net.dial import replaced_dialer
from engine.net.errors import HttpError, ReplyLost, ReplyTooLarge, RequestNotSent

__all__ = [
    "FunctionTransport",
    "HttpClient",
    "HttpError",
    "HttpLimits",
    "HttpReply",
    "HttpRequest",
    "ReplyLost",
    "ReplyTooLarge",
    "RequestNotSent",
]

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO, and some URLs are secrets

_HEAD_STARTED = "send_request_headers.started"


class HttpLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of one client."""

    max_body_bytes: int = 32 * 1024 * 1024
    max_connections: int = 8
    keepalive_s: float = 60.0


class HttpRequest(msgspec.Struct, frozen=True):
    """What a `FunctionTransport`'s function sees."""

    method: str
    path: str  # with query
    headers: Mapping[str, str]
    body: bytes


class HttpReply(msgspec.Struct, frozen=True):
    """A whole answer, whatever its status. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class FunctionTransport(httpx.AsyncBaseTransport):
    """A network that is one function. Raise `RequestNotSent` or `ReplyLost` in it to play a failing one."""

    def __init__(self, function: Callable[[HttpRequest], Awaitable[HttpReply]]) -> None:
        self._function = function

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        trace = request.extensions["trace"]
        await trace(f"function.{_HEAD_STARTED}", {})
        reply = await self._function(
            HttpRequest(request.method, request.url.raw_path.decode(), dict(request.headers), body)
        )
        return httpx.Response(reply.status, headers=dict(reply.headers), stream=httpx.ByteStream(reply.body))


_DEFAULT_LIMITS = HttpLimits()


class HttpClient:
    """One peer. Connections are kept alive and shared by concurrent requests; proxies of the environment are not used."""

    def __init__(
        self,
        base_url: str,
        *,
        limits: HttpLimits = _DEFAULT_LIMITS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._limits = limits
        dial = replaced_dialer()
        if transport is None and dial is not None:
            transport = DialedTransport(dial)
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers={"accept-encoding": "identity"},
            timeout=None,  # noqa: S113 - the deadline stands around the whole request
            limits=httpx.Limits(
                max_connections=limits.max_connections,
                max_keepalive_connections=limits.max_connections,
                keepalive_expiry=limits.keepalive_s,
            ),
            verify=base_url.startswith("https:"),  # a context for TLS is slow to make
            transport=transport,
            trust_env=False,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """The peer's answer within `timeout_s`. Raises `RequestNotSent` or `ReplyLost`; a status is an answer, not an error."""
        sent = _Sent()
        what = f"{method} {path}"
        try:
            with trio.fail_after(timeout_s):
                return await self._exchange(method, path, query, body, headers, sent)
        except trio.TooSlowError:
            raise sent.error(f"{what}: no answer within {timeout_s} s") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise sent.error(f"{what}: {type(error).__name__} {error}") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        sent: "_Sent",
    ) -> HttpReply:
        request = self._client.build_request(
            method,
            path,
            params=query,
            content=body,
            headers=headers,
            extensions={"trace": sent.trace},
        )
        request.stream = _Body(body or b"")
        response = await self._client.send(request, stream=True)
        try:
            body_bytes = await self._read_body(response, f"{method} {path}")
        finally:
            await response.aclose()
        return HttpReply(response.status_code, dict(response.headers), body_bytes)

    async def _read_body(self, response: httpx.Response, what: str) -> bytes:
        parts: list[bytes] = []
        left = self._limits.max_body_bytes
        try:
            async for part in response.aiter_raw():
                parts.append(part)
                left -= len(part)
                if left < 0:
                    await response.aclose()  # the next read fails, which unwinds the library's own generators in order
        except httpx.TransportError:
            if left >= 0:
                raise
        if left < 0:
            raise ReplyTooLarge(f"{what}: expected at most {self._limits.max_body_bytes} bytes, got more")
        return b"".join(parts)


class _Body(httpx.AsyncByteStream):
    """The body of one request. The library's own is a generator, and a send that is cancelled leaves it suspended, to be
    collected with a warning.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._taken = False

    def __aiter__(self) -> Self:
        self._taken = False
        return self

    async def __anext__(self) -> bytes:
        if self._taken:
            raise StopAsyncIteration
        self._taken = True
        return self._data


class _Sent:
    """Whether the request head began to leave."""

    def __init__(self) -> None:
        self._started = False

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        if event.endswith(_HEAD_STARTED):
            self._started = True

    def error(self, text: str) -> HttpError:
        return ReplyLost(text) if self._started else RequestNotSent(text)
