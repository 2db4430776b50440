"""WebSocket frames as a server sends them (RFC 6455 §5.2): final and unmasked.

Payloads are ready-made UTF-8 bytes that go to many sockets, and some faults send text that is not UTF-8; both are why
these few lines stand here instead of a call to a library that encodes a `str` for each socket.
"""

import struct

__all__ = ["BINARY", "TEXT", "frame"]

TEXT = 0x1
BINARY = 0x2

_FINAL = 0x80
_SHORT = 125
_TWO_BYTES = 126
_EIGHT_BYTES = 127


def frame(opcode: int, payload: bytes) -> bytes:
    """`payload` in one frame."""
    size = len(payload)
    if size <= _SHORT:
        return struct.pack("!BB", _FINAL | opcode, size) + payload
    if size <= 0xFFFF:
        return struct.pack("!BBH", _FINAL | opcode, _TWO_BYTES, size) + payload
    return struct.pack("!BBQ", _FINAL | opcode, _EIGHT_BYTES, size) + payload
