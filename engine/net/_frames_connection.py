"""A WebSocket connection on `websockets`' sans-I/O protocol over a trio stream: no task and no nursery of its own.

The task that receives also answers pings and the peer's closing frame. Writers share one lock. A write that is cut
short by a cancel or a deadline leaves half a frame on the wire, so the connection is over then.
"""

import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, PayloadTooBig, ProtocolError
from websockets.protocol import State
from websockets.uri import WebSocketURI

from engine.net.connection import WebSocketLimits
from engine.net.errors import ConnectFailed, Disconnected, FrameTooLarge, ProtocolViolation, WebSocketError
from engine.net.frames import FrameReader

_READ_BYTES = 65_536
_BACKLOG_BYTES = (
    262_144  # after a full read: a turn's cost, and that of each symbol's cold memory, is shared by more frames
)
_HANDSHAKE_BYTES = 65_536
_NORMAL = 1000
_ABNORMAL = 1006
# The protocol object logs whole frames at DEBUG, tokens included; ours never does.
_LOGGER = logging.getLogger("engine.net.websocket")
_LOGGER.setLevel(logging.WARNING)


@asynccontextmanager
async def open_frames(
    stream: trio.abc.Stream, uri: WebSocketURI, limits: WebSocketLimits
) -> AsyncGenerator["FramesConnection"]:
    """Shake hands on a connected stream; closes the connection at the end, the stream is the caller's."""
    connection = FramesConnection(stream, uri, limits)
    await connection.handshake()
    try:
        yield connection
    finally:
        await connection.close()


