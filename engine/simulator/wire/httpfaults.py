"""The faults that strike HTTP requests and their replies, whatever the venue."""

import trio

from engine.kernel import Entropy
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import Delay, Drop, GarbageFrame, LoseReply, LoseRequest
from engine.simulator.wire.garbage import garbage_body
from engine.simulator.wire.http import HttpReply

__all__ = ["HttpFaults", "NoAnswer"]


class NoAnswer(Exception):
    """A fault wants this request left without an answer, on a closed connection or on an open one."""

    def __init__(self, *, close: bool) -> None:
        super().__init__("no answer")
        self.close = close


class HttpFaults:
    """What may go wrong with one request, before it is executed and after."""

    def __init__(self, board: FaultBoard, entropy: Entropy) -> None:
        self._board = board
        self._entropy = entropy

    def before(self, site: Site) -> None:
        """Raises `NoAnswer` where the request is to be lost on its way."""
        if self._board.take(Drop, site):
            raise NoAnswer(close=True)
        lost = self._board.take(LoseRequest, site)
        if lost is not None:
            raise NoAnswer(close=lost.close)

    async def after(self, site: Site, reply: HttpReply) -> HttpReply:
        """The reply as it leaves, perhaps late or spoilt. Raises `NoAnswer` where it is to be lost."""
        lost = self._board.take(LoseReply, site)
        if lost is not None:
            raise NoAnswer(close=lost.close)
        delay = self._board.take(Delay, site)
        if delay is not None:
            await trio.sleep(max(0.0, delay.delay_s + delay.jitter_s * self._entropy.uniform(-1, 1)))
        garbage = self._board.take(GarbageFrame, site)
        if garbage is not None:
            return HttpReply(reply.status, garbage_body(garbage.variant, self._entropy, site.venue))
        return reply
