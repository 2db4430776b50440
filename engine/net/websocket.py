"""A WebSocket client: one door, two libraries behind it.

`websockets` (sans-I/O, in `_frames_connection`) carries public market data: what costs there is the number of messages.
`trio-websocket` (in `_library_connection`) carries an account's private stream: few messages, and a library that others
watch over.

    async with connect("wss://…") as connection:
        await connection.send(b'{"method":"public/test"}')
        payload = await connection.receive()

One task receives; any task may send. `receive` waits as long as nothing comes: how long silence is acceptable is a
matter of data age, which only the caller knows. Everything else has a deadline of its own.
"""

import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum

import trio
from websockets.exceptions import InvalidURI
from websockets.uri import WebSocketURI, parse_uri

from engine.net._frames_connection import open_frames
from engine.net._library_connection import open_library
from engine.net.connection import Connection, WebSocketLimits
from engine.net.dial import Endpoint, dial_tcp, replaced_dialer
from engine.net.errors import ConnectFailed, Disconnected, FrameTooLarge, ProtocolViolation, WebSocketError

__all__ = [
    "ConnectFailed",
    "Connection",
    "Disconnected",
    "FrameTooLarge",
    "Library",
    "ProtocolViolation",
    "WebSocketError",
    "WebSocketLimits",
    "connect",
]


class Library(StrEnum):
    WEBSOCKETS = "websockets"
    TRIO_WEBSOCKET = "trio-websocket"


_DEFAULT_LIMITS = WebSocketLimits()

Opener = Callable[[trio.abc.Stream, WebSocketURI, WebSocketLimits], AbstractAsyncContextManager[Connection]]


_OPENERS: dict[Library, Opener] = {Library.WEBSOCKETS: open_frames, Library.TRIO_WEBSOCKET: open_library}


@asynccontextmanager
async def connect(
    url: str,
    *,
    library: Library | str = Library.WEBSOCKETS,
    limits: WebSocketLimits = _DEFAULT_LIMITS,
) -> AsyncGenerator[Connection]:
    """Open a connection for the length of the block, by TCP or as `dialing` says. Raises `ConnectFailed`."""
    uri = _parse(url)
    library = Library(library)
    open_ = _OPENERS[library]
    stream = await _dial(uri, limits.open_timeout_s, many_records=library is Library.WEBSOCKETS)
    try:
        async with open_(stream, uri, limits) as connection:
            yield connection
    finally:
        await trio.aclose_forcefully(stream)


def _parse(url: str) -> WebSocketURI:
    try:
        return parse_uri(url)
    except InvalidURI as error:
        raise ConnectFailed(f"url: expected ws://… or wss://…, got {url!r}") from error


async def _dial(uri: WebSocketURI, timeout_s: float, *, many_records: bool) -> trio.abc.Stream:
    dial = replaced_dialer() or dial_tcp
    context = ssl.create_default_context() if uri.secure else None
    place = f"{uri.host}:{uri.port}"
    try:
        with trio.fail_after(timeout_s):
            return await dial(Endpoint(uri.host, uri.port, context, many_records))
    except trio.TooSlowError:
        raise ConnectFailed(f"{place}: no connection within {timeout_s} s") from None
    except (OSError, trio.BrokenResourceError) as error:
        raise ConnectFailed(f"{place}: {error.__cause__ or error}") from error
