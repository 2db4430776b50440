"""Both libraries behind the one door, over real sockets."""

from collections.abc import Callable

import pytest
import trio
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from engine.net import (
    Disconnected,
    Library,
    WebSocketLimits,
    connect,
)
from tests.support.ws_server import flush, payloads, serving, until_closed, websocket_server

LIMITS = WebSocketLimits(max_message_bytes=1000, open_timeout_s=1.0, close_timeout_s=0.2, send_timeout_s=0.5)
both = pytest.mark.parametrize("library", list(Library))


async def _echo(stream: trio.abc.Stream, protocol: ServerProtocol) -> None:
    while True:
        for payload in await payloads(stream, protocol):
            protocol.send_text(payload)
        await flush(stream, protocol)


def _raw(*data: bytes) -> Callable[[trio.abc.Stream, ServerProtocol], object]:
    async def script(stream: trio.abc.Stream, protocol: ServerProtocol) -> None:
        for part in data:
            await stream.send_all(part)
        await until_closed(stream, protocol)

    return script


def _text(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


@both
async def test_what_is_sent_comes_back_the_same(library: Library) -> None:
    async with websocket_server(_echo) as url, connect(url, library=library, limits=LIMITS) as connection:
        for payload in (b"{}", "grüße", "x" * 999):
            await connection.send(payload)
            expected = payload if isinstance(payload, bytes) else payload.encode()
            assert await connection.receive() == expected


async def test_one_read_brings_every_message_in_it() -> None:
    script = _raw(b"".join(_text(b"%d" % n) for n in range(50)))
    async with websocket_server(script) as url, connect(url) as connection:
        got: list[bytes] = []
        while len(got) < 50:
            got += await connection.receive_many()
        assert got == [b"%d" % n for n in range(50)]


async def test_messages_sent_with_the_handshake_are_not_lost() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(await stream.receive_some())
        protocol.send_response(protocol.accept(protocol.events_received()[0]))  # type: ignore[arg-type]
        whole = b"".join(protocol.data_to_send()) + _text(b"first") + _text(b"second")
        await stream.send_all(whole[:-3])
        await trio.sleep(0.01)
        await stream.send_all(whole[-3:])
        await until_closed(stream, protocol)

    async with serving(handler) as place, connect(f"ws://{place}/") as connection:
        assert [await connection.receive(), await connection.receive()] == [b"first", b"second"]


@both
@pytest.mark.parametrize("there", [True, False])
async def test_a_ping_is_answered_by_a_peer_that_is_there_and_by_no_other(library: Library, there: bool) -> None:
    limits = WebSocketLimits(pong_timeout_s=5.0 if there else 0.1, close_timeout_s=0.1)
    async with (
        websocket_server(until_closed if there else _deaf) as url,
        connect(url, library=library, limits=limits) as connection,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(connection.receive)
        if there:
            for _ in range(3):
                await connection.ping()
        else:
            with pytest.raises(Disconnected, match=r"no pong within 0\.1 s"):
                await connection.ping()
        nursery.cancel_scope.cancel()


async def _deaf(_stream: trio.abc.Stream, _protocol: ServerProtocol) -> None:
    await trio.sleep(1.0)
