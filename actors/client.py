"""A client of the admin socket: what the command line, the gateway and a user's own program use.

One request at a time; events of subscriptions arrive between replies and are kept, in order, until they are read.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors import _unix

__all__ = ["AdminClient", "NodeGone", "NotRunning", "open_client"]

MAX_REPLY_BYTES = 64 << 20
MAX_EVENTS = 100_000
_CHUNK = 65536


class NotRunning(Exception):
    """Nobody listens at the admin socket."""


class NodeGone(Exception):
    """The node closed the connection: it stops, or it dropped this client."""


class AdminClient:
    """Made by `open_client`. Errors the node answers with are `RpcError`; a deadline that passes is `trio.TooSlowError`."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._events: deque[rpc.Event] = deque()
        self._last_id = 0

    def peer_pid(self) -> int:
        """The node's process; 0 if it is in another namespace."""
        return _unix.peer(self._stream).pid

    async def call(self, method: str, params: Any = None, *, timeout_s: float) -> Any:
        """The result of one method as plain values."""
        self._last_id += 1
        with trio.fail_after(timeout_s):
            await self._send(rpc.encode_call(self._last_id, method, {} if params is None else params))
            while True:
                answer = await self._answer()
                if answer.params is not None:
                    self._keep(answer.params)
                elif answer.id == self._last_id or answer.id is None:
                    return _result(answer)

    async def next_event(self, *, timeout_s: float) -> rpc.Event:
        """The next event of any subscription of this client."""
        with trio.fail_after(timeout_s):
            while not self._events:
                answer = await self._answer()
                if answer.params is not None:
                    self._keep(answer.params)
        return self._events.popleft()

    async def wait_closed(self, *, timeout_s: float) -> None:
        """Return when the node has closed the connection."""
        with trio.fail_after(timeout_s):
            while True:
                try:
                    await self._answer()
                except NodeGone:
                    return

    def _keep(self, event: rpc.Event) -> None:
        if len(self._events) >= MAX_EVENTS:
            raise NodeGone(f"more than {MAX_EVENTS} events wait unread")
        self._events.append(event)

    async def _send(self, line: bytes) -> None:
        # What the node said before it closed is still to be read; reading reports the end.
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream.send_all(line)

    async def _answer(self) -> rpc.Answer:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MAX_REPLY_BYTES:
                raise NodeGone(f"a line of more than {MAX_REPLY_BYTES} bytes")
            self._buffer += await self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            return rpc.parse_answer(line)
        except msgspec.DecodeError as error:
            raise NodeGone(f"an answer that is not one: {error}") from error

    async def _more(self) -> bytes:
        try:
            data = await self._stream.receive_some(_CHUNK)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            raise NodeGone("the node closed the connection")
        return bytes(data)


@asynccontextmanager
async def open_client(path: Path, *, timeout_s: float = 5.0) -> AsyncIterator[AdminClient]:
    """Connect to the node whose socket is at `path`. Raises NotRunning."""
    try:
        with trio.fail_after(timeout_s):
            stream = await _unix.connect(path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise NotRunning(f"no node runs at {path.parent}: {error.strerror}") from error
    except OSError as error:
        raise NotRunning(f"cannot reach the node at {path}: {error.strerror}") from error
    async with stream:
        yield AdminClient(stream)


def _result(answer: rpc.Answer) -> Any:
    if answer.error is not None:
        raise rpc.RpcError(answer.error.code, answer.error.message, answer.error.data)
    return msgspec.json.decode(answer.result)
