"""A WebSocket connection on trio-websocket, in one nursery of its own.

The library runs a reading task. Three of its habits decide the shape here (0.12.2): an error in that task – a ping
after our closing frame is enough – cancels the nursery it lives in, so nothing else lives there and the error is
translated at its edge; the task blocks when nobody takes messages, so the receiver must only hand them on; its own
deadlines are a minute, so ours stand around every wait.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream
from websockets.headers import build_host
from websockets.uri import WebSocketURI

from engine.net.connection import WebSocketLimits
from engine.net.errors import ConnectFailed, Disconnected, FrameTooLarge, ProtocolViolation, WebSocketError

_QUEUED_MESSAGES = 64
_READ_BYTES = 65_536
_ABNORMAL = 1006
_TOO_LARGE = 1009


@asynccontextmanager
async def open_library(
    stream: trio.abc.Stream, uri: WebSocketURI, limits: WebSocketLimits
) -> AsyncGenerator["LibraryConnection"]:
    """Shake hands on a connected stream. What the block raises leaves unwrapped; what the library's task raises is `ProtocolViolation`."""
    from_block: Exception | None = None
    from_reader: Exception | None = None
    connection: LibraryConnection | None = None
    try:
        async with trio.open_nursery() as nursery:
            connection = LibraryConnection(await _shake_hands(nursery, stream, uri, limits), limits)
            try:
                yield connection
            except Exception as error:  # noqa: BLE001 - carried around the nursery, which would wrap it in a group
                from_block = error
            finally:
                await connection.close()
                nursery.cancel_scope.cancel()
    except* Exception as group:  # noqa: BLE001 - translated below
        from_reader = _first(group)
    if from_block is not None:
        raise from_block
    if from_reader is not None:
        _translate(from_reader, connection, f"{uri.host}:{uri.port}")


async def _shake_hands(
    nursery: trio.Nursery, stream: trio.abc.Stream, uri: WebSocketURI, limits: WebSocketLimits
) -> WebSocketConnection:
    place = f"{uri.host}:{uri.port}"
    try:
        with trio.fail_after(limits.open_timeout_s):
            return await wrap_client_stream(
                nursery,
                stream,  # type: ignore[arg-type]  # any trio stream will do
                build_host(uri.host, uri.port, uri.secure),
                uri.resource_name,
                message_queue_size=_QUEUED_MESSAGES,
                max_message_size=limits.max_message_bytes,
                receive_buffer_size=_READ_BYTES,
            )
    except trio.TooSlowError:
        raise ConnectFailed(f"{place}: no WebSocket handshake within {limits.open_timeout_s} s") from None
    except HandshakeError as error:
        raise ConnectFailed(f"{place}: {error!r}") from error


def _translate(error: Exception, connection: "LibraryConnection | None", place: str) -> None:
    """Raise what an error of the library's task means to our caller; nothing when we were closing anyway."""
    if isinstance(error, WebSocketError):
        raise error
    if connection is None:
        raise ConnectFailed(f"{place}: {error!r}") from error
    if not connection.closing:
        raise ProtocolViolation(f"{place}: {error!r}") from error


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


class LibraryConnection:
    """See `engine.net.websocket.Connection`."""

    def __init__(self, library: WebSocketConnection, limits: WebSocketLimits) -> None:
        self._library = library
        self._limits = limits
        self._cut_short = False
        self._pings = 0
        self.closing = False

    async def receive(self) -> bytes:
        try:
            message = await self._library.get_message()
        except ConnectionClosed as error:
            raise self._ending(error) from error
        return message.encode() if isinstance(message, str) else message

    async def receive_many(self) -> list[bytes]:
        return [await self.receive()]

    async def send(self, payload: bytes | str) -> None:
        text = payload if isinstance(payload, str) else payload.decode()
        if self._cut_short:
            raise Disconnected(_ABNORMAL, "a write was cut short")
        try:
            with trio.fail_after(self._limits.send_timeout_s):
                await self._library.send_message(text)
        except trio.Cancelled:
            self._cut_short = True
            raise
        except trio.TooSlowError:
            self._cut_short = True
            raise Disconnected(_ABNORMAL, f"peer took nothing for {self._limits.send_timeout_s} s") from None
        except ConnectionClosed as error:
            raise self._ending(error) from error

    async def ping(self) -> None:
        self._pings += 1
        try:
            with trio.fail_after(self._limits.pong_timeout_s):
                await self._library.ping(self._pings.to_bytes(8, "big"))
        except trio.TooSlowError:
            raise Disconnected(_ABNORMAL, f"no pong within {self._limits.pong_timeout_s} s") from None
        except ConnectionClosed as error:
            raise self._ending(error) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closing = True
        with trio.move_on_after(self._limits.close_timeout_s):
            await self._library.aclose(code, reason)

    def _ending(self, error: ConnectionClosed) -> WebSocketError:
        close = error.reason or self._library.closed
        if close is None:
            return Disconnected(_ABNORMAL, "")
        if close.code == _TOO_LARGE and (close.reason or "").startswith("Exceeded maximum message size"):
            return FrameTooLarge(str(close.reason))
        return Disconnected(close.code, close.reason or "")
