"""One HTTP/1.1 connection, seen from the server: h11 over a trio stream, with a bound on everything a client may send."""

from collections.abc import Sequence

import h11
import msgspec
import trio

from engine.simulator.wire.port import linger

__all__ = ["BadRequest", "HttpPeer", "HttpRequest", "HttpReply", "json_reply"]

MAX_HEADER_BYTES = 32 * 1024
MAX_BODY_BYTES = 32 * 1024
READ_BYTES = 64 * 1024
REQUEST_TIMEOUT_S = 30.0  # from the first byte of a request to its last
KEEP_ALIVE_S = 900.0

_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    418: b"I'm a teapot",
    426: b"Upgrade Required",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}


class HttpRequest(msgspec.Struct, frozen=True):
    """A complete request. Header names are lower case; of a repeated header the last one counts."""

    method: str
    target: str
    headers: dict[bytes, bytes]
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def is_upgrade(self) -> bool:
        return self.headers.get(b"upgrade", b"").lower() == b"websocket"


class HttpReply(msgspec.Struct, frozen=True):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def json_reply(status: int, value: object) -> HttpReply:
    return HttpReply(status, msgspec.json.encode(value))


class BadRequest(Exception):
    """What came is not a request we can read. The connection ends after the answer."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class HttpPeer:
    """Reads requests and writes replies, one at a time, until either side is done."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._bodiless = False

    async def next_request(self) -> HttpRequest | None:
        """The next request, or None when the client has no more or has been idle too long. Raises `BadRequest`."""
        if self._h11.our_state is h11.DONE:
            if self._h11.their_state is not h11.DONE:
                return None
            self._h11.start_next_cycle()
        elif self._h11.our_state is not h11.IDLE:
            return None
        with trio.move_on_after(KEEP_ALIVE_S):
            return await self._read_request()
        return None

    async def _read_request(self) -> HttpRequest | None:
        try:
            event = await self._next_event()
            if not isinstance(event, h11.Request):
                return None
            self._bodiless = event.method == b"HEAD"
            with trio.fail_after(REQUEST_TIMEOUT_S):
                return _request(event, await self._read_body())
        except h11.RemoteProtocolError as error:
            raise BadRequest(error.error_status_hint, str(error)) from error
        except trio.TooSlowError as error:
            raise BadRequest(408, f"request incomplete after {REQUEST_TIMEOUT_S:g} s") from error

    async def _read_body(self) -> bytes:
        body = bytearray()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.EndOfMessage):
                return bytes(body)
            if not isinstance(event, h11.Data):
                raise BadRequest(400, "request ended before its body was complete")
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise BadRequest(413, f"body above {MAX_BODY_BYTES} bytes")

    async def _next_event(self) -> object:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            self._h11.receive_data(bytes(await self.stream.receive_some(READ_BYTES)))

    async def respond(self, reply: HttpReply) -> None:
        """Send one complete reply; nothing is sent where the protocol no longer allows one."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(reply.body))),
            *reply.headers,
        ]
        reason = _REASONS.get(reply.status, b"Error")
        body = () if self._bodiless else (h11.Data(data=reply.body),)
        await self._send(
            h11.Response(status_code=reply.status, headers=headers, reason=reason), *body, h11.EndOfMessage()
        )

    async def refuse(self, error: BadRequest) -> None:
        """Answer what could not be read, and tell the client that the connection ends."""
        body = msgspec.json.encode({"error": str(error)})
        await self.respond(HttpReply(error.status, body, (("connection", "close"),)))
        await linger(self.stream)

    async def until_gone(self) -> None:
        """Ignore whatever comes until the client closes or its patience should be over."""
        with trio.move_on_after(KEEP_ALIVE_S):
            while await self.stream.receive_some(READ_BYTES):
                pass

    def trailing_bytes(self) -> bytes:
        """What the client sent after an upgrade request, before our answer to it."""
        return self._h11.trailing_data[0]

    async def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._h11.send(event) or b"" for event in events)
        if data:
            await self.stream.send_all(data)


def _request(event: h11.Request, body: bytes) -> HttpRequest:
    raw: Sequence[tuple[bytes, bytes]] = event.headers
    return HttpRequest(
        method=event.method.decode("ascii"),
        target=event.target.decode("ascii"),
        headers=dict(raw),
        raw_headers=list(raw),
        body=body,
    )
