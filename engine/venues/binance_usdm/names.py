"""Names: streams of an instrument, the stream a frame is of, the spot market beside a perpetual."""

import re

from engine.model import DataClass
from engine.venues.binance_usdm.settings import BinanceUsdmSettings

PUBLIC = "public"
MARKET = "market"
ROUTES = {
    PUBLIC: frozenset((DataClass.BOOK, DataClass.TICKER)),
    MARKET: frozenset((DataClass.TRADES, DataClass.BARS, DataClass.MARK, DataClass.FORCED)),
}

HEAD = b'{"stream":"'
_HEAD_BYTES = len(HEAD)
_KEY = b'"stream"'
_NAME_BYTES = 120
_BUNDLE = re.compile(r"1(?:0{3,6}|M)(?=[A-Z])")
_MILLION = 1_000_000.0


def stream_of(frame: bytes) -> bytes | None:
    """Stream name of a wrapped message without parsing it; None for any other message.

    A quote inside a JSON string is escaped, so a key with its colon cannot be met inside a value.
    """
    if frame.startswith(HEAD):
        start = _HEAD_BYTES
    else:
        start = _search(frame)
        if start < 0:
            return None
    end = frame.find(b'"', start, start + _NAME_BYTES)
    return frame[start:end] if end > 0 else None


def _search(frame: bytes) -> int:
    """Where the stream's name starts when its key is not first or has blanks about it; -1 when nowhere."""
    key = frame.find(_KEY)
    while key >= 0:
        rest = key + len(_KEY)
        quote = frame.find(b'"', rest, rest + 20)
        if quote >= 0 and frame[rest:quote].strip() == b":":
            return quote + 1
        key = frame.find(_KEY, rest)
    return -1


def streams(
    symbol: str, classes: frozenset[DataClass], intervals: tuple[str, ...], settings: BinanceUsdmSettings
) -> tuple[str, ...]:
    """The streams that bring `classes` of one instrument."""
    name = symbol.lower()
    found = {
        DataClass.BOOK: (f"{name}@{_book_topic(settings)}",),
        DataClass.TICKER: (f"{name}@bookTicker",),
        DataClass.TRADES: (f"{name}@aggTrade",),
        DataClass.BARS: tuple(f"{name}@kline_{interval}" for interval in intervals),
        DataClass.MARK: (f"{name}@markPrice" + ("@1s" if settings.mark_speed == "1s" else ""),),
        DataClass.FORCED: (f"{name}@forceOrder",),
    }
    return tuple(stream for data_class, names in found.items() if data_class in classes for stream in names)


def _book_topic(settings: BinanceUsdmSettings) -> str:
    """250 ms is what comes when no speed is named."""
    topic = "depth20" if settings.book == "depth20" else "depth"
    return topic if settings.book_speed == "250ms" else f"{topic}@{settings.book_speed}"


def spot_names(symbol: str) -> tuple[tuple[str, float], ...]:
    """Where a contract's spot price may be found, best first: the market's name, and how many of its coins the contract counts.

    Where a coin is worth little the contract is on a bundle of coins and says so in front: 1000PEPEUSDT is on 1000 PEPE.
    Some spot markets are on the same bundle and are named alike (1000SATSUSDT); the others are on the single coin. A future
    says after its pair when it is delivered (BTCUSDT_261225). Whether there is a market at all is for the venue's listing to say.
    """
    pair = symbol.partition("_")[0]
    bundle = _BUNDLE.match(pair)
    if bundle is None:
        return ((pair, 1.0),)
    text = bundle.group()
    return (pair, 1.0), (pair[len(text) :], _MILLION if text == "1M" else float(text))
