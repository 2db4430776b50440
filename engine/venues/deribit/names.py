"""Names: instruments, channels, chart resolutions."""

from engine.model import Instrument, InstrumentKind

# Interval → the chart resolution it is read from, and how many of those make one bar (Deribit has no four-hour bars).
RESOLUTIONS = {"1m": ("1", 1), "5m": ("5", 1), "15m": ("15", 1), "1h": ("60", 1), "4h": ("120", 2), "1d": ("1D", 1)}
INTERVALS = {resolution: interval for interval, (resolution, _) in RESOLUTIONS.items()}
BAR_4H_MS = 14_400_000

NO_MORE = (None, "", "none", 0)  # what stands where a continuation would, on the last page

_CHANNEL_KEY = b'"channel":"'
_HEAD_BYTES = 120  # the key stands within the first hundred bytes of every recorded message


def channel_of(frame: bytes) -> bytes | None:
    """Channel name of a subscription message without parsing it; None for any other message.

    A quote inside a JSON string is escaped, so the key cannot be met inside a value.
    """
    start = frame.find(_CHANNEL_KEY, 0, _HEAD_BYTES)
    if start < 0:
        start = _search(frame)
        if start < 0:
            return None
    else:
        start += len(_CHANNEL_KEY)
    end = frame.find(b'"', start, start + 200)
    return frame[start:end] if end > 0 else None


def _search(frame: bytes) -> int:
    """Where the channel's name starts when the key is late in the message or has blanks around its colon; -1 when nowhere."""
    key = frame.find(b'"channel"')
    if key < 0:
        return -1
    rest = key + len(b'"channel"')
    quote = frame.find(b'"', rest, rest + 20)
    return quote + 1 if quote >= 0 and frame[rest:quote].strip() == b":" else -1


def channels(symbol: str, intervals: tuple[str, ...], book_interval: str) -> tuple[str, ...]:
    """Every public channel of one instrument: book, ticker, trades and a chart per interval."""
    return (
        book_channel(symbol, book_interval),
        f"ticker.{symbol}.{_at_least_100ms(book_interval)}",
        f"trades.{symbol}.{_at_least_100ms(book_interval)}",
        *(f"chart.trades.{symbol}.{RESOLUTIONS[interval][0]}" for interval in intervals),
    )


def book_channel(symbol: str, book_interval: str) -> str:
    return f"book.{symbol}.{book_interval}"


def _at_least_100ms(interval: str) -> str:
    return "100ms" if interval == "raw" else interval


def symbol_of(channel: str) -> str:
    """The instrument in a channel name, empty when it has none."""
    parts = channel.split(".")
    if parts[0] == "chart" and len(parts) == 4:
        return parts[2]
    return parts[1] if len(parts) >= 3 and parts[0] in ("book", "ticker", "trades") else ""


def settlement_currency(symbol: str) -> str:
    """Currency of margin and profit: the base of an inverse contract, the quote of a linear one."""
    head = symbol.partition("-")[0]
    base, _, quote = head.partition("_")
    return quote or base


def label_currencies(instrument: Instrument) -> tuple[str, ...]:
    """The currencies under which a label query may know an order: its settlement currency; for spot either side of the pair."""
    if instrument.kind is InstrumentKind.SPOT:
        return (instrument.base, instrument.quote)
    return (instrument.settlement,)
