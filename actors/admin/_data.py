"""Methods that read market data: the read interface (`actors.data`) over the socket, and the scan over all of it.

An answer is `{value, source, age_s, stale, degraded, complete}`; the value has the shape the interface documents. What is not
there is an error with code DATA_UNAVAILABLE, never an empty value.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec

from actors import _jsonrpc as rpc
from actors.admin._desk import Desk, Limit, Method, Nothing, Text
from actors.data import BadArgument, DataReader, DataUnavailable, Number, Record, Rows
from actors.scan import Factor, NotScanned, ScanRow, scan
from engine.model import Source

P = TypeVar("P")
Value = Rows[Any] | Record[Any] | Number

Few = Annotated[tuple[Text, ...], msgspec.Meta(max_length=6)]


class Bars(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest `limit` bars; without the unclosed one if `closed_only`."""

    symbol: Text
    interval: Text
    limit: Limit = 300
    closed_only: bool = False


class OpenInterest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    symbol: Text
    interval: Text = "1h"
    limit: Limit = 100


class Depth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """5, 10 or 20 levels."""

    symbol: Text
    limit: Limit = 20


class Newest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    symbol: Text
    limit: Limit = 500


class One(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    symbol: Text


class Scanning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of `venue` (the default one when empty) the `limit` best; factors and intervals as far as the venue has them when empty."""

    venue: Text = ""
    factors: tuple[Factor, ...] = ()
    intervals: Few = ()
    limit: Limit = 1000


class Read(msgspec.Struct, frozen=True):
    """A value and what is to be known of it."""

    value: Any
    source: Source
    age_s: float | None
    stale: bool
    degraded: bool
    complete: bool


class Scanned(msgspec.Struct, frozen=True):
    """`scanned` of them could be, `rows` are the best of these; `took_ms` is what it cost the loop."""

    rows: tuple[ScanRow, ...]
    unavailable: tuple[NotScanned, ...]
    factors: tuple[Factor, ...]
    intervals: tuple[str, ...]
    scanned: int
    took_ms: float


def reading(read: Callable[[DataReader, P], Value]) -> Callable[[Desk, P], Awaitable[Read]]:
    """A method that answers what `read` returns."""

    async def run(desk: Desk, params: P) -> Read:
        return answered(lambda: read(desk.parts.data, params))

    return run


def answered(read: Callable[[], Value]) -> Read:
    """What a read returned, or why there is nothing, as an answer. Raises RpcError."""
    try:
        value = read()
    except BadArgument as error:
        raise rpc.bad_value(error) from error
    except DataUnavailable as error:
        data = rpc.ErrorData("DATA_UNAVAILABLE", "symbol", f"{error.what} of a market that has it", error.why)
        raise rpc.RpcError(rpc.Code.UNAVAILABLE, str(error), data) from error
    info = value.info
    plain = float(value) if isinstance(value, Number) else value
    return Read(plain, info.source, info.age_s, info.stale, info.degraded, info.complete)


async def stats(desk: Desk, _: Nothing) -> dict[str, Any]:
    data = desk.parts.data
    return data.get_stats() | {"last_update": data.last_update.snapshot()}


async def scan_all(desk: Desk, params: Scanning) -> Scanned:
    clock = desk.parts.clock
    began_s = clock.monotonic_s()
    try:
        found = scan(desk.parts.data, params.venue, factors=params.factors or None, intervals=params.intervals or None)
    except BadArgument as error:
        raise rpc.bad_value(error) from error
    took_ms = (clock.monotonic_s() - began_s) * 1000
    rows = found.rows[: params.limit]
    return Scanned(rows, found.unavailable, found.factors, found.intervals, len(found.rows), took_ms)


METHODS = {
    "data.klines": Method(
        Bars, reading(lambda data, p: data.klines(p.symbol, p.interval, p.limit, closed_only=p.closed_only))
    ),
    "data.orderbook": Method(Depth, reading(lambda data, p: data.orderbook(p.symbol, p.limit))),
    "data.oi": Method(OpenInterest, reading(lambda data, p: data.oi_history(p.symbol, p.interval, p.limit))),
    "data.funding": Method(One, reading(lambda data, p: data.funding_rate(p.symbol))),
    "data.spot": Method(One, reading(lambda data, p: data.spot_price(p.symbol))),
    "data.mark": Method(One, reading(lambda data, p: data.mark_price(p.symbol))),
    "data.trades": Method(Newest, reading(lambda data, p: data.trades(p.symbol, p.limit))),
    "data.liquidations": Method(Newest, reading(lambda data, p: data.liquidation_trades(p.symbol, p.limit))),
    "data.forced": Method(Newest, reading(lambda data, p: data.force_orders(p.symbol, p.limit))),
    "data.stats": Method(Nothing, stats),
    "scan": Method(Scanning, scan_all),
}
