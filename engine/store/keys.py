"""Keys as bytes that sort in the order they are read.

A key is a string, an unsigned integer, or a tuple of both. Strings are UTF-8, so they sort by code point; integers are
eight bytes, big end first; inside a tuple a string ends with a zero byte, which sorts before every continuation of it.
A key without its last parts is therefore a prefix of all keys that begin with the same parts.
"""

from collections.abc import Callable
from typing import Any

from engine.store.errors import CommitRefused

__all__ = ["MAX_KEY_BYTES", "KeyCodec"]

MAX_KEY_BYTES = 500  # LMDB takes 511; iteration needs to append a byte
MAX_INTEGER = (1 << 64) - 1
INTEGER_BYTES = 8


def _text(value: Any) -> bytes:
    if type(value) is not str and not isinstance(value, str):
        raise CommitRefused(f"key: expected a string, got {value!r}")
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise CommitRefused(f"key: expected text that is valid UTF-8, got {value!r}") from error
    if b"\0" in data:
        raise CommitRefused(f"key: expected text without a zero byte, got {value!r}")
    return data


def _integer(value: Any) -> bytes:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_INTEGER:
        raise CommitRefused(f"key: expected an integer from 0 to 2**64-1, got {value!r}")
    return value.to_bytes(INTEGER_BYTES, "big")


_ENCODERS: dict[type, Callable[[Any], bytes]] = {str: _text, int: _integer}


class KeyCodec:
    """Turns the keys of one table into bytes and back. `KeyCodec(str)` has plain keys, `KeyCodec(str, int)` tuples."""

    __slots__ = ("_encoders", "_last", "parts")

    def __init__(self, *parts: type) -> None:
        if not parts or any(part not in _ENCODERS for part in parts):
            raise TypeError(f"a key is made of str and int, not {parts}")
        self.parts = parts
        self._encoders = tuple(_ENCODERS[part] for part in parts)
        self._last = len(parts) - 1

    def encode(self, key: Any) -> bytes:
        """The bytes of a whole key; `CommitRefused` for anything else."""
        if self._last == 0:
            data = self._encoders[0](key)
        else:
            if not isinstance(key, tuple) or len(key) != len(self.parts):
                raise CommitRefused(f"key: expected a tuple of {len(self.parts)}, got {key!r}")
            data = self._join(key)
        if not 0 < len(data) <= MAX_KEY_BYTES:
            raise CommitRefused(f"key: expected 1 to {MAX_KEY_BYTES} bytes, got {len(data)}")
        return data

    def prefix(self, key: Any) -> bytes:
        """What all keys that begin with `key` begin with: leading parts of a tuple, or the start of a string."""
        if self._last == 0:
            return self._encoders[0](key)
        if not isinstance(key, tuple) or len(key) > len(self.parts):
            raise CommitRefused(f"prefix: expected a tuple of at most {len(self.parts)}, got {key!r}")
        return self._join(key)

    def decode(self, data: bytes) -> Any:
        """The key that `encode` made `data` from; ValueError if it made no such thing."""
        at, values = 0, []
        for position, part in enumerate(self.parts):
            if part is int:
                end = after = at + INTEGER_BYTES
            elif position == self._last:
                end = after = len(data)
            else:
                end = data.index(b"\0", at)
                after = end + 1
            raw = data[at:end]
            if part is int and len(raw) != INTEGER_BYTES:
                raise ValueError(f"{len(raw)} bytes where an integer has {INTEGER_BYTES}")
            values.append(int.from_bytes(raw, "big") if part is int else raw.decode())
            at = after
        if at != len(data):
            raise ValueError(f"a key of {len(data)} bytes does not fit {self.parts}")
        return values[0] if self._last == 0 else tuple(values)

    def _join(self, key: tuple[Any, ...]) -> bytes:
        data = b""
        for position, part in enumerate(key):
            data += self._encoders[position](part)
            if self.parts[position] is str and position != self._last:
                data += b"\0"
        return data
