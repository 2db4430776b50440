"""TLS over real sockets: the stream that carries market data, and both WebSocket libraries on wss://."""

import hashlib
import itertools
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.server import ServerProtocol

from engine.net import ConnectFailed, Disconnected, Library, connect
from engine.net._tls import TlsStream
from tests.support.ws_server import Script, flush, payloads, until_closed, websocket_server

DEADLINE_S = 10.0
QUICK_S = 2.0  # for what should take no time, on a machine that has other things to do
SMALL_PIECES = 2000  # of one example: so many may be tiny, the rest go as they are
WHOLE_BYTES = 1 << 18
MEGABYTES = 3 << 20

Server = trio.SSLStream[trio.SocketStream]
Leave = Callable[[trio.SocketStream], Awaitable[None]]

both = pytest.mark.parametrize("library", list(Library))
versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
sizes = st.lists(st.integers(1, 300) | st.integers(1, 100_000), max_size=8)
pieces = st.lists(st.integers(1, 50) | st.integers(1, 70_000), min_size=1, max_size=8)
limits = st.lists(st.none() | st.integers(1, 50) | st.integers(1, 70_000), min_size=1, max_size=8)


class Pki(msgspec.Struct, frozen=True):
    """`trusted` is the file of the CA that signed for localhost and, on another certificate, for elsewhere.example."""

    trusted: Path
    stranger: Path
    localhost: ssl.SSLContext
    elsewhere: ssl.SSLContext

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.trusted))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    place = tmp_path_factory.mktemp("pki")
    ours, other = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(place / "ours.pem"))
    other.cert_pem.write_to_path(str(place / "other.pem"))
    return Pki(
        trusted=place / "ours.pem",
        stranger=place / "other.pem",
        localhost=_server_context(ours.issue_cert("localhost")),
        elsewhere=_server_context(ours.issue_cert("elsewhere.example")),
    )


def _server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


class Slow(trio.abc.Stream):
    """Carries everything in pieces of the sizes given, in turn."""

    def __init__(self, inner: trio.SocketStream, sizes: Sequence[int]) -> None:
        self._inner = inner
        self._reads = _in_turn(sizes)
        self._writes = _in_turn(sizes)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        size = next(self._reads)
        return bytes(await self._inner.receive_some(size if max_bytes is None else min(size, max_bytes)))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            size = next(self._writes)
            await self._inner.send_all(rest[:size])
            rest = rest[size:]

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._inner.aclose()


def _in_turn(sizes: Sequence[int]) -> Iterator[int]:
    yield from itertools.islice(itertools.cycle(sizes), SMALL_PIECES)
    yield from itertools.repeat(WHOLE_BYTES)


@asynccontextmanager
async def _connected() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """Both ends of a loopback connection, with a deadline for all that is done with them."""
    with trio.fail_after(DEADLINE_S):
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            ours = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
            theirs = await listener.accept()
        async with ours, theirs:
            yield ours, theirs


@asynccontextmanager
async def _talking(pki: Pki, *, cuts: Sequence[int] = (WHOLE_BYTES,)) -> AsyncIterator[tuple[TlsStream, Server]]:
    """A client and a server that have shaken hands."""
    async with _connected() as (ours, theirs):
        client = TlsStream(Slow(ours, cuts), pki.client(), "localhost")
        server = trio.SSLStream(theirs, pki.localhost, server_side=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.do_handshake)
            await client.do_handshake()
        yield client, server


def _bytes(count: int) -> bytes:
    """Bytes of which no two stretches are alike."""
    return hashlib.shake_128(b"").digest(count)


