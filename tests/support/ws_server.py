"""A WebSocket server for one connection, scripted by the test: handshake by `websockets`, then whatever bytes the test wants."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from websockets.server import ServerProtocol

Script = Callable[[trio.abc.Stream, ServerProtocol], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """A TCP server on a free port; yields host:port."""

    async def guarded(stream: trio.SocketStream) -> None:
        try:
            async with stream:
                await handler(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client left

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, guarded, 0)
        yield f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def refusing() -> AsyncIterator[str]:
    """A port that is ours and refuses every connection; yields host:port."""
    with trio.socket.socket() as bound:
        await bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@asynccontextmanager
async def websocket_server(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Runs `script` for every connection, after the handshake, or with `tls` after both; yields the URL."""

    async def handler(socket: trio.SocketStream) -> None:
        stream: trio.abc.Stream = socket if tls is None else trio.SSLStream(socket, tls, server_side=True)
        protocol = ServerProtocol()
        while protocol.state.name == "CONNECTING":
            protocol.receive_data(await stream.receive_some())
            for event in protocol.events_received():
                protocol.send_response(protocol.accept(event))  # type: ignore[arg-type]
        await flush(stream, protocol)
        await script(stream, protocol)

    async with serving(handler) as place:
        yield f"ws://{place}/ws/api/v2" if tls is None else f"wss://localhost:{place.rpartition(':')[2]}/ws/api/v2"


async def silent(_stream: trio.SocketStream) -> None:
    """A peer that neither reads nor writes."""
    await trio.sleep_forever()


async def flush(stream: trio.abc.Stream, protocol: ServerProtocol) -> None:
    for data in protocol.data_to_send():
        if data:
            await stream.send_all(data)


async def payloads(stream: trio.abc.Stream, protocol: ServerProtocol) -> list[bytes]:
    """Payloads of the next frames of any kind the client sends; its automatic answers are sent."""
    while True:
        data = await stream.receive_some()
        if not data:
            raise trio.BrokenResourceError
        protocol.receive_data(data)
        events = protocol.events_received()
        await flush(stream, protocol)
        if protocol.close_rcvd is not None:
            raise trio.BrokenResourceError
        if events:
            return [bytes(event.data) for event in events]  # type: ignore[union-attr]


async def until_closed(stream: trio.abc.Stream, protocol: ServerProtocol) -> None:
    """Answer pings and the closing frame until the client is gone."""
    while data := await stream.receive_some():
        protocol.receive_data(data)
        await flush(stream, protocol)
