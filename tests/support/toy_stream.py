"""A tiny venue protocol for tests of the stream and the feed: adapters sans I/O, and a WebSocket server on loopback that misbehaves on demand.

Frames of a symbol are `@<symbol> <kind> <numbers>`: `S id` book snapshot, `C previous id` book change, `T price
[stamp]` ticker, `X seq` trade, `B open_ms volume` bar. Control frames are `ACK`, `NO <channel>`, `PING`, `BYE`; the
client says `SUB`, `UNSUB`, `AGAIN` and `PONG`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from trio.testing import memory_stream_pair
from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketConnection,
    WebSocketRequest,
    serve_websocket,
    wrap_server_stream,
)

from engine.model import DataClass, MarketState, Source
from engine.net import Endpoint, dialing
from engine.venues.base import Applied, BadReply, Route

CHANNELS = ("book", "ticker", "trades", "bars")


class ToyStream:
    """Implements `StreamAdapter`."""

    frames_per_s = 1000.0

    def __init__(self, url: str, *, life_s: float | None = None) -> None:
        self.url = url
        self.life_s = life_s

    def greet(self) -> tuple[bytes, ...]:
        return (b"HELLO",)

    def subscribe(self, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[bytes, ...]:
        return (f"SUB {','.join(symbols)}".encode(),)

    def unsubscribe(self, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[bytes, ...]:
        return (f"UNSUB {','.join(symbols)}".encode(),)

    def resnapshot(self, symbol: str) -> tuple[bytes, ...]:
        return (f"AGAIN {symbol}".encode(),)

    def route(self, frame: bytes) -> str | None:
        return frame[1 : frame.index(b" ")].decode() if frame[:1] == b"@" else None

    def symbol_of(self, channel: str) -> str | None:
        return channel.split(".")[1]

    def control(self, frame: bytes) -> Route:
        word, _, rest = frame.decode().partition(" ")
        match word:
            case "ACK":
                return Route(acknowledged=(rest,))
            case "NO":
                return Route(refused=(rest,))
            case "PING":
                return Route(replies=(b"PONG",))
            case "BYE":
                return Route(problem=rest)
        raise BadReply(f"control: expected ACK, NO, PING or BYE, got {word}")


class ToyFeed:
    """Implements `FeedAdapter`."""

    seed = None

    def apply(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        _, kind, *numbers = frame.decode().split(" ")
        try:
            values = [int(number) for number in numbers]
        except ValueError:
            raise BadReply(f"numbers: expected integers, got {numbers}") from None
        match kind:
            case "S":
                if values[0] < state.book.change_id and state.book.ready:
                    return Applied.NOTHING
                state.book.replace([(99.0, 1.0)], [(101.0, 1.0)], change_id=values[0], venue_ms=0)
                state.touch(DataClass.BOOK, Source.STREAM, now_s)
                return Applied.BOOK | Applied.SNAPSHOT
            case "C":
                if state.book.ready and values[1] <= state.book.change_id:
                    return Applied.NOTHING
                if not state.book.change(
                    [(98.0, float(values[1]))], [], previous_id=values[0], change_id=values[1], venue_ms=0
                ):
                    return Applied.GAP
                state.touch(DataClass.BOOK, Source.STREAM, now_s)
                return Applied.BOOK
            case "T":
                state.ticker.last = state.ticker.mark = float(values[0])
                state.touch(DataClass.TICKER, Source.STREAM, now_s)
                state.ticker.venue_ms = values[1] if len(values) > 1 else 0
                return Applied.TICKER
            case "X":
                state.trades.add(time_ms=values[0], price=1.0, amount=1.0, taker_side=1, trade_seq=values[0])
                state.touch(DataClass.TRADES, Source.STREAM, now_s)
                return Applied.TRADES
            case "B":
                state.bars["1m"].upsert((float(values[0]), 1.0, 2.0, 0.5, 1.5, float(values[1]), 1.0, 0.0, 0.0, 0.0))
                state.touch(DataClass.BARS, Source.STREAM, now_s)
                return Applied.BARS
        raise BadReply(f"kind: expected S, C, T, X or B, got {kind}")


class ToyServer:
    """What the venue does, and what it has heard. Every connection is told the same."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[str] = []
        self.connections = 0
        self.acknowledges = True
        self.greets = True  # new connections; without it they are cut at once
        self.tells = True  # new connections what is sent; without it they hear nothing
        self.most = 0  # connections at a time
        self.refused: tuple[str, ...] = ()
        self._open: dict[WebSocketConnection, None] = {}  # oldest first

    @property
    def clients(self) -> int:
        return len(self._open)

    async def send(self, *frames: str) -> None:
        for connection in list(self._open):
            for frame in frames:
                await connection.send_message(frame)

    async def drop(self) -> None:
        """Cut every connection without a goodbye."""
        await self._cut(list(self._open))

    async def drop_oldest(self) -> None:
        """Cut the oldest connection, as a venue does whose time for it is over."""
        await self._cut(list(self._open)[:1])

    async def _cut(self, connections: list[WebSocketConnection]) -> None:
        for connection in connections:
            self._open.pop(connection, None)
            await trio.aclose_forcefully(connection._stream)

    async def handle(self, request: WebSocketRequest) -> None:
        connection = await request.accept()
        self.connections += 1
        if not self.greets:
            await trio.aclose_forcefully(connection._stream)
            return
        if self.tells:
            self._open[connection] = None
        self.most = max(self.most, len(self._open))
        try:
            while True:
                await self._answer(connection, await connection.get_message())
        except (ConnectionClosed, trio.ClosedResourceError):
            return
        finally:
            self._open.pop(connection, None)

    async def _answer(self, connection: WebSocketConnection, message: str | bytes) -> None:
        text = message if isinstance(message, str) else message.decode()
        self.heard.append(text)
        if text.startswith("SUB") and self.acknowledges:
            await connection.send_message("ACK all")
            for channel in self.refused:
                await connection.send_message(f"NO {channel}")


@asynccontextmanager
async def toy_server_in_memory() -> AsyncIterator[ToyServer]:
    """Without sockets: a clock that jumps needs not wait for them."""
    server = ToyServer()
    server.url = "ws://toy"
    async with trio.open_nursery() as nursery:

        async def serve(stream: trio.abc.Stream) -> None:
            try:
                await server.handle(await wrap_server_stream(nursery, stream))
            except (HandshakeError, ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
                return

        async def dial(_endpoint: Endpoint) -> trio.abc.Stream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(serve, ours)
            return theirs

        with dialing(dial):
            try:
                yield server
            finally:
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def toy_server() -> AsyncIterator[ToyServer]:
    server = ToyServer()
    async with trio.open_nursery() as nursery:
        listening = await nursery.start(serve_websocket, server.handle, "127.0.0.1", 0, None)
        server.url = f"ws://127.0.0.1:{listening.port}"
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()
