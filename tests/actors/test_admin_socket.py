"""The socket itself: who may connect, and what a client cannot do to the node."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import _unix
from actors._jsonrpc import MAX_LINE_BYTES, RpcError, id_in, parse_call
from actors.admin import AdminSettings
from actors.client import NodeGone, NotRunning, open_client
from tests.support.faces import faces
from tests.support.kernel import eventually

T = 10.0


async def lines(stream, count):
    """The next `count` answers, decoded."""
    data = b""
    with trio.fail_after(T):
        while data.count(b"\n") < count:
            chunk = await stream.receive_some(65536)
            assert chunk, f"closed after {data!r}"
            data += chunk
    return [msgspec.json.decode(line) for line in data.splitlines()]


async def closed(stream):
    """Whether the server ends the connection."""
    with trio.fail_after(T), contextlib.suppress(trio.BrokenResourceError):
        while await stream.receive_some(65536):
            pass
    return True


async def test_the_socket_is_for_its_owner_alone(tmp_path):
    async with faces(tmp_path) as rig:
        assert stat.S_IMODE(rig.socket.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(rig.socket.stat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
async def test_another_user_is_refused_even_if_the_file_lets_it_in():
    with tempfile.TemporaryDirectory(prefix="tn") as name:
        directory = Path(name)
        directory.chmod(0o711)  # noqa: ASYNC240 - one local file
        async with faces(directory) as rig:
            rig.socket.chmod(0o666)
            os.seteuid(65534)
            try:
                stream = await _unix.connect(rig.socket)
            finally:
                os.seteuid(0)
            async with stream:
                [answer] = await lines(stream, 1)
                assert answer["error"]["data"]["code"] == "NOT_ALLOWED"
                assert await closed(stream)


async def test_the_socket_of_a_dead_node_is_replaced(tmp_path):
    listener = await _unix.listen(tmp_path / "admin.sock")
    await listener.aclose()
    assert (tmp_path / "admin.sock").exists()
    async with faces(tmp_path) as rig, rig.client() as client:
        assert (await client.call("status", timeout_s=T))["node"] == "tester"


async def test_a_live_socket_is_not_taken_from_its_node(tmp_path):
    async with await _unix.listen(tmp_path / "admin.sock"):
        with pytest.raises(_unix.SocketInUse, match="another process listens"):
            await _unix.listen(tmp_path / "admin.sock")


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "admin.sock").write_text("mine")
    with pytest.raises(_unix.SocketInUse, match="expected a socket"):
        await _unix.listen(tmp_path / "admin.sock")
    assert (tmp_path / "admin.sock").read_text() == "mine"


async def test_an_orderly_stop_takes_the_socket_away(tmp_path):
    async with faces(tmp_path) as rig:
        assert rig.socket.exists()
    assert not rig.socket.exists()
    with pytest.raises(NotRunning):
        async with open_client(rig.socket):
            pass


async def test_a_directory_too_deep_for_a_socket_address_works(tmp_path):
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    async with faces(deep) as rig, rig.client() as client:
        assert (await client.call("status", timeout_s=T))["node"] == "tester"


async def test_a_restarted_admin_listens_again(tmp_path):
    async with faces(tmp_path) as rig:
        async with rig.client() as client:
            await client.call("status", timeout_s=T)
            rig.parts.system.kill("root/admin")
            with pytest.raises(NodeGone):
                await client.call("status", timeout_s=T)
        await eventually(lambda: rig.parts.system.tree().find("root/admin").incarnation == 2)
        await eventually(lambda: rig.parts.system.tree().find("root/admin").state.value == "running")
        async with rig.client() as client:
            assert (await client.call("status", timeout_s=T))["restarts"] == 1


BAD_LINES = (
    (b"{", -32700),
    (b"nonsense", -32700),
    (b"\xff\xfe", -32700),
    (b"[" * 200_000, -32600),
    (b"[]", -32600),
    (b"null", -32600),
    (b'{"jsonrpc":"1.0","id":1,"method":"status"}', -32600),
    (b'{"jsonrpc":"2.0","method":"status"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"status","extra":1}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 200 + b'"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"status","params":[]}', -32602),
    (b'{"jsonrpc":"2.0","id":1,"method":"orders","params":{"limit":1e400}}', -32602),
    (b'{"jsonrpc":"2.0","id":1,"method":"orders","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}", -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"nothing"}', -32601),
)


async def test_every_malformed_line_is_answered_and_the_connection_goes_on(tmp_path):
    async with faces(tmp_path) as rig:
        async with await _unix.connect(rig.socket) as stream:
            for line, number in BAD_LINES:
                await stream.send_all(line + b"\n")
                [answer] = await lines(stream, 1)
                assert (line[:60], answer["error"]["code"]) == (line[:60], number)
                assert answer["error"]["data"]["expected"]
            await stream.send_all(b'\r\n\n{"jsonrpc":"2.0","id":"last","method":"status"}\r\n')
            [answer] = await lines(stream, 1)
            assert answer["id"] == "last"
        assert rig.parts.system.tree().find("root/admin").incarnation == 1


async def test_a_line_without_end_is_refused_and_the_connection_closed(tmp_path):
    async with faces(tmp_path) as rig:
        async with await _unix.connect(rig.socket) as stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(b"x" * (MAX_LINE_BYTES + 100_000))
            [answer] = await lines(stream, 1)
            assert answer["error"]["data"]["code"] == "line_too_long"
            assert await closed(stream)
        async with rig.client() as client:
            await client.call("status", timeout_s=T)


async def test_requests_sent_together_are_answered_in_order(tmp_path):
    async with faces(tmp_path) as rig, await _unix.connect(rig.socket) as stream:
        sent = b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"status"}\n' % number for number in range(300))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, sent)
            answers = await lines(stream, 300)
        assert [answer["id"] for answer in answers] == list(range(300))


async def test_a_client_that_leaves_in_the_middle_of_a_line_is_nobodys_problem(tmp_path):
    async with faces(tmp_path) as rig:
        for data in (b"", b'{"jsonrpc":', b'{"jsonrpc":"2.0","id":1,"method":"tree"}\n' * 50):
            async with await _unix.connect(rig.socket) as stream:
                await stream.send_all(data)
        async with rig.client() as client:
            await client.call("status", timeout_s=T)
        assert rig.parts.system.tree().find("root/admin").incarnation == 1


TREES = b'{"jsonrpc":"2.0","id":1,"method":"tree"}\n' * 100


async def fill_up(stream):
    """Ask until the server takes no more, because nothing of what it says is read."""
    while True:
        with trio.move_on_after(0.3) as patience:
            await stream.send_all(TREES)
        if patience.cancelled_caught:
            return


async def test_a_client_that_does_not_read_delays_nobody(tmp_path):
    async with (
        faces(tmp_path, admin=AdminSettings(write_deadline_s=600)) as rig,
        await _unix.connect(rig.socket) as lazy,
        rig.client() as client,
    ):
        await fill_up(lazy)
        for _ in range(100):
            await client.call("status", timeout_s=T)


async def test_a_client_that_does_not_read_is_dropped(tmp_path):
    async with (
        faces(tmp_path, admin=AdminSettings(write_deadline_s=0.3)) as rig,
        await _unix.connect(rig.socket) as lazy,
    ):
        with contextlib.suppress(trio.BrokenResourceError):
            await fill_up(lazy)
        await trio.sleep(0.5)
        assert await closed(lazy)


async def test_connections_are_limited(tmp_path):
    async with faces(tmp_path, admin=AdminSettings(max_connections=2)) as rig:
        async with rig.client() as one, rig.client() as two:
            await one.call("status", timeout_s=T)
            await two.call("status", timeout_s=T)
            async with await _unix.connect(rig.socket) as third:
                [answer] = await lines(third, 1)
                assert answer["error"]["data"]["code"] == "TOO_MANY"
        await trio.sleep(0.05)
        async with rig.client() as again:
            await again.call("status", timeout_s=T)


async def test_a_bug_in_a_method_is_an_internal_error_and_the_socket_lives(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        rig.parts.venues["sim"].state.markets["broken"] = object()
        with pytest.raises(RpcError) as caught:
            await client.call("feeds", timeout_s=T)
        assert (caught.value.number, caught.value.data.code) == (-32603, "internal")
        del rig.parts.venues["sim"].state.markets["broken"]
        await client.call("feeds", timeout_s=T)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_make_the_parser_do_anything_but_answer_or_refuse(line):
    with contextlib.suppress(RpcError):
        parse_call(line)
    id_in(line)
