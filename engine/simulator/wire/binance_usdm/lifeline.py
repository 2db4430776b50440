"""How long a socket lives: a ping every few minutes, an end where none is answered, and an end after a day in any case."""

import math
from collections.abc import Callable

import trio

from engine.simulator.wire.binance_usdm.settings import BinanceSettings
from engine.simulator.wire.websocket import End

__all__ = ["Lifeline"]


class Lifeline:
    """Runs beside one socket. Only a pong with the payload of a ping answers it; unsolicited ones are allowed."""

    def __init__(self, settings: BinanceSettings, *, ping: Callable[[bytes], None], end: Callable[[End], None]) -> None:
        self._settings = settings
        self._ping = ping
        self._end = end
        now_s = trio.current_time()
        self._dies_at_s = now_s + settings.life_s
        self._ping_at_s = now_s + settings.ping_s
        self._due_s: dict[bytes, float] = {}  # by the payload of the ping, oldest first
        self._pings = 0

    def pong(self, payload: bytes) -> None:
        """The client answered a ping, and with it those before."""
        if payload in self._due_s:
            for earlier in list(self._due_s):
                del self._due_s[earlier]
                if earlier == payload:
                    return

    async def run(self) -> None:
        while True:
            pong_due_s = next(iter(self._due_s.values()), math.inf)
            await trio.sleep_until(min(self._dies_at_s, self._ping_at_s, pong_due_s))
            reason = self._overdue(trio.current_time())
            if reason is not None:
                self._end(reason)
                return

    def _overdue(self, now_s: float) -> End | None:
        """Why the socket is to end now, if it is; a ping goes out if it is time for one."""
        if now_s >= self._dies_at_s:
            return End.EXPIRED
        if now_s >= next(iter(self._due_s.values()), math.inf):
            return End.UNANSWERED
        if now_s >= self._ping_at_s:
            self._pings += 1
            payload = str(self._pings).encode()
            self._due_s[payload] = now_s + self._settings.pong_timeout_s
            self._ping_at_s = now_s + self._settings.ping_s
            self._ping(payload)
        return None
