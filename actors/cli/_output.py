"""What commands print: one line of JSON, or text with columns."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from engine.model import plain

Column = tuple[str, Callable[[Any], Any]]


def say_json(value: Any) -> None:
    """One line, so that the last line of a program is always a whole value."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=str).decode() + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    sys.stderr.write(text.rstrip("\n") + "\n")
    sys.stderr.flush()


def table(rows: Sequence[Any], columns: Sequence[Column]) -> str:
    """Rows under headers; columns of numbers are set flush right."""
    if not rows:
        return "(none)"
    cells = [[cell(value_of(row)) for _, value_of in columns] for row in rows]
    heads = [name for name, _ in columns]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    right = [all(is_number(row[i]) for row in cells) for i in range(len(columns))]
    return "\n".join(_line(line, widths, right) for line in [heads, *cells])


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = [
        text.rjust(width) if flush else text.ljust(width)
        for text, width, flush in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(parts).rstrip()


def is_number(text: str) -> bool:
    return text in ("", "-") or text.replace(".", "", 1).replace("-", "", 1).replace(",", "").isdigit()


def cell(value: Any) -> str:
    """A value on one line. What a venue or a robot said must not reach the terminal as a command to it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:.8g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(cell, value)) or "-"
    return "".join(char if char.isprintable() else " " for char in str(value))


def time_of(at_ms: int | None) -> str:
    """UTC to the second."""
    if not at_ms:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def key(name: str) -> Callable[[Any], Any]:
    """A column that shows a field as it is."""
    return lambda row: row.get(name)


def amount(name: str) -> Callable[[Any], Any]:
    """A column that shows a sum of money or a size without an exponent."""
    return lambda row: None if row.get(name) is None else plain(Decimal(row[name]))


def pairs(value: dict[str, Any], indent: str = "") -> str:
    """Names and values one below the other; what is nested is set in."""
    lines = []
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            lines += [f"{indent}{name}:", pairs(inner, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {cell(inner)}")
    return "\n".join(lines)
