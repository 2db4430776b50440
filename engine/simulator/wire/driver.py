"""Lets the venue live: time passes in it because somebody pushes it, and wakes up for what comes next."""

from typing import Protocol

import trio

from engine.simulator.wire.clock import VenueClock

__all__ = ["Driver", "Moving"]

MIN_NAP_S = 0.001
MAX_NAP_S = 1.0


class Moving(Protocol):
    """A venue in which time passes."""

    def advance(self, now_ms: int) -> None: ...

    def next_due_ms(self) -> int: ...


class Driver:
    """The one task that calls `advance`."""

    def __init__(self, venue: Moving, clock: VenueClock) -> None:
        self._venue = venue
        self._clock = clock
        self._planned_ms = 0
        self._nudge = trio.Event()

    def nudge(self) -> None:
        """Something may have become due earlier than it was: look again if so."""
        if self._venue.next_due_ms() < self._planned_ms:
            self._nudge.set()

    async def run(self) -> None:
        while True:
            self._venue.advance(self._clock.now_ms())
            self._planned_ms = self._venue.next_due_ms()
            nap_s = (self._planned_ms - self._clock.now_ms()) / 1000
            self._nudge = trio.Event()
            with trio.move_on_after(min(MAX_NAP_S, max(MIN_NAP_S, nap_s))):
                await self._nudge.wait()
