"""TLS on the socket of market data: one read hands out every record that is at hand.

A venue wraps nearly every message in a record of its own, and `trio.SSLStream` hands out one record a call, with several
trips through the scheduler each. Here the ciphertext is read in large pieces, and whatever it decrypts to is handed out
together. What TLS is stays the business of the `ssl` module; this only carries bytes between its buffers and the socket.

The end of the stream needs no closing alert: the framing above knows whether something was cut off.
"""

import ssl

import trio

_READ_BYTES = 65_536  # when nobody says how much
_RECORD_BYTES = 16_384  # the most that one record holds
_GOODBYE_S = 0.5
_CUT_OFF = "UNEXPECTED_EOF_WHILE_READING"  # of OpenSSL 3; before it was SSLEOFError alone


class TlsStream(trio.abc.Stream):
    """The client's side of TLS over `transport`, which it closes with itself. One task receives, one sends."""

    def __init__(self, transport: trio.abc.Stream, context: ssl.SSLContext, server_hostname: str) -> None:
        self._transport = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._writing = trio.Lock()  # who receives may have to answer: a key update, an alert
        self._ready = b""  # decrypted and not handed out yet
        self._over = False
        self._broken: Exception | None = None  # why nothing can be read or sent any more
        self._closed = False

    async def do_handshake(self) -> None:
        """Raises `ssl.SSLError` for a peer that is not who it should be, `BrokenResourceError` for one that leaves."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
            except ssl.SSLError:
                await self._say_last()  # why, in an alert
                raise
            else:
                await self._flush()
                return
            if not await self._fill(_RECORD_BYTES):
                raise trio.BrokenResourceError("the peer left during the TLS handshake")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """All that is at hand up to `max_bytes`, at least one byte; b"" at the end. A call that is cancelled takes nothing."""
        limit = _READ_BYTES if max_bytes is None else max_bytes
        if limit < 1:
            raise ValueError(f"max_bytes: expected at least 1, got {max_bytes}")
        await trio.lowlevel.checkpoint_if_cancelled()
        waited = False
        while True:
            if self._closed or not self._ready:
                self._check()
                self._ready = self._decrypt(limit)
            if self._outgoing.pending and not self._ready and not self._writing.locked():
                await self._answer()
            if self._ready or self._over:
                if not waited:
                    await trio.lowlevel.cancel_shielded_checkpoint()
                data, self._ready = self._ready[:limit], self._ready[limit:]
                return data
            self._check()
            waited = True
            await self._fill(limit)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Raises `BrokenResourceError`, `ClosedResourceError`."""
        self._check()
        async with self._writing:
            self._check()  # encrypted only now that its turn has come: a cancelled call leaves nothing for a later one to send
            try:
                if data:
                    self._tls.write(data)
            except ssl.SSLError as error:
                self._broken = error
                raise trio.BrokenResourceError(str(error)) from error
            await self._send_queued()

    async def wait_send_all_might_not_block(self) -> None:
        self._check()
        await self._transport.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Say goodbye if the peer takes it at once, and close the transport."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        try:
            if self._broken is None:
                self._queue_goodbye()
                await self._say_last()
        finally:
            await trio.aclose_forcefully(self._transport)

    # ── between the buffers and the socket ─────────────────────────────────────────────────────────────────────────────

    def _decrypt(self, limit: int) -> bytes:
        """Up to `limit` bytes of what has come; what goes wrong after them is met by the next call."""
        pieces: list[bytes] = []
        while limit > 0 and not self._over:
            try:
                piece = self._tls.read(min(limit, _RECORD_BYTES))
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                if not isinstance(error, ssl.SSLEOFError) and error.reason != _CUT_OFF:
                    self._broken = error
                    break
                piece = b""
            if not piece:
                self._over = True
            pieces.append(piece)
            limit -= len(piece)
        return b"".join(pieces)

    async def _fill(self, wanted: int) -> bool:
        """Ciphertext of about `wanted` bytes or less; False when the peer has ended the connection."""
        data = await self._transport.receive_some(max(wanted, _RECORD_BYTES))
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    async def _flush(self) -> None:
        async with self._writing:
            await self._send_queued()

    async def _send_queued(self) -> None:
        """If this is cut short the connection is over: the peer has half a record."""
        while data := self._outgoing.read():
            whole = False
            try:
                await self._transport.send_all(data)
                whole = True
            finally:
                if not whole:
                    self._broken = self._broken or ConnectionError("a write was cut short")

    async def _answer(self) -> None:
        """What the peer's records demand. A peer that is gone is met again at the next read."""
        try:
            await self._flush()
        except trio.BrokenResourceError as error:
            self._broken = self._broken or error

    # ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _queue_goodbye(self) -> None:
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            return  # there was no handshake, or the peer's own goodbye has not come: ours is on its way all the same

    async def _say_last(self) -> None:
        with trio.move_on_after(_GOODBYE_S):
            try:
                await self._flush()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # nobody is there to hear it

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the TLS stream was closed")
        if self._broken is not None:
            raise trio.BrokenResourceError(str(self._broken)) from self._broken
