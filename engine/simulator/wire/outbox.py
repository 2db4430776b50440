"""The outbound side of one socket: a bounded queue, one writing task, and the faults that act on messages.

Nothing that happens here may make another socket wait. Putting a frame never blocks; a socket whose client does not
read fills its own queue and is dropped for it, as the venue does.
"""

from collections import deque
from collections.abc import Callable

import trio

from engine.kernel import Entropy
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import Delay, Duplicate, GarbageFrame, HalfOpen, Reorder, Stall
from engine.simulator.wire.garbage import garbage_frame

__all__ = ["Outbox"]

CHUNK_BYTES = 64 * 1024
MAX_LATE_FRAMES = 1000


class Outbox:
    """Frames on their way to one client. `on_overflow` is called when the client has fallen too far behind."""

    def __init__(
        self,
        stream: trio.abc.SendStream,
        *,
        site: Site,
        board: FaultBoard,
        entropy: Entropy,
        max_bytes: int,
        on_overflow: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._site = site
        self._board = board
        self._entropy = entropy
        self._max_bytes = max_bytes
        self._on_overflow = on_overflow
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self._late: trio.Nursery | None = None
        self._late_frames = 0
        self._swapped: bytes | None = None
        self._overflowed = False

    def send(self, frame: bytes, site: Site) -> None:
        """Queue `frame`, subject to the faults in force at `site`."""
        if self._board.calm:
            self.put(frame)
            return
        garbage = self._board.take(GarbageFrame, site)
        if garbage is not None:
            frame = garbage_frame(garbage.variant, self._entropy, site.venue)
        copies = 2 if self._board.take(Duplicate, site) else 1
        delay = self._board.take(Delay, site)
        reorder = self._board.take(Reorder, site)
        for _ in range(copies):
            if delay is not None:
                self._hold(frame, delay.delay_s + delay.jitter_s * self._entropy.uniform(-1, 1), None)
            elif reorder is not None and self._swapped is None:
                self._swap(frame, reorder.hold_s)
            else:
                self.put(frame)

    def send_later(self, frame: bytes, delay_s: float, site: Site) -> None:
        """As `send`, after a while; what is sent meanwhile overtakes it."""
        self._hold(frame, delay_s, site)

    def put(self, frame: bytes) -> None:
        """Queue `frame` as it is, behind everything that waits."""
        self._append(frame)
        if self._swapped is not None:
            swapped, self._swapped = self._swapped, None
            self._append(swapped)

    async def run(self) -> None:
        """Write what is queued, for as long as the socket lives. Raises trio's resource errors when it is gone."""
        async with trio.open_nursery() as self._late:
            while True:
                await self._wake.wait()
                await self._board.until_clear(self._site, Stall, HalfOpen)
                if self._overflowed:
                    self._on_overflow()
                    await trio.sleep_forever()
                await self._write_chunk()

    async def flush(self) -> None:
        """Return once everything queued has been handed to the transport."""
        await self._idle.wait()

    async def _write_chunk(self) -> None:
        chunk = bytearray()
        while self._frames and len(chunk) < CHUNK_BYTES:
            chunk += self._frames.popleft()
        self._waiting_bytes -= len(chunk)
        if not self._frames:
            self._wake = trio.Event()
        await self._stream.send_all(chunk)
        if not self._frames:
            self._idle.set()

    def _append(self, frame: bytes) -> None:
        if self._overflowed:
            return
        if self._frames and self._waiting_bytes + len(frame) > self._max_bytes:
            self._overflow()
            return
        self._frames.append(frame)
        self._waiting_bytes += len(frame)
        self._wake.set()
        if self._idle.is_set():
            self._idle = trio.Event()

    def _overflow(self) -> None:
        """A slow client is dropped now; a stalled socket lives on and is dropped when the stall ends, for it has lost messages."""
        self._overflowed = True
        self._frames.clear()
        self._waiting_bytes = 0
        self._wake.set()
        if not (self._board.holds(Stall, self._site) or self._board.holds(HalfOpen, self._site)):
            self._on_overflow()

    def _hold(self, frame: bytes, delay_s: float, site: Site | None) -> None:
        if self._late is None or self._late_frames >= MAX_LATE_FRAMES:
            self._overflow()
            return
        self._late_frames += 1
        self._late.start_soon(self._put_later, frame, delay_s, site)

    async def _put_later(self, frame: bytes, delay_s: float, site: Site | None) -> None:
        """Put the frame after a while; with a `site` the faults of then apply."""
        await trio.sleep(max(0.0, delay_s))
        self._late_frames -= 1
        if site is None:
            self.put(frame)
        else:
            self.send(frame, site)

    def _swap(self, frame: bytes, hold_s: float) -> None:
        self._swapped = frame
        if self._late is not None:
            self._late.start_soon(self._unswap, frame, hold_s)

    async def _unswap(self, frame: bytes, hold_s: float) -> None:
        await trio.sleep(hold_s)
        if self._swapped is frame:
            self._swapped = None
            self._append(frame)
