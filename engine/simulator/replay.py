"""Recorded bars from a file: one JSON line a symbol and interval, `{symbol, interval, fetched_at_s, rows}`, rows as
Binance's klines return them. Plain or gzip."""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.simulator.prices import OhlcBar

__all__ = ["Recording", "ReplayError", "load_recording"]

FIELDS = ("openTime", "open", "high", "low", "close", "volume", "closeTime")
MAX_LINE_BYTES = 64 * 1024 * 1024
INTERVAL_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


class ReplayError(ValueError):
    """A recording cannot be used; says which line and field, what was expected and what came."""

    def __init__(self, path: Path, line: int, field: str, expected: str, got: object) -> None:
        super().__init__(f"{path}: line {line}: {field}: expected {expected}, got {str(got)[:80]!r}")
        self.line = line
        self.field = field


class _Line(msgspec.Struct):
    symbol: str
    interval: str
    fetched_at_s: float
    rows: msgspec.Raw


class Recording(msgspec.Struct, frozen=True):
    """Closed bars of one interval, by symbol, oldest first."""

    interval: str
    bars: dict[str, Sequence[OhlcBar]]


def load_recording(
    path: Path, symbols: Sequence[str], interval: str | None = None, *, also: Sequence[str] = ()
) -> Recording:
    """Read the bars of `symbols`, all of which must be there, and of as many of `also` as were recorded with them.

    Unless an interval is named, the one with the most symbols is taken, and of several the finest.
    Raises ReplayError for a malformed file or missing symbols, OSError for one that cannot be read.
    """
    wanted = {*symbols, *also}
    found: dict[str, dict[str, Sequence[OhlcBar]]] = {}
    for number, text in enumerate(_lines(path), start=1):
        line = _decode_line(path, number, text)
        if line.symbol in wanted and interval in (None, line.interval):
            found.setdefault(line.interval, {})[line.symbol] = _decode_rows(path, number, line)
    complete = [name for name, bars in found.items() if bars.keys() >= set(symbols)]
    if not complete:
        expected = f"bars of {', '.join(symbols or also)} in one interval" + (f" ({interval})" if interval else "")
        raise ReplayError(path, 0, "symbol", expected, sorted(found))
    best = min(complete, key=lambda name: (-len(found[name]), _interval_ms(name)))
    return Recording(best, found[best])


def _lines(path: Path) -> Sequence[bytes]:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ReplayError(path, 0, "file", "a complete gzip file", error) from error
    return [line for line in content.split(b"\n") if line.strip()]


def _decode_line(path: Path, number: int, text: bytes) -> _Line:
    if len(text) > MAX_LINE_BYTES:
        raise ReplayError(path, number, "line", f"at most {MAX_LINE_BYTES} bytes", len(text))
    try:
        return msgspec.json.decode(text, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReplayError(path, number, "line", "{symbol, interval, fetched_at_s, rows}", error) from error


def _decode_rows(path: Path, number: int, line: _Line) -> Sequence[OhlcBar]:
    try:
        rows = msgspec.json.decode(line.rows, type=list[list[Any]])
    except msgspec.DecodeError as error:
        raise ReplayError(path, number, "rows", "an array of arrays", error) from error
    bars = []
    previous = -math.inf
    for place, row in enumerate(rows):
        where = f"rows[{place}]"
        if len(row) < len(FIELDS):
            raise ReplayError(path, number, where, f"at least {len(FIELDS)} fields", f"{len(row)} fields")
        opened = _number(path, number, f"{where}.openTime", row[0])
        if opened <= previous:
            raise ReplayError(path, number, f"{where}.openTime", f"a time after {previous:.0f}", row[0])
        previous = opened
        bar = _bar(path, number, where, row)
        if _number(path, number, f"{where}.closeTime", row[6]) <= line.fetched_at_s * 1000:
            bars.append(bar)
    if not bars:
        raise ReplayError(path, number, "rows", "at least one closed bar", f"{len(rows)} rows")
    return bars


def _bar(path: Path, number: int, where: str, row: list[Any]) -> OhlcBar:
    names = FIELDS[1:5]
    values = [_number(path, number, f"{where}.{name}", row[i]) for i, name in enumerate(names, start=1)]
    bar = OhlcBar(*values)
    if not 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        raise ReplayError(path, number, where, "0 < low <= open, close <= high", values)
    return bar


def _number(path: Path, number: int, field: str, value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            result = float(value)
        except ValueError:
            result = math.nan
        if math.isfinite(result):
            return result
    raise ReplayError(path, number, field, "a finite number", value)


def _interval_ms(interval: str) -> float:
    try:
        return int(interval[:-1]) * INTERVAL_MS[interval[-1]]
    except (ValueError, KeyError, IndexError):
        return math.inf
