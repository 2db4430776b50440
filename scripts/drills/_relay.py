"""A TCP relay between a node and its venue: the network in the middle, which can be cut, frozen or closed while it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

_CHUNK_BYTES = 65_536
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Relay:
    """Passes bytes on to `port` on loopback. `frozen`: nothing passes and nobody is told, like a cable that was pulled."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._open: set[trio.CancelScope] = set()
        self._thawed = trio.Event()
        self._thawed.set()

    def cut(self) -> None:
        """End every connection now; new ones are let through."""
        for scope in list(self._open):
            scope.cancel()

    def freeze(self) -> None:
        self._thawed = trio.Event()

    def thaw(self) -> None:
        self._thawed.set()

    async def carry(self, client: trio.SocketStream) -> None:
        """One connection, to its end."""
        with trio.CancelScope() as scope:
            self._open.add(scope)
            try:
                async with (
                    client,
                    await trio.open_tcp_stream("127.0.0.1", self._target) as venue,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(self._pass_on, client, venue, nursery.cancel_scope)
                    nursery.start_soon(self._pass_on, venue, client, nursery.cancel_scope)
            except OSError:
                return  # the venue refuses: so does the relay
            finally:
                self._open.discard(scope)

    async def _pass_on(self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
        try:
            while chunk := await source.receive_some(_CHUNK_BYTES):
                await self._thawed.wait()
                await sink.send_all(chunk)
        except _GONE:
            pass
        both.cancel()


@asynccontextmanager
async def open_relay(port: int) -> AsyncIterator[Relay]:
    """A relay on a free port of its own (`relay.port`) for as long as the block runs."""
    relay = Relay(port)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        relay.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, relay.carry, listeners)
        try:
            yield relay
        finally:
            nursery.cancel_scope.cancel()
