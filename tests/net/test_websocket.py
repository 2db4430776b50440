"""Both libraries behind the one door, over real sockets."""

import struct
from collections.abc import Callable

import pytest
import trio
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from engine.net import (
    ConnectFailed,
    Disconnected,
    FrameTooLarge,
    Library,
    ProtocolViolation,
    WebSocketError,
    WebSocketLimits,
    connect,
)
from tests.support.ws_server import flush, payloads, refusing, serving, silent, until_closed, websocket_server

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
async def test_a_ping_is_answered(library: Library) -> None:
    answered: list[bytes] = []

    async def script(stream: trio.abc.Stream, protocol: ServerProtocol) -> None:
        protocol.send_ping(b"alive?")
        await flush(stream, protocol)
        answered.extend(await payloads(stream, protocol))
        protocol.send_text(b"thanks")
        await flush(stream, protocol)
        await until_closed(stream, protocol)

    async with websocket_server(script) as url, connect(url, library=library) as connection:
        assert await connection.receive() == b"thanks"
    assert answered == [b"alive?"]


@both
async def test_a_closing_frame_is_reported_with_its_code_after_the_last_message(library: Library) -> None:
    script = _raw(_text(b"last") + Frame(Opcode.CLOSE, struct.pack("!H", 4001) + b"go away").serialize(mask=False))
    async with websocket_server(script) as url, connect(url, library=library, limits=LIMITS) as connection:
        assert await connection.receive() == b"last"
        for _ in range(2):
            with pytest.raises(Disconnected) as ended:
                await connection.receive()
            assert (ended.value.code, ended.value.reason) == (4001, "go away")
        with pytest.raises(WebSocketError):
            await connection.send(b"late")


@both
async def test_a_stream_that_just_ends_is_1006(library: Library) -> None:
    async def script(stream: trio.abc.Stream, _protocol: ServerProtocol) -> None:
        await stream.aclose()

    async with websocket_server(script) as url, connect(url, library=library, limits=LIMITS) as connection:
        with pytest.raises(Disconnected) as ended:
            await connection.receive()
        assert ended.value.code == 1006


@both
async def test_a_message_above_the_limit_is_frame_too_large(library: Library) -> None:
    script = _raw(_text(b"x" * 1001))
    async with websocket_server(script) as url, connect(url, library=library, limits=LIMITS) as connection:
        with pytest.raises(FrameTooLarge):
            await connection.receive()


@pytest.mark.parametrize("bad", [b"\xc1\x00", b"\x81\x80\x00\x00\x00\x00", b"\x83\x00", b"\x80\x00", b"\x09\x00"])
async def test_bytes_against_the_protocol_are_a_violation(bad: bytes) -> None:
    async with websocket_server(_raw(bad)) as url, connect(url, limits=LIMITS) as connection:
        with pytest.raises(ProtocolViolation):
            await connection.receive()


@both
async def test_a_ping_after_our_closing_frame_harms_nobody(library: Library) -> None:
    """trio-websocket's reader dies of it and would take the enclosing nursery along."""

    async def script(stream: trio.abc.Stream, protocol: ServerProtocol) -> None:
        while protocol.close_rcvd is None:
            protocol.receive_data(await stream.receive_some())
        await stream.send_all(Frame(Opcode.PING, b"!").serialize(mask=False))
        await trio.sleep_forever()

    survived = False
    async with websocket_server(script) as url, trio.open_nursery() as nursery:
        async with connect(url, library=library, limits=LIMITS):
            pass
        await trio.sleep(0.01)
        survived = True
        nursery.cancel_scope.cancel()
    assert survived


@both
async def test_what_the_block_raises_leaves_unwrapped(library: Library) -> None:
    async with websocket_server(_echo) as url:
        with pytest.raises(KeyError, match="mine"):
            async with connect(url, library=library, limits=LIMITS):
                raise KeyError("mine")


@both
async def test_a_cancelled_block_ends_at_once_and_stays_cancelled(library: Library) -> None:
    async with websocket_server(_echo) as url:
        with trio.move_on_after(0.05) as scope:
            async with connect(url, library=library, limits=LIMITS) as connection:
                await connection.receive()
        assert scope.cancelled_caught


@both
@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno", b"", b"SSH-2.0-x\r\n\r\n"])
async def test_a_refused_handshake_is_connect_failed(library: Library, answer: bytes) -> None:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if answer:
            await stream.send_all(answer)

    async with serving(handler) as place:
        with pytest.raises(ConnectFailed):
            async with connect(f"ws://{place}/", library=library, limits=LIMITS):
                pass


@both
async def test_a_peer_that_says_nothing_is_given_up_in_time(library: Library) -> None:
    hasty = WebSocketLimits(open_timeout_s=0.1)
    async with serving(silent) as place:
        with trio.fail_after(3), pytest.raises(ConnectFailed, match=r"within 0\.1 s"):
            async with connect(f"ws://{place}/", library=library, limits=hasty):
                pass


@pytest.mark.parametrize("url", ["http://x/", "ws://", "nonsense", "ws://nowhere.invalid/"])
async def test_an_address_that_leads_nowhere_is_connect_failed(url: str) -> None:
    with pytest.raises(ConnectFailed):
        async with connect(url, limits=LIMITS):
            pass


async def test_a_refused_connection_is_connect_failed() -> None:
    async with refusing() as place:
        with pytest.raises(ConnectFailed):
            async with connect(f"ws://{place}/", limits=LIMITS):
                pass


async def test_a_peer_that_takes_nothing_ends_the_connection_for_writer_and_reader() -> None:
    async def script(_stream: trio.abc.Stream, _protocol: ServerProtocol) -> None:
        await trio.sleep_forever()

    async with (
        websocket_server(script) as url,
        connect(url, limits=LIMITS) as connection,
        trio.open_nursery() as nursery,
    ):

        async def read() -> None:
            with pytest.raises(Disconnected):
                await connection.receive()

        nursery.start_soon(read)
        with pytest.raises(Disconnected):
            await connection.send(b"x" * 100_000_000)


async def test_closing_while_another_task_receives_wakes_it() -> None:
    async with (
        websocket_server(_echo) as url,
        connect(url, limits=LIMITS) as connection,
        trio.open_nursery() as nursery,
    ):

        async def read() -> None:
            with pytest.raises(WebSocketError):
                await connection.receive()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await connection.close()
        await connection.close()


async def test_many_writers_do_not_mix_their_frames() -> None:
    async with websocket_server(_echo) as url, connect(url) as connection, trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(connection.send, b"%d" % n * 100)
        got = {await connection.receive() for _ in range(20)}
    assert got == {b"%d" % n * 100 for n in range(20)}
