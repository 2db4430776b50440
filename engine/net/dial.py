"""How a byte stream to a peer is opened: the seam where a whole network can be replaced by memory.

    with dialing(simulator_in_memory):
        ...  # every connection opened in here, and in tasks started in here, goes there: WebSocket and HTTP alike

So a node and its venue run in one `trio.run` under a `MockClock`, without a socket.
"""

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec
import trio

from engine.net._tls import TlsStream


class Endpoint(msgspec.Struct, frozen=True):
    """Where to. `tls` None: plain TCP. `many_records`: one read shall bring all that is at hand, as market data wants it."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    many_records: bool = False


Dialer = Callable[[Endpoint], Awaitable[trio.abc.Stream]]


_instead: ContextVar[Dialer | None] = ContextVar("dialer", default=None)


@contextmanager
def dialing(dial: Dialer) -> Iterator[None]:
    """Let `dial` open every stream of this task and of those it starts, as long as the block runs."""
    token = _instead.set(dial)
    try:
        yield
    finally:
        _instead.reset(token)


def replaced_dialer() -> Dialer | None:
    """The dialer of the `dialing` block we are in; None outside."""
    return _instead.get()


async def dial_tcp(endpoint: Endpoint) -> trio.abc.Stream:
    """A connected TCP or TLS stream. Raises `OSError` (names, routes, refusals) or `ssl.SSLError`; the caller owns the deadline."""
    stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    if endpoint.tls is None:
        return stream
    wrapped: trio.SSLStream[trio.SocketStream] | TlsStream
    if endpoint.many_records:
        wrapped = TlsStream(stream, endpoint.tls, endpoint.host)
    else:
        wrapped = trio.SSLStream(stream, endpoint.tls, server_hostname=endpoint.host, https_compatible=True)
    try:
        await wrapped.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return wrapped
