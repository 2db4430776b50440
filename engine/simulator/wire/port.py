"""Where a server is reached: a TCP listener on loopback, or a stream handed over in memory."""

import ipaddress
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio

__all__ = ["RESOURCE_GONE", "HostPort", "Port", "bound", "close_at_once", "is_loopback", "linger", "parse_host_port"]

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


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Port:
    """A bound TCP address. It is bound before anything is built, so that a taken one fails plainly and at once."""

    def __init__(self, host: str, listeners: Sequence[trio.SocketListener]) -> None:
        self._listeners = listeners
        self.address: HostPort = host, int(listeners[0].socket.getsockname()[1])

    @property
    def netloc(self) -> str:
        """`host:port`, as it stands in a URL."""
        host, number = self.address
        return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"

    async def serve(self, handler: Handler) -> None:
        """Hand each connection to `handler`, until cancelled; the address is free again then."""
        await trio.serve_listeners(handler, list(self._listeners))

    async def aclose(self) -> None:
        for listener in self._listeners:
            await listener.aclose()


@asynccontextmanager
async def bound(address: HostPort | None) -> AsyncIterator[Port | None]:
    """`address`, ours while the block runs; None for None. Raises OSError if it is taken or no address of ours."""
    if address is None:
        yield None
        return
    host, number = address
    port = Port(host, await trio.open_tcp_listeners(number, host=host))
    try:
        yield port
    finally:
        await port.aclose()


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
