"""Where a server is reached: a TCP listener on loopback, or a stream handed over in memory."""

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

__all__ = ["RESOURCE_GONE", "HostPort", "close_at_once", "linger", "listening", "parse_host_port"]

HostPort = tuple[str, int]
RESOURCE_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)
LINGER_S = 1.0
READ_BYTES = 64 * 1024
LOOPBACK = "127.0.0.1"
Handler = Callable[[trio.abc.Stream], Awaitable[None]]


def parse_host_port(text: str) -> HostPort:
    """`HOST:PORT` or `PORT`. Raises ValueError for anything else; port 0 means a free one."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"expected HOST:PORT with a port from 0 to 65535, got {text!r}")
    return host.strip("[]") or LOOPBACK, int(port)


@asynccontextmanager
async def listening(address: HostPort, handler: Handler) -> AsyncIterator[HostPort]:
    """Serve `handler` on `address` while the block runs; yields the address that was bound. Raises OSError if it is taken."""
    host, port = address
    listeners = await trio.open_tcp_listeners(port, host=host)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handler, listeners)
        bound = listeners[0].socket.getsockname()
        yield host, int(bound[1])
        nursery.cancel_scope.cancel()


async def linger(stream: trio.abc.Stream) -> None:
    """Wait a moment for the peer to close. Closing with unread input becomes a reset, which may overtake our last words."""
    with trio.move_on_after(LINGER_S):
        try:
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            while await stream.receive_some(READ_BYTES):
                pass
        except RESOURCE_GONE:
            return


async def close_at_once(stream: trio.abc.Stream, *, reset: bool) -> None:
    """Close without a word; with `reset` the peer gets an RST instead of a FIN, where there is TCP."""
    if reset and isinstance(stream, trio.SocketStream):
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    await trio.aclose_forcefully(stream)
