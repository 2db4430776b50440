"""A WebSocket client for tests of the simulated venue: `websockets`' sans-I/O protocol on any trio stream, so that the
server is not checked against itself."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec
import trio
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

REPLY_TIMEOUT_S = 10.0
_decoder = msgspec.json.Decoder(float_hook=Decimal)


class SocketClosed(Exception):
    """The server closed the connection; `code` is None where no close frame came."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class RpcFailed(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error))
        self.code = error["code"]
        self.message = error["message"]
        self.data = error.get("data")


class SimClient:
    """Replies are found by id, notifications are kept in `notices` in the order they came."""

    def __init__(self, stream: trio.abc.Stream, url: str = "ws://sim/ws/api/v2") -> None:
        self.stream = stream
        self.protocol = ClientProtocol(parse_uri(url), max_size=2**26)
        self.frames: deque[Frame] = deque()
        self.notices: deque[dict[str, Any]] = deque()
        self.raw: list[str | bytes] = []
        self._next_id = 0

    async def handshake(self) -> None:
        self.protocol.send_request(self.protocol.connect())
        await self._flush()
        while self.protocol.handshake_exc is None and self.protocol.state.name == "CONNECTING":
            await self._read()
        if self.protocol.handshake_exc is not None:
            raise self.protocol.handshake_exc

    async def send(self, message: Any) -> None:
        """Send a value as JSON, or text and bytes as they are (bytes in a text frame)."""
        payload = message if isinstance(message, bytes) else msgspec.json.encode(message)
        self.protocol.send_text(payload)
        await self._flush()

    async def receive(self) -> Any:
        """The next message. Raises `SocketClosed`."""
        frame = await self._next_frame()
        self.raw.append(bytes(frame.data))
        return _decoder.decode(frame.data)

    async def request(self, method: str, /, **params: Any) -> Any:
        """The result of one call. Raises `RpcFailed` or `SocketClosed`."""
        return (await self.exchange(method, **params))["result"]

    async def exchange(self, method: str, /, **params: Any) -> dict[str, Any]:
        """The whole reply to one call. Raises `RpcFailed` for an error."""
        request_id = await self.post(method, **params)
        reply = await self.reply(request_id)
        if "error" in reply:
            raise RpcFailed(reply["error"])
        return reply

    async def post(self, method: str, /, **params: Any) -> int:
        """Send a call without waiting; its id."""
        self._next_id += 1
        await self.send({"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params})
        return self._next_id

    async def reply(self, request_id: Any) -> dict[str, Any]:
        with trio.fail_after(REPLY_TIMEOUT_S):
            while True:
                message = await self.receive()
                if "id" in message and message["id"] == request_id:
                    return message
                self.notices.append(message)

    async def notice(self, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The next notification that is `wanted`; others are dropped."""
        with trio.fail_after(REPLY_TIMEOUT_S):
            while True:
                message = self.notices.popleft() if self.notices else await self.receive()
                if "method" in message and wanted(message):
                    return message

    async def data(self, channel: str) -> Any:
        """The data of the next message of `channel`."""
        return (await self.notice(lambda m: m["method"] == "subscription" and m["params"]["channel"] == channel))[
            "params"
        ]["data"]

    async def login(self, venue: Any, **params: Any) -> dict[str, Any]:
        return await self.request(
            "public/auth",
            grant_type="client_credentials",
            client_id=venue.client_id,
            client_secret=venue.client_secret,
            **params,
        )

    async def closed(self) -> int | None:
        """Read until the server closes; the close code, None without a close frame."""
        with trio.fail_after(REPLY_TIMEOUT_S):
            try:
                while True:
                    await self.receive()
            except SocketClosed as closed:
                return closed.code

    async def aclose(self) -> None:
        self.protocol.send_close(1000)
        await self._flush()
        await self.stream.aclose()

    async def _next_frame(self) -> Frame:
        while True:
            while self.frames:
                frame = self.frames.popleft()
                if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                    return frame
                if frame.opcode is Opcode.CLOSE:
                    raise SocketClosed(self.protocol.close_rcvd.code if self.protocol.close_rcvd else None)
            await self._read()

    async def _read(self) -> None:
        try:
            data = await self.stream.receive_some(2**20)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise SocketClosed(None) from None
        if not data:
            raise SocketClosed(None)
        self.protocol.receive_data(bytes(data))
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                self.frames.append(event)
        await self._flush()

    async def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                try:
                    await self.stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return


@asynccontextmanager
async def sim_client(venue: Any) -> AsyncIterator[SimClient]:
    """A client of `sim.deribit`: over TCP where it listens, in memory where it does not."""
    if venue.ws_url:
        where = urlsplit(venue.ws_url)
        stream: trio.abc.Stream = await trio.open_tcp_stream(where.hostname, where.port)
        client = SimClient(stream, venue.ws_url)
    else:
        client = SimClient(venue.connect())
    try:
        await client.handshake()
        yield client
    finally:
        await trio.aclose_forcefully(client.stream)
