"""How a byte stream to a peer is opened: the seam where a whole network can be replaced by memory."""

import ssl
from collections.abc import Awaitable, Callable

import msgspec
import trio


class Endpoint(msgspec.Struct, frozen=True):
    """Where to. `tls` None: plain TCP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


Dialer = Callable[[Endpoint], Awaitable[trio.abc.Stream]]


async def dial_tcp(endpoint: Endpoint) -> trio.abc.Stream:
    """A connected TCP or TLS stream. Raises `OSError` (names, routes, refusals) or `ssl.SSLError`; the caller owns the deadline."""
    stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    if endpoint.tls is None:
        return stream
    wrapped = trio.SSLStream(stream, endpoint.tls, server_hostname=endpoint.host, https_compatible=True)
    try:
        await wrapped.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return wrapped