def _parts(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        yield data[at : at + size]
        at += size


async def _read(stream: trio.abc.Stream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = await stream.receive_some()
        assert piece, f"the end after {len(data)} bytes of {count}"
        data += piece
    return bytes(data)


async def _reset(stream: trio.SocketStream) -> None:
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


# ── bytes come whole and in order ──────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=30)
@given(sizes, pieces, limits)
async def test_what_the_peer_writes_is_read_whole_however_it_is_cut(
    pki: Pki, sizes: list[int], cuts: list[int], limits: list[int | None]
) -> None:
    data, got = _bytes(sum(sizes)), bytearray()
    asked = itertools.chain(itertools.islice(itertools.cycle(limits), SMALL_PIECES), itertools.repeat(None))

    async def write(server: Server) -> None:
        for part in _parts(data, sizes):
            await server.send_all(part)
        await server.aclose()

    async with _talking(pki, cuts=cuts) as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(write, server)
        for limit in asked:
            piece = await client.receive_some(limit)
            assert limit is None or len(piece) <= limit
            if not piece:
                break
            got += piece
    assert got == data


@settings(max_examples=30)
@given(sizes, pieces)
async def test_what_is_sent_reaches_the_peer_whole_however_it_is_cut(
    pki: Pki, sizes: list[int], cuts: list[int]
) -> None:
    data = _bytes(sum(sizes))
    async with _talking(pki, cuts=cuts) as (client, server), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def write() -> None:
            for part in _parts(data, sizes):
                await client.send_all(part)
            await client.aclose()

        assert await _read(server, len(data)) == data
        assert await server.receive_some() == b""


@settings(max_examples=20)
@given(pieces, st.lists(st.integers(1, 20_000), min_size=1, max_size=8))
async def test_a_read_that_is_cancelled_takes_nothing_with_it(pki: Pki, cuts: list[int], sizes: list[int]) -> None:
    data, got = _bytes(sum(sizes)), bytearray()

    async def echo(server: Server) -> None:
        while piece := await server.receive_some():
            await server.send_all(piece)

    async with _talking(pki, cuts=cuts) as (client, server), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def write() -> None:
            for part in _parts(data, sizes):
                await client.send_all(part)

        nursery.start_soon(echo, server)
        for turn in itertools.count():
            if len(got) == len(data):
                break
            with trio.move_on_after([0, 0.0001, DEADLINE_S][turn % 3]):
                got += await client.receive_some(1 + turn * 7)
        nursery.cancel_scope.cancel()
    assert got == data


async def test_a_read_that_is_cancelled_while_it_waits_leaves_the_stream_usable(pki: Pki) -> None:
    async with _talking(pki) as (client, server):
        for number in range(5):
            with trio.move_on_after(0.01) as waiting:
                await client.receive_some()
            assert waiting.cancelled_caught
            await server.send_all(b"%d" % number)
            assert await client.receive_some() == b"%d" % number


async def test_a_read_is_a_checkpoint_even_when_there_is_something_to_read(pki: Pki) -> None:
    async with _talking(pki) as (client, server):
        await server.send_all(b"all at once")
        assert await client.receive_some(4) == b"all "
        with trio.move_on_after(0) as cancelled:
            await client.receive_some(4)
        assert cancelled.cancelled_caught
        with trio.testing.assert_checkpoints():
            assert await client.receive_some(4) == b"at o"
        assert await client.receive_some() == b"nce"


async def test_a_read_of_nothing_is_refused(pki: Pki) -> None:
    async with _talking(pki) as (client, _server):
        with pytest.raises(ValueError, match="max_bytes: expected at least 1, got 0"):
            await client.receive_some(0)


async def test_a_send_that_is_cancelled_before_it_begins_sends_nothing_then_or_later(pki: Pki) -> None:
    async with _talking(pki) as (client, server):
        with trio.move_on_after(0) as cancelled:
            await client.send_all(b"never")
        assert cancelled.cancelled_caught
        await client.send_all(b"later")
        assert await server.receive_some() == b"later"


async def test_many_small_records_come_in_few_reads(pki: Pki) -> None:
    data, reads, got = _bytes(500 * 200), 0, bytearray()
    async with _talking(pki) as (client, server), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def burst() -> None:
            for part in _parts(data, [200] * 500):
                await server.send_all(part)

        await trio.testing.wait_all_tasks_blocked(0.05)  # all is on the way, or as much as the buffers take
        while len(got) < len(data):
            got += await client.receive_some()
            reads += 1
    assert got == data
    assert reads <= 50


async def test_megabytes_go_both_ways_at_once(pki: Pki) -> None:
    there, back = _bytes(MEGABYTES), _bytes(MEGABYTES)[::-1]

    async def sent(stream: trio.abc.Stream, data: bytes, size: int) -> None:
        for at in range(0, len(data), size):
            await stream.send_all(data[at : at + size])

    async def read(stream: trio.abc.Stream, expected: bytes) -> None:
        assert await _read(stream, len(expected)) == expected

    async with _talking(pki, cuts=[5000, 70_000, 300]) as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(sent, client, there, 10_000)
        nursery.start_soon(sent, server, back, 100_000)
        nursery.start_soon(read, client, back)
        nursery.start_soon(read, server, there)


@pytest.mark.parametrize("repeated", range(4))  # who comes first is up to the scheduler
async def test_what_has_come_is_read_while_a_send_waits_for_the_peer(pki: Pki, repeated: int) -> None:
    data, much, got = _bytes(200_000), bytes(16 << 20), bytearray()
    async with _talking(pki) as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(server.send_all, data)
        got += await client.receive_some(100)
        nursery.start_soon(client.send_all, much)
        with trio.fail_after(QUICK_S):
            while len(got) < len(data):
                got += await client.receive_some(100)
        assert got == data
        assert await _read(server, len(much)) == much


# ── handshakes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@versions
async def test_both_versions_of_tls_are_spoken(pki: Pki, version: ssl.TLSVersion) -> None:
    """1.3 sends its tickets after the handshake: they are neither data nor the end."""
    pki.localhost.minimum_version, pki.localhost.maximum_version = version, version
    try:
        async with _talking(pki) as (client, server):
            with trio.move_on_after(0.05) as idle:
                await client.receive_some()
            assert idle.cancelled_caught
            await client.send_all(b"asked")
            assert await server.receive_some() == b"asked"
            await server.send_all(b"answered")
            assert await client.receive_some() == b"answered"
            assert server.version() == version.name.replace("v1_", "v1.")
            await client.aclose()
            assert await server.receive_some() == b""
    finally:
        pki.localhost.minimum_version = ssl.TLSVersion.TLSv1_2
        pki.localhost.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED


async def test_a_peer_that_speaks_no_tls_is_refused(pki: Pki) -> None:
    async with _connected() as (ours, theirs):
        await theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            await TlsStream(ours, pki.client(), "localhost").do_handshake()


@pytest.mark.parametrize("hostname", ["localhost", "elsewhere.example"])
async def test_a_peer_that_is_not_who_it_should_be_is_refused(pki: Pki, hostname: str) -> None:
    context = ssl.create_default_context(cafile=str(pki.stranger if hostname == "localhost" else pki.trusted))
    async with _connected() as (ours, theirs), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def accept() -> None:
            with pytest.raises(trio.BrokenResourceError):  # it is told why: an alert, not silence
                await trio.SSLStream(theirs, pki.localhost, server_side=True).receive_some()

        with pytest.raises(ssl.SSLCertVerificationError):
            await TlsStream(ours, context, hostname).do_handshake()


@pytest.mark.parametrize("leave", [trio.aclose_forcefully, _reset])
async def test_a_peer_that_leaves_during_the_handshake_is_a_broken_stream(pki: Pki, leave: Leave) -> None:
    async with _connected() as (ours, theirs), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def go() -> None:
            await theirs.receive_some()
            await leave(theirs)

        with pytest.raises(trio.BrokenResourceError):
            await TlsStream(ours, pki.client(), "localhost").do_handshake()


# ── ends ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("goodbye", [True, False])
async def test_what_came_before_the_end_is_read_before_it(pki: Pki, goodbye: bool) -> None:
    data = _bytes(50_000)
    async with _talking(pki) as (client, server):
        await server.send_all(data)
        await (server.aclose() if goodbye else server.transport_stream.aclose())
        assert await _read(client, len(data)) == data
        assert await client.receive_some() == b""
        assert await client.receive_some() == b""


@pytest.mark.parametrize("goodbye", [True, False])
async def test_the_end_reaches_a_read_that_waits(pki: Pki, goodbye: bool) -> None:
    async with _talking(pki) as (client, server), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def leave() -> None:
            await trio.testing.wait_all_tasks_blocked()
            await (server.aclose() if goodbye else server.transport_stream.aclose())

        assert await client.receive_some() == b""


async def test_a_peer_that_resets_is_a_broken_stream_both_ways(pki: Pki) -> None:
    async with _talking(pki) as (client, server):
        await _reset(server.transport_stream)
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"late")


async def test_garbage_after_the_handshake_is_a_broken_stream_once_what_came_before_is_read(pki: Pki) -> None:
    async with _talking(pki) as (client, server):
        await server.send_all(b"good")
        await server.transport_stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert await client.receive_some() == b"good"
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError) as broken:
                await client.receive_some()
            assert isinstance(broken.value.__cause__, ssl.SSLError), (
                "who reads the log must not look for the fault on our side"
            )


