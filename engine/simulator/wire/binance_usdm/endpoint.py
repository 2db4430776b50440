"""A running simulated Binance USD-M, as the one who started it holds it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import trio
from trio.testing import memory_stream_pair

from engine.kernel import Clock, Entropy
from engine.simulator.binance_usdm import DEFAULT_SYMBOLS, BinanceVenue, symbols_of
from engine.simulator.replay import Recording
from engine.simulator.wire.binance_usdm.server import BinanceServer
from engine.simulator.wire.binance_usdm.settings import BinanceSettings
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.control import UnknownName
from engine.simulator.wire.faultboard import FaultBoard
from engine.simulator.wire.port import Port

__all__ = ["ApiKey", "BinanceEndpoint", "Symbols", "open_binance"]

KEY_CHARS = 64

Symbols = int | Sequence[str] | None


class ApiKey(msgspec.Struct, frozen=True):
    api_key: str
    api_secret: str

    @classmethod
    def drawn(cls, entropy: Entropy) -> "ApiKey":
        return cls(entropy.token(KEY_CHARS), entropy.token(KEY_CHARS))


class BinanceEndpoint:
    """The three URLs are what a client needs; `ws_url` and `http_url` are bases without a route.

    Without a listener they are empty and clients come through `connect`, in memory.
    """

    def __init__(
        self,
        server: BinanceServer,
        clock: VenueClock,
        key: ApiKey,
        symbols: Sequence[str],
        nursery: trio.Nursery,
        netloc: str,
    ) -> None:
        self.server = server
        self.venue = server.venue
        self.symbols = tuple(symbols)
        self.http_url = self.spot_http_url = f"http://{netloc}" if netloc else ""
        self.ws_url = f"ws://{netloc}" if netloc else ""
        self.api_key = key.api_key
        self.api_secret = key.api_secret
        self._clock = clock
        self._nursery = nursery

    def connect(self) -> trio.abc.HalfCloseableStream:
        """The client's end of a new connection without a network: for a node and its venue under one MockClock."""
        ours, theirs = memory_stream_pair()
        self._nursery.start_soon(self.server.serve_stream, ours)
        return theirs

    def now_ms(self) -> int:
        """The venue's time."""
        return self._clock.now_ms()

    def truth(self, symbol: str) -> dict[str, Any]:
        """What is really so about a symbol, whatever the wire says. Raises `UnknownName`."""
        if symbol not in self.symbols:
            raise UnknownName(f"symbol: expected one of {', '.join(self.symbols[:20])}, …, got {symbol[:40]!r}")
        self.venue.advance(self._clock.now_ms())
        truth: dict[str, Any] = self.venue.truth(symbol)
        return truth

    def truths(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """The truth about the symbol that is asked for, by its name, and the marks that were told of it: nobody can say later
        what the mark was. Of none if none is asked for. Raises `UnknownName`.
        """
        symbol = asked.get("symbol")
        if symbol is None:
            return {}
        return {symbol: {**self.truth(symbol), "marks_told": self.venue.marks_told(symbol)}}

    def stats(self) -> dict[str, Any]:
        return self.server.stats()

    def set_clock(self, offset_ms: int) -> int:
        """Put the venue's clock `offset_ms` from ours; it never runs backwards, but slows down. Returns its time now, in ms."""
        self._clock.offset_ms = offset_ms
        return self._clock.now_ms()


def open_binance(
    clock: Clock,
    entropy: Entropy,
    *,
    nursery: trio.Nursery,
    board: FaultBoard,
    settings: BinanceSettings,
    port: Port | None,
    key: ApiKey | None,
    symbols: Symbols,
    recording: Recording | None,
    bar_ms: int,
) -> BinanceEndpoint:
    """A venue that is alive and served as long as `nursery` is."""
    venue_clock = VenueClock(clock, settings.clock_offset_ms)
    names = DEFAULT_SYMBOLS if symbols is None else symbols_of(symbols) if isinstance(symbols, int) else symbols
    venue = BinanceVenue(
        start_ms=venue_clock.now_ms(),
        entropy=entropy.fork("venue"),
        recording=recording,
        bar_ms=bar_ms,
        symbols=names,
    )
    server = BinanceServer(
        venue, clock=clock, venue_clock=venue_clock, board=board, entropy=entropy.fork("wire"), settings=settings
    )
    nursery.start_soon(server.run)
    if port is not None:
        nursery.start_soon(port.serve, server.serve_stream)
    return BinanceEndpoint(
        server,
        venue_clock,
        key or ApiKey.drawn(entropy.fork("keys")),
        names,
        nursery,
        "" if port is None else port.netloc,
    )
