"""One client of the admin socket: lines in, lines out, both bounded.

Requests of one connection are served one after the other, so replies come in the order asked; who wants several at once
opens several connections. Everything that goes out passes one short queue and one writer, which gives a client
`write_deadline_s` to take a line: one that does not read is dropped and delays nobody else.
"""

from collections.abc import Awaitable, Callable

import trio
from loguru import logger

from actors import _jsonrpc as rpc

CHUNK_BYTES = 65536
OUTBOX_LINES = 64

Serve = Callable[["Connection", rpc.Call], Awaitable[bytes]]


class LineTooLong(Exception):
    """A line that goes on past the limit; where the next one begins is unknown."""


class LineReader:
    """Lines of a byte stream, without their ends, none longer than `limit` bytes."""

    def __init__(self, stream: trio.abc.ReceiveStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._buffer = bytearray()

    async def next(self) -> bytes | None:
        """The next line, None at the end of the stream. An unfinished last line is not a line."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > self._limit:
                raise LineTooLong
            chunk = await self._stream.receive_some(CHUNK_BYTES)
            if not chunk:
                return None
            self._buffer += chunk
        if end > self._limit:
            raise LineTooLong
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.rstrip(b"\r")


class Connection:
    """Run it in a nursery of its own; it ends by itself. `subscriptions` maps ids to the scopes of their tasks."""

    def __init__(self, stream: trio.SocketStream, serve: Serve, write_deadline_s: float) -> None:
        self._stream = stream
        self._serve = serve
        self._write_deadline_s = write_deadline_s
        self._out, self._to_write = trio.open_memory_channel[bytes](OUTBOX_LINES)
        self._nursery: trio.Nursery | None = None
        self.subscriptions: dict[str, trio.CancelScope] = {}

    async def run(self) -> None:
        """Serve until the client goes away, misbehaves or is too slow."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._write)
            await self._read()
            for scope in self.subscriptions.values():
                scope.cancel()
            self._out.close()  # the writer ends after what is queued, within its deadline

    async def put(self, line: bytes) -> None:
        """Queue a line; waits for room."""
        await self._out.send(line)

    def start(self, subscription: str, pump: Callable[[], Awaitable[None]]) -> None:
        """Run a subscription's task until it ends, is cancelled, or the connection ends."""
        assert self._nursery is not None, "requests arrive while the connection runs"
        scope = self.subscriptions[subscription] = trio.CancelScope()
        self._nursery.start_soon(self._pump, subscription, scope, pump)

    async def _pump(self, subscription: str, scope: trio.CancelScope, pump: Callable[[], Awaitable[None]]) -> None:
        with scope:
            await pump()
        self.subscriptions.pop(subscription, None)

    async def _read(self) -> None:
        lines = LineReader(self._stream, rpc.MAX_LINE_BYTES)
        try:
            while (line := await lines.next()) is not None:
                if line:
                    await self.put(await self._reply(line))
        except LineTooLong:
            data = rpc.ErrorData("line_too_long", "", f"at most {rpc.MAX_LINE_BYTES} bytes in a line", "more")
            await self.put(rpc.encode_error(None, rpc.RpcError(rpc.Code.INVALID_REQUEST, "line too long", data)))
        except trio.BrokenResourceError:
            pass  # the client is gone

    async def _reply(self, line: bytes) -> bytes:
        try:
            call = rpc.parse_call(line)
        except rpc.RpcError as error:
            return rpc.encode_error(rpc.id_in(line), error)
        return await self._serve(self, call)

    async def _write(self) -> None:
        assert self._nursery is not None, "started by run"
        try:
            async for line in self._to_write:
                with trio.fail_after(self._write_deadline_s):
                    await self._stream.send_all(line)
        except trio.TooSlowError:
            logger.warning("admin client dropped: it did not read for {} s", self._write_deadline_s)
        except trio.BrokenResourceError:
            pass  # the client is gone
        self._nursery.cancel_scope.cancel()
