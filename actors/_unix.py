"""Unix sockets in a directory of any depth: who may connect, and whether somebody still listens.

A socket's address holds about 108 bytes, a path may hold 4096. A longer one is reached through
`/proc/self/fd/<directory>`, which names the same file.
"""

import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trio
from trio import socket as trio_socket

MAX_ADDRESS_BYTES = 100
BACKLOG = 64
PROBE_S = 2.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: Linux's struct ucred


class SocketInUse(Exception):
    """Another process listens at this path, or the path is taken by something that is no socket."""


@contextmanager
def address(path: Path) -> Iterator[str]:
    """A form of `path` that fits into a socket's address, valid inside the block."""
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


async def listen(path: Path) -> trio.SocketListener:
    """Listen at `path`, mode 0600. The file a dead process left is replaced; `SocketInUse` if anybody answers there."""
    await _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(sock.fileno(), 0o600)  # before bind, so that the file never exists with another mode
        with address(path) as name:
            sock.bind(name)  # trio would do this in a thread, which a mock clock does not wait for
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return trio.SocketListener(trio_socket.from_stdlib_socket(sock))


async def connect(path: Path) -> trio.SocketStream:
    """A stream to whoever listens at `path`. Raises OSError."""
    sock = trio_socket.socket(trio_socket.AF_UNIX, trio_socket.SOCK_STREAM)
    try:
        with address(path) as name:
            await sock.connect(name)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


class Peer(NamedTuple):
    """The process at the other end when it connected or began to listen, by the kernel's word."""

    pid: int
    uid: int
    gid: int


def peer(stream: trio.SocketStream) -> Peer:
    raw = stream.socket.getsockopt(trio_socket.SOL_SOCKET, trio_socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(raw))


async def _clear(path: Path) -> None:
    """Remove the socket file of a process that is gone."""
    try:
        mode = path.lstat().st_mode  # noqa: ASYNC240 - one look at a local file
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketInUse(f"{path}: expected a socket or nothing, found another kind of file; move it away")
    if await answers(path):
        raise SocketInUse(f"{path}: another process listens here; stop it, or use another directory")
    path.unlink(missing_ok=True)  # noqa: ASYNC240


async def answers(path: Path) -> bool:
    """Whether a process listens at `path`. What cannot be told (a full backlog, no permission) counts as yes."""
    try:
        with trio.fail_after(PROBE_S):
            stream = await connect(path)
    except trio.TooSlowError:
        return True
    except OSError as error:
        return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    await stream.aclose()
    return True
