"""Proof of life: heartbeats when the client asked for them, the inactivity limit when it did not."""

from collections.abc import Callable

import trio

__all__ = ["Heartbeat"]


class Heartbeat:
    """Runs beside one socket. `lost` is called, once, with True for an unanswered test_request and False for inactivity."""

    def __init__(self, *, inactivity_s: float, send: Callable[[str], None], lost: Callable[[bool], None]) -> None:
        self._inactivity_s = inactivity_s
        self._send = send
        self._lost = lost
        self._interval_s: float | None = None
        self._changed = trio.Event()
        self._heard_s = trio.current_time()
        self._silent = False
        self._unanswered = False

    def set(self, interval_s: float | None) -> None:
        """Start, change or (None) stop heartbeats."""
        self._interval_s = interval_s
        self._silent = self._unanswered = False
        self._changed.set()
        self._changed = trio.Event()

    def heard(self, method: str) -> None:
        """The client sent a request. Only `public/test` answers a test_request."""
        self._heard_s = trio.current_time()
        self._silent = False
        if method == "public/test":
            self._unanswered = False

    async def run(self) -> None:
        while True:
            if self._interval_s is None:
                until_s = self._heard_s + self._inactivity_s
            else:
                until_s = trio.current_time() + self._interval_s
            with trio.move_on_at(until_s) as wait:
                await self._changed.wait()
            if wait.cancelled_caught and not self._beat():
                return

    def _beat(self) -> bool:
        """One period is over. False when the client is given up."""
        if self._interval_s is None:
            if trio.current_time() < self._heard_s + self._inactivity_s:
                return True
            self._lost(False)
            return False
        if self._unanswered:
            self._lost(True)
            return False
        self._send("heartbeat")
        if self._silent:
            self._unanswered = True
            self._send("test_request")
        self._silent = True
        return True
