"""A log record as text: one line for a person, one line of JSON for a machine. Neither ever raises or shows a secret.

Secrets hide by type: a `Secret` in a message, an argument, a bound value or deep inside one prints as `***` by itself.
"""

import traceback
from datetime import UTC
from typing import TYPE_CHECKING, Any

import msgspec

from engine.settings import HIDDEN, Secret

if TYPE_CHECKING:
    from loguru import Record

MESSAGE_CHARS = 8_000
VALUE_CHARS = 1_000
TRACEBACK_CHARS = 32_000

# What a venue or a user wrote may hold escape codes and line ends: on a terminal they are shown, not obeyed.
_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))}
_CONTROLS_BUT_LINES = {code: text for code, text in _CONTROLS.items() if chr(code) not in "\n\t"}
_COLOURS = {"DEBUG": 34, "SUCCESS": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 41}
_ACTOR_COLOUR = 36


def terminal_line(record: "Record", *, colour: bool) -> str:
    """Time, level, actor, order and message, then what else was bound; a traceback follows on its own lines."""
    extra = dict(record["extra"])
    actor, order = extra.pop("actor", None), extra.pop("order_id", None)
    level = record["level"].name
    parts = [
        record["time"].time().isoformat("milliseconds"),
        _painted(f"{level:<8}", _COLOURS.get(level), colour),
        _painted(_plain(str(actor)), _ACTOR_COLOUR, colour) if actor else "",
        f"order={_plain(_text(order))}" if order else "",
        _plain(_cut(record["message"], MESSAGE_CHARS)),
        *(f"{_plain(str(key))}={_plain(_text(value))}" for key, value in extra.items()),
    ]
    return " ".join(part for part in parts if part) + "\n" + _traceback(record).translate(_CONTROLS_BUT_LINES)


def json_line(record: "Record") -> bytes:
    """One JSON object and a line end: at (UTC), level, actor, order_id, message, from, and the rest of what was bound."""
    extra = dict(record["extra"])
    line = {
        "at": record["time"].astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": record["level"].name,
        "actor": extra.pop("actor", None),
        "order_id": extra.pop("order_id", None),
        "message": _cut(record["message"], MESSAGE_CHARS),
        "from": f"{record['name']}:{record['line']}",
    }
    if extra:
        line["extra"] = extra
    if record["exception"]:
        line["exception"] = _traceback(record)
    return _encoded(line) + b"\n"


def _encoded(line: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(line, enc_hook=_text)
    except (
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
    ):  # an odd key, half a character, a huge number, a circle
        whole = {key: _text(value).encode(errors="backslashreplace").decode() for key, value in line.items()}
        return msgspec.json.encode(whole)


def _traceback(record: "Record") -> str:
    caught = record["exception"]
    if caught is None or caught.type is None:
        return ""
    lines = traceback.format_exception(caught.type, caught.value, caught.traceback)
    return _cut("".join(lines), TRACEBACK_CHARS)


def _text(value: Any) -> str:
    """Any value as bounded text, even one whose own `repr` is broken."""
    if isinstance(value, Secret):
        return HIDDEN
    try:
        return _cut(value if isinstance(value, str) else repr(value), VALUE_CHARS)
    except Exception as error:  # noqa: BLE001 - someone's repr is at fault, and a log call must not be where it shows
        return f"<{type(value).__name__} without a repr: {type(error).__name__}>"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more)"


def _plain(text: str) -> str:
    return text.translate(_CONTROLS)


def _painted(text: str, code: int | None, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text
