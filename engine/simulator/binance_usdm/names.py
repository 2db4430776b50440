"""Stream names: which there are and on which route they are served."""

import re

from engine.simulator.binance_usdm.board import Board, Stream
from engine.simulator.binance_usdm.clocked import AllMarks, MarkStream, TickerStream
from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.intervals import INTERVALS
from engine.simulator.binance_usdm.streams import (
    AggTradeStream,
    BookTickerStream,
    DiffStream,
    ForceStream,
    KlineStream,
    PartialStream,
)

__all__ = ["route_of", "stream_of"]

DEPTH = re.compile(r"depth(5|10|20)?(?:@(100|250|500)ms)?")
DEPTH_MS = 250
MARK_MS = {"markPrice": 3_000, "markPrice@1s": 1_000}
ALL_MARKS_MS = {"!markPrice@arr": 3_000, "!markPrice@arr@1s": 1_000}
KLINES = {f"kline_{name}": interval for name, interval in INTERVALS.items()}
PUBLIC = ("bookTicker",)
MARKET = ("aggTrade", "forceOrder", "miniTicker", "ticker", *MARK_MS, *KLINES)
ALL_PUBLIC = ("!bookTicker",)
ALL_MARKET = (*ALL_MARKS_MS, "!forceOrder@arr", "!miniTicker@arr", "!ticker@arr")


def route_of(stream: str, desks: dict[str, Desk]) -> str | None:
    """`desks` by lower-case symbol. None: there is no such stream."""
    if stream.startswith("!"):
        return "public" if stream in ALL_PUBLIC else "market" if stream in ALL_MARKET else None
    symbol, _, kind = stream.partition("@")
    if symbol not in desks:
        return None
    if kind in PUBLIC or DEPTH.fullmatch(kind):
        return "public"
    return "market" if kind in MARKET else None


def stream_of(board: Board, stream: str, desks: dict[str, Desk]) -> Stream:
    """Make a stream that `route_of` knows."""
    if stream.startswith("!"):
        return _all_of(board, stream, list(desks.values()))
    symbol, _, kind = stream.partition("@")
    desk = desks[symbol]
    depth = DEPTH.fullmatch(kind)
    if depth is not None:
        every_ms = int(depth[2] or DEPTH_MS)
        if depth[1] is None:
            return DiffStream(board, stream, desk, every_ms)
        return PartialStream(board, stream, desk, int(depth[1]), every_ms)
    if kind in KLINES:
        return KlineStream(board, stream, desk, KLINES[kind])
    if kind in MARK_MS:
        return MarkStream(board, stream, [desk], MARK_MS[kind])
    if kind in ("miniTicker", "ticker"):
        return TickerStream(board, stream, [desk], small=kind == "miniTicker", as_array=False)
    if kind == "bookTicker":
        return BookTickerStream(board, stream, [desk])
    return AggTradeStream(board, stream, [desk]) if kind == "aggTrade" else ForceStream(board, stream, [desk])


def _all_of(board: Board, stream: str, desks: list[Desk]) -> Stream:
    if stream in ALL_MARKS_MS:
        return AllMarks(board, stream, desks, ALL_MARKS_MS[stream])
    if stream == "!bookTicker":
        return BookTickerStream(board, stream, desks)
    if stream == "!forceOrder@arr":
        return ForceStream(board, stream, desks)
    return TickerStream(board, stream, desks, small=stream == "!miniTicker@arr", as_array=True)
