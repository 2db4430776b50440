"""The wire of the simulated Binance with a venue that says what the test wants, and a client for it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair
from websockets.frames import Frame

from engine.kernel import Entropy, TrioClock
from engine.simulator.binance_usdm import Answer, ApiError
from engine.simulator.wire import FaultBoard
from engine.simulator.wire.binance_usdm import BinanceServer, BinanceSettings
from engine.simulator.wire.clock import VenueClock
from tests.support.sim_client import SimClient, SocketClosed
from tests.support.sim_venue import EPOCH_MS

MINUTE_MS = EPOCH_MS - EPOCH_MS % 300_000 + 300_000  # a full minute, and a full five minutes
PUBLIC_KINDS = ("depth", "bookTicker")
BUCKETS = {"/fapi/v1/fundingRate": "funding", "/futures/data/openInterestHist": "data", "/api/v3/ticker/price": "spot"}


class ScriptedVenue:
    """Knows the symbols of `SYMBOLS`; streams carry what `say` is given, and requests echo their path and params."""

    SYMBOLS = ("btcusdt", "ethusdt")

    def __init__(self) -> None:
        self.publish: Any = None
        self.maintenance = False
        self.active: list[str] = []
        self.skipped: list[str] = []
        self.weight = 1
        self.trading = SimpleNamespace(tell=None, hide_fills_from_ms=None, listen_keys=SimpleNamespace(life_ms=0))

    def say(self, stream: str, data: Any = None) -> None:
        self.publish(stream, {"s": stream} if data is None else data)

    def get(self, path: str, params: Mapping[str, str], now_ms: int) -> Answer:
        if path == "/fapi/v1/klines":
            return Answer(b"[[1,2,3]]")
        if path == "/fapi/v1/time":
            return Answer({"serverTime": now_ms})
        return Answer({"path": path, **params})

    def weight_of(self, path: str, params: Mapping[str, str]) -> tuple[str, int]:
        if path == "/fapi/v1/allForceOrders":
            raise ApiError(404, -5000, f"Path {path}, Method GET is invalid")
        return BUCKETS.get(path, "weight"), self.weight

    def route_of(self, stream: str) -> str | None:
        symbol, _, kind = stream.partition("@")
        if symbol not in self.SYMBOLS or not kind:
            return None
        return "public" if kind.startswith(PUBLIC_KINDS) else "market"

    def activate(self, stream: str) -> None:
        self.active.append(stream)

    def deactivate(self, stream: str) -> None:
        self.active.remove(stream)

    def advance(self, now_ms: int) -> None:
        """Nothing happens by itself."""

    def next_due_ms(self) -> int:
        return MINUTE_MS * 2

    def skip_update(self, symbol: str) -> None:
        self.skipped.append(symbol)


class StreamClient(SimClient):
    """A client of one socket. `seen` are all frames it got; pings are answered while it receives."""

    def __init__(self, stream: trio.abc.Stream, url: str) -> None:
        super().__init__(stream, url)
        self.seen: list[Frame] = []

    async def _read(self) -> None:
        known = len(self.frames)
        await super()._read()
        self.seen.extend(list(self.frames)[known:])

    async def command(self, method: str, params: list[Any] | None = None, request_id: Any = 1) -> Any:
        """Send a command; the whole reply, while messages of streams are kept in `notices`."""
        await self.send({"method": method, "id": request_id} | ({} if params is None else {"params": params}))
        return await self.answer()

    async def answer(self) -> Any:
        with trio.fail_after(10):
            while True:
                message = await self.receive()
                if "result" in message or "code" in message:
                    return message
                self.notices.append(message)

    async def subscribe(self, *streams: str) -> None:
        assert await self.command("SUBSCRIBE", list(streams)) == {"result": None, "id": 1}

    async def heard(self) -> list[Any]:
        """Everything that has come and comes within a moment."""
        heard = list(self.notices)
        self.notices.clear()
        with trio.move_on_after(0.05):
            while True:
                heard.append(await self.receive())
        return heard

    async def ping(self) -> None:
        self.protocol.send_ping(b"")
        await self._flush()

    async def mute_until_closed(self) -> int | None:
        """Read and answer nothing, pings neither, until the server closes; the close code."""
        while self.protocol.close_rcvd is None:
            data = await self.stream.receive_some(2**20)
            if not data:
                return None
            self.protocol.receive_data(bytes(data))
            self.protocol.data_to_send()
        return self.protocol.close_rcvd.code


class BinanceWire:
    """A server in memory. `clock` is that of the test."""

    def __init__(self, settings: BinanceSettings, nursery: trio.Nursery) -> None:
        self.clock = TrioClock(MINUTE_MS)
        self.venue = ScriptedVenue()
        self.board = FaultBoard(self.clock, Entropy(3))
        self._nursery = nursery
        self.server = BinanceServer(
            self.venue,  # type: ignore[arg-type]
            clock=self.clock,
            venue_clock=VenueClock(self.clock),
            board=self.board,
            entropy=Entropy(4),
            settings=settings,
        )
        nursery.start_soon(self.board.run)
        nursery.start_soon(self.server.run)

    @property
    def stats(self) -> dict[str, Any]:
        return self.server.stats()

    def connect(self, *, lockstep: bool = False) -> trio.abc.HalfCloseableStream:
        ours, theirs = lockstep_stream_pair() if lockstep else memory_stream_pair()
        self._nursery.start_soon(self.server.serve_stream, ours)
        return theirs

    @asynccontextmanager
    async def socket(self, path: str = "/public/ws", *, lockstep: bool = False) -> AsyncIterator[StreamClient]:
        """A client; with `lockstep` the way between holds nothing, so that a client who does not read makes the server wait."""
        client = StreamClient(self.connect(lockstep=lockstep), f"ws://sim{path}")
        try:
            await client.handshake()
            yield client
        finally:
            await trio.aclose_forcefully(client.stream)

    @asynccontextmanager
    async def keep_alive(self) -> AsyncIterator["Requests"]:
        """One HTTP connection that takes any number of requests."""
        requests = Requests(self.connect())
        try:
            yield requests
        finally:
            await trio.aclose_forcefully(requests.stream)

    async def get(self, target: str, method: str = "GET") -> httpx.Response:
        """One request on a connection of its own. Raises `SocketClosed` if none comes."""
        async with self.keep_alive() as requests:
            return await requests.get(target, method)


class Requests:
    """Plain HTTP on one stream, so that no pool hides which connection is used."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._buffer = b""

    async def get(
        self, target: str, method: str = "GET", *, body: str = "", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        lines = [f"{method} {target} HTTP/1.1", "host: sim", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        if body:
            lines += ["content-type: application/x-www-form-urlencoded", f"content-length: {len(body.encode())}"]
        try:
            await self.stream.send_all("\r\n".join([*lines, "", body]).encode())
            head = (await self._until(lambda: b"\r\n\r\n" in self._buffer)).partition(b"\r\n\r\n")[0]
            status, *lines = head.decode().split("\r\n")
            headers = httpx.Headers([tuple(line.split(": ", 1)) for line in lines])
            size = len(head) + 4 + int(headers["content-length"])
            await self._until(lambda: len(self._buffer) >= size)
        except trio.BrokenResourceError:
            raise SocketClosed(None) from None
        body, self._buffer = self._buffer[len(head) + 4 : size], self._buffer[size:]
        return httpx.Response(int(status.split()[1]), headers=headers, content=body)

    async def _until(self, complete: Any) -> bytes:
        while not complete():
            data = await self.stream.receive_some(2**16)
            if not data:
                raise SocketClosed(None)
            self._buffer += bytes(data)
        return self._buffer


@asynccontextmanager
async def binance_wire(settings: BinanceSettings | None = None) -> AsyncIterator[BinanceWire]:
    async with trio.open_nursery() as nursery:
        yield BinanceWire(settings or BinanceSettings.plain(), nursery)
        nursery.cancel_scope.cancel()