async def test_a_closed_stream_neither_reads_nor_sends_and_has_said_goodbye(pki: Pki) -> None:
    async with _talking(pki) as (client, server):
        await client.aclose()
        await client.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await client.receive_some()
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"late")
        with pytest.raises(trio.ClosedResourceError):
            await client.wait_send_all_might_not_block()
        assert await server.receive_some() == b""  # without a goodbye this raises


async def test_closing_wakes_a_read_that_waits(pki: Pki) -> None:
    async with _talking(pki) as (client, _server), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.receive_some()

        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()


async def test_closing_waits_for_no_peer_that_reads_nothing(pki: Pki) -> None:
    async with _talking(pki) as (client, _server):
        with trio.move_on_after(0.05) as stuck:
            await client.send_all(bytes(16 << 20))  # more than any buffer takes
        assert stuck.cancelled_caught
        with trio.fail_after(QUICK_S):
            await client.aclose()


async def test_closing_waits_for_no_send_that_is_stuck(pki: Pki) -> None:
    async with _talking(pki) as (client, _server), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def stuck() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.send_all(bytes(16 << 20))

        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.fail_after(QUICK_S):
            await client.aclose()


# ── wss:// ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _secure_server(context: ssl.SSLContext, script: Script) -> AsyncIterator[str]:
    """Runs `script` for every connection; yields the URL. A deadline is around the block."""
    with trio.fail_after(DEADLINE_S):
        async with websocket_server(script, context) as url:
            yield url


