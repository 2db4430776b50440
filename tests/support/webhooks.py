"""A chat robot on loopback, and one in memory, that note what they were told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import msgspec
import trio

from engine.net import FunctionTransport, HttpReply, HttpRequest, RequestNotSent

OK = b'{"errcode":0,"errmsg":"ok"}'


class Robot:
    """`answer` decides what it says; `told` is what it took, with the time it came at."""

    def __init__(self) -> None:
        self.told: list[tuple[float, Any]] = []
        self.asked = 0
        self.answer: Callable[[], HttpReply | None] = lambda: HttpReply(200, {}, OK)  # None: not reachable

    @property
    def texts(self) -> list[str]:
        return [body["text"] for _, body in self.told]

    def hear(self, body: bytes) -> HttpReply | None:
        self.asked += 1
        reply = self.answer()
        if reply is not None and reply.status < 300 and reply.body == OK:
            self.told.append((trio.current_time(), msgspec.json.decode(body)))
        return reply

    def transport(self) -> FunctionTransport:
        async def post(request: HttpRequest) -> HttpReply:
            reply = self.hear(request.body)
            if reply is None:
                raise RequestNotSent("nobody listens")
            return reply

        return FunctionTransport(post)

    @asynccontextmanager
    async def on_loopback(self) -> AsyncIterator[str]:
        """The URL it listens at, with a key in it."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._serve, listeners)
            yield f"http://127.0.0.1:{port}/send/sekretpath?key=sekretkey"
            nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            connection, body = h11.Connection(h11.SERVER), b""
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some(65536))
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                    break
            reply = self.hear(body)
            if reply is None:
                return
            head = h11.Response(
                status_code=reply.status, headers=[("content-length", str(len(reply.body))), ("connection", "close")]
            )
            for part in (head, h11.Data(data=reply.body), h11.EndOfMessage()):
                await stream.send_all(connection.send(part) or b"")
