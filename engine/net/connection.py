"""What a WebSocket connection is to its user, whichever library is behind it."""

from typing import Protocol

import msgspec


class WebSocketLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of one connection. A full-depth snapshot of a busy book is about 100 kB."""

    max_message_bytes: int = 4 * 1024 * 1024
    open_timeout_s: float = 10.0
    pong_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    send_timeout_s: float = 5.0


class Connection(Protocol):
    """An open connection. Every method raises a `WebSocketError` once it is over."""

    async def receive(self) -> bytes:
        """Payload of the next message, text or binary, unparsed."""

    async def receive_many(self) -> list[bytes]:
        """At least one message, and all that came with it in the same read, in order."""

    async def send(self, payload: bytes | str) -> None:
        """Send one text message; bytes are UTF-8 text already encoded."""

    async def ping(self) -> None:
        """Ask the peer for a sign of life and wait for it, while another task receives. Raises `Disconnected` when none comes
        within the deadline: a peer that is gone without a word keeps a connection open for ever."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closing handshake within its deadline, then close the stream in any case. Twice is once."""