async def _echo(stream: trio.abc.Stream, protocol: ServerProtocol) -> None:
    while True:
        for payload in await payloads(stream, protocol):
            protocol.send_text(payload)
        await flush(stream, protocol)


@both
async def test_messages_of_any_size_come_back_over_tls(
    pki: Pki, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.trusted))
    async with _secure_server(pki.localhost, _echo) as url, connect(url, library=library) as connection:
        for size in (0, 1, 125, 126, 16_384, 65_536, 900_000):
            message = _bytes(size).hex().encode()[:size]
            await connection.send(message)
            assert await connection.receive() == message


@both
async def test_a_ping_is_answered_over_tls(pki: Pki, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.trusted))
    async with (
        _secure_server(pki.localhost, until_closed) as url,
        connect(url, library=library) as connection,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(connection.receive)
        for _ in range(3):
            await connection.ping()
        nursery.cancel_scope.cancel()


async def test_a_burst_of_messages_each_in_its_own_record_comes_in_few_reads(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.trusted))
    got: list[bytes] = []
    reads = 0

    async def burst(stream: trio.abc.Stream, protocol: ServerProtocol) -> None:
        for number in range(500):
            protocol.send_text(b"%0200d" % number)
            await flush(stream, protocol)
        await until_closed(stream, protocol)

    async with _secure_server(pki.localhost, burst) as url, connect(url) as connection:
        await trio.testing.wait_all_tasks_blocked(0.05)
        while len(got) < 500:
            got += await connection.receive_many()
            reads += 1
    assert got == [b"%0200d" % number for number in range(500)]
    assert reads <= 50


@both
@pytest.mark.parametrize(
    ("trusted", "certificate", "why"),
    [
        pytest.param("stranger", "localhost", r"certificate verify failed: .*issuer", id="unknown authority"),
        pytest.param("trusted", "elsewhere", r"certificate verify failed: Hostname mismatch", id="name of another"),
    ],
)
async def test_a_venue_that_cannot_prove_who_it_is_is_not_connected_to(
    pki: Pki, library: Library, monkeypatch: pytest.MonkeyPatch, trusted: str, certificate: str, why: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(getattr(pki, trusted)))
    async with _secure_server(getattr(pki, certificate), _echo) as url:
        with pytest.raises(ConnectFailed, match=why):
            async with connect(url, library=library):
                pass


@both
@pytest.mark.parametrize("leave", [trio.aclose_forcefully, _reset])
async def test_a_peer_that_dies_within_a_message_is_a_lost_connection(
    pki: Pki, library: Library, leave: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.trusted))

    async def die(stream: trio.abc.Stream, protocol: ServerProtocol) -> None:
        assert isinstance(stream, trio.SSLStream)
        await payloads(stream, protocol)
        protocol.send_text(bytes(1000))
        [frame] = [data for data in protocol.data_to_send() if data]
        await stream.send_all(frame[:500])
        await leave(stream.transport_stream)

    async with _secure_server(pki.localhost, die) as url, connect(url, library=library) as connection:
        await connection.send(b"go")
        with pytest.raises(Disconnected):
            await connection.receive()
        with pytest.raises(Disconnected):
            await connection.send(b"late")