class FramesConnection:
    """See `engine.net.websocket.Connection`."""

    def __init__(self, stream: trio.abc.Stream, uri: WebSocketURI, limits: WebSocketLimits) -> None:
        self._stream = stream
        self._limits = limits
        self._place = f"{uri.host}:{uri.port}"
        self._protocol = ClientProtocol(uri, max_size=limits.max_message_bytes, logger=_LOGGER)
        self._reader = FrameReader(self._protocol, limits.max_message_bytes)
        self._ready: deque[bytes] = deque()
        self._lock = trio.Lock()
        self._over: WebSocketError | None = None
        self._receiving = False
        self._closing = False
        self._to_read = _READ_BYTES
        self._ponged = trio.Event()
        self._quiet: trio.Event | None = None  # set when the receiving task has stopped reading

    async def handshake(self) -> None:
        """Raises `ConnectFailed`."""
        timeout_s = self._limits.open_timeout_s
        try:
            with trio.fail_after(timeout_s):
                self._protocol.send_request(self._protocol.connect())
                await self._stream.send_all(b"".join(self._protocol.data_to_send()))
                await self._read_response()
        except trio.TooSlowError:
            raise ConnectFailed(f"{self._place}: no WebSocket handshake within {timeout_s} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectFailed(f"{self._place}: connection lost during the handshake") from error
        except InvalidHandshake as error:
            raise ConnectFailed(f"{self._place}: {error}") from error

    async def receive(self) -> bytes:
        if not self._ready:
            self._ready.extend(await self.receive_many())
        return self._ready.popleft()

    async def receive_many(self) -> list[bytes]:
        if self._ready:
            messages = list(self._ready)
            self._ready.clear()
            return messages
        if self._closing:
            raise self._over or Disconnected(_NORMAL, "closed on our side")
        self._receiving = True
        try:
            while self._over is None:
                messages = await self._read()
                if messages:
                    return messages
            raise self._over
        finally:
            self._receiving = False
            if self._quiet is not None:
                self._quiet.set()

    async def send(self, payload: bytes | str) -> None:
        if self._over is None and self._protocol.state is not State.OPEN:
            self._over = self._ending()
        if self._over is not None:
            raise self._over
        self._protocol.send_text(payload.encode() if isinstance(payload, str) else payload)
        await self._flush()

    async def ping(self) -> None:
        self._ponged = ponged = trio.Event()
        if self._over is not None:
            raise self._over
        self._protocol.send_ping(b"")
        await self._flush()
        with trio.move_on_after(self._limits.pong_timeout_s):
            await ponged.wait()
            return
        raise Disconnected(_ABNORMAL, f"no pong within {self._limits.pong_timeout_s} s")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._closing = True
        try:
            with trio.move_on_after(self._limits.close_timeout_s):
                await self._shake_goodbye(code, reason)
        finally:
            self._over = self._over or self._ending(code, reason)
            await trio.aclose_forcefully(self._stream)

    async def _read_response(self) -> None:
        """Feed the response head to the protocol and nothing after it: what follows a 101 belongs to the frame reader."""
        head, rest = await self._read_head()
        self._protocol.receive_data(head)
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            self._protocol.receive_data(rest)  # the body of a refusal
            rest = bytes(await self._stream.receive_some(_READ_BYTES))
            if not rest:
                self._protocol.receive_eof()
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc
        self._protocol.events_received()
        self._ready.extend(await self._take(rest))

    async def _read_head(self) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = await self._stream.receive_some(_READ_BYTES)
            if not chunk or len(data) > _HANDSHAKE_BYTES:
                raise ConnectFailed(f"{self._place}: expected an HTTP response, got {data[:80]!r}")
            data += chunk
        head, _, rest = data.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n", rest

    async def _read(self) -> list[bytes]:
        """One read from the stream and what it completes; sets `_over` when the connection ended with it."""
        try:
            chunk = await self._stream.receive_some(self._to_read)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._over = self._over or Disconnected(_ABNORMAL, str(error.__cause__ or "closed on our side"))
            return []
        if not chunk:
            self._protocol.receive_eof()
            self._over = self._over or self._ending()
            return []
        self._to_read = _READ_BYTES if len(chunk) < _READ_BYTES else _BACKLOG_BYTES
        return await self._take(bytes(chunk))

    async def _take(self, chunk: bytes) -> list[bytes]:
        """The messages that `chunk` completes; pings and closing frames in it are answered, an ending is noted."""
        pongs, messages = self._reader.pongs, self._reader.feed(chunk)
        if self._reader.pongs > pongs:
            self._ponged.set()
        if self._protocol.writes:
            await self._answer()
        if self._protocol.state is not State.OPEN:
            self._over = self._over or self._ending()
        return messages

    async def _answer(self) -> None:
        """Send pongs and closing frames. A peer that is gone by now is met again at the next read."""
        try:
            await self._flush()
        except Disconnected as error:
            self._over = self._over or error

    async def _flush(self) -> None:
        async with self._lock:
            if self._over is not None:
                raise self._over
            data = b"".join(self._protocol.data_to_send())
            if data:
                await self._write(data)

    async def _write(self, data: bytes) -> None:
        whole = False
        try:
            with trio.fail_after(self._limits.send_timeout_s):
                await self._stream.send_all(data)
            whole = True
        except trio.TooSlowError:
            self._over = Disconnected(_ABNORMAL, f"peer took nothing for {self._limits.send_timeout_s} s")
            raise self._over from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._over = self._over or Disconnected(_ABNORMAL, str(error.__cause__ or "closed on our side"))
            raise self._over from error
        finally:
            if not whole:
                self._over = self._over or Disconnected(_ABNORMAL, "a write was cut short")
                await trio.aclose_forcefully(self._stream)  # wakes the receiving task

    async def _shake_goodbye(self, code: int, reason: str) -> None:
        if self._over is not None or self._protocol.state is not State.OPEN:
            return
        self._protocol.send_close(code, reason)
        try:
            await self._flush()
        except WebSocketError:
            return
        if self._receiving:
            self._quiet = trio.Event()
            await self._quiet.wait()
        while not self._finished():
            await self._read()

    def _finished(self) -> bool:
        return self._over is not None or self._protocol.close_rcvd is not None

    def _ending(self, code: int = _ABNORMAL, reason: str = "") -> WebSocketError:
        """Why the protocol is no longer open."""
        cause = self._protocol.parser_exc
        if isinstance(cause, PayloadTooBig):
            return FrameTooLarge(f"{self._place}: {cause}")
        if isinstance(cause, (ProtocolError, UnicodeDecodeError)):
            return ProtocolViolation(f"{self._place}: {cause}")
        close = self._protocol.close_rcvd
        if close is not None:
            return Disconnected(int(close.code), close.reason)
        return Disconnected(code, reason)
