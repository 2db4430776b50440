"""Binance USD-M's frames as recorded, a client whose network is a function, and the recorded replies."""

import gzip
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.kernel import Clock, Entropy, SystemClock
from engine.model import DataClass, MarketState
from engine.net import FunctionTransport, HttpReply, HttpRequest
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue

SYMBOL = "BTCUSDT"
T0 = 1_790_000_040_000 - 1_790_000_040_000 % 86_400_000
MINUTE = 60_000
_RECORDED = "binance_usdm"


def wrapped(topic: str, data: Any) -> bytes:
    """A frame of one of the symbol's streams."""
    return msgspec.json.encode({"stream": f"{SYMBOL.lower()}@{topic}", "data": data})


def levels(side: dict[float, float] | list[tuple[float, float]]) -> list[list[str]]:
    pairs = side.items() if isinstance(side, dict) else side
    return [[f"{price:.2f}", f"{amount:.3f}"] for price, amount in pairs]


def depth(
    topic: str = "depth20@100ms",
    *,
    u: int,
    pu: int = 0,
    first: int | None = None,
    at: int = T0,
    bids: Any = ((60000.0, 1.5), (59999.9, 2.0)),
    asks: Any = ((60000.1, 0.5), (60000.2, 3.0)),
) -> bytes:
    data = {"e": "depthUpdate", "E": at, "T": at - 3, "s": SYMBOL, "ps": SYMBOL, "U": u if first is None else first}
    return wrapped(topic, data | {"u": u, "pu": pu, "b": levels(bids), "a": levels(asks), "st": 1})


def trade(a: int, *, price: str = "60000.10", amount: str = "0.023", maker: bool = False, at: int = T0) -> bytes:
    data = {"e": "aggTrade", "E": at + 5, "a": a, "s": SYMBOL, "p": price, "q": amount, "nq": amount}
    return wrapped("aggTrade", data | {"f": 2 * a, "l": 2 * a + 1, "T": at, "m": maker, "st": 1})


def kline(
    open_ms: int, *, at: int, volume: str = "1.000", closed: bool = False, interval: str = "1m", count: int = 7
) -> bytes:
    bar = {"t": open_ms, "T": open_ms + MINUTE - 1, "s": SYMBOL, "i": interval, "f": 100, "L": 106}
    bar |= {"o": "60000.10", "c": "60001.20", "h": "60002.30", "l": "59999.90", "v": volume, "n": count}
    bar |= {"x": closed, "q": "60000.55", "V": "0.400", "Q": "24000.10", "B": "0"}
    return wrapped(f"kline_{interval}", {"e": "kline", "E": at, "s": SYMBOL, "k": bar})


def mark(at: int, *, price: str = "60000.12345678", rate: str = "0.00010000", due: int = T0 + 3_600_000) -> bytes:
    data = {"e": "markPriceUpdate", "E": at, "s": SYMBOL, "p": price, "ap": price, "P": "60011.10", "i": "60001.23"}
    return wrapped("markPrice@1s", data | {"r": rate, "T": due, "st": 1})


def quote(u: int, *, bid: str = "60000.10", ask: str = "60000.20", at: int = T0) -> bytes:
    data = {"e": "bookTicker", "u": u, "s": SYMBOL, "ps": SYMBOL, "b": bid, "B": "31.21", "a": ask, "A": "40.66"}
    return wrapped("bookTicker", data | {"T": at, "E": at, "st": 1})


def forced(at: int, *, side: str = "SELL", price: str = "59910.00") -> bytes:
    order = {"s": SYMBOL, "S": side, "o": "LIMIT", "f": "IOC", "q": "0.014", "p": price, "ap": "59940.50"}
    order |= {"X": "FILLED", "l": "0.004", "z": "0.014", "T": at, "ps": SYMBOL, "st": 1}
    return wrapped("forceOrder", {"e": "forceOrder", "E": at + 2, "o": order})


def state(*intervals: str, kept: int = 500) -> MarketState:
    bounds_s = dict.fromkeys(DataClass, 5.0)
    return MarketState("binance:BTCUSDT", bounds_s=bounds_s, intervals=intervals or ("1m",), bars_kept=kept)


# ── REST ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def venue_over(
    answer: Callable[[HttpRequest], Awaitable[HttpReply]], *, clock: Clock | None = None, **changes: Any
) -> BinanceUsdmVenue:
    """A venue whose network, spot host included, is `answer`."""
    return BinanceUsdmVenue(
        "binance",
        BinanceUsdmSettings(http_url="http://futures", spot_url="http://spot", **changes),
        clock=clock or SystemClock(),
        entropy=Entropy(1),
        transport=FunctionTransport(answer),
    )


def reply(body: Any, status: int = 200, **headers: str) -> HttpReply:
    """A JSON answer; underscores in names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpReply(status, named, msgspec.json.encode(body))


# ── recordings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def recorded(name: str) -> Iterator[dict[str, Any]]:
    """The lines of a recorded file; skips the test where the recordings are not."""
    folder = os.environ.get("TRADENODE_TEST_DATA") or str(Path(__file__).parents[3] / "shared" / "data")
    path = Path(folder) / _RECORDED / name
    if not path.exists():
        pytest.skip(f"no recorded data: {path} is not there; TRADENODE_TEST_DATA names the folder")
    with gzip.open(path) as lines:
        for line in lines:
            yield msgspec.json.decode(line)
