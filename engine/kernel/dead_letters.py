"""Messages nobody will handle: counted, the newest kept, logged once per burst."""

from __future__ import annotations

from collections import deque

import msgspec
import trio
from loguru import logger

from engine.kernel.clock import Clock
from engine.kernel.message import Message

_KEPT = 1000
_BURST_S = 10.0


class DeadLetter(msgspec.Struct, frozen=True):
    """A message, where it was going and why it did not get there."""

    path: str
    message: Message
    reason: str
    at_ms: int


class DeadLetters:
    """`count` is of all, `recent` holds the newest 1,000."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.count = 0
        self.recent: deque[DeadLetter] = deque(maxlen=_KEPT)
        self._logged_at_s = float("-inf")
        self._logged_count = 0

    def bury(self, path: str, message: Message, reason: str) -> None:
        """Record one; at most one log line per 10 s, which says how many there were."""
        self.count += 1
        self.recent.append(DeadLetter(path, message, reason, self._clock.wall_ms()))
        now_s = trio.current_time()
        if now_s - self._logged_at_s >= _BURST_S:
            several = self.count - self._logged_count
            logger.bind(actor=path).warning(
                "dead letter: {} to {}: {} ({} since the last line)", type(message).__name__, path, reason, several
            )
            self._logged_at_s, self._logged_count = now_s, self.count
