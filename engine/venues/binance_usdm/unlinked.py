"""Events of orders that may have come from a conditional order of ours.

A triggered condition becomes an order under another id and perhaps another name, and which of the two events comes first is
nobody's promise. A fill that is once stored as a stranger's stays one. So events of a stranger's order that is just what a
condition of ours will be are kept back until the link is known, or until so much of the stream's own time has passed that
there is none.
"""

import msgspec

from engine.model import Side, order_id_of
from engine.venues.binance_usdm.account_wire import OrderEventData
from engine.venues.binance_usdm.memory import AccountMemory

HOLD_MS = 3_000
MOST_HELD = 500


class Held(msgspec.Struct, frozen=True):
    """One event of an order; `at_ms` is the venue's transaction time, `event_ms` when it told."""

    data: OrderEventData
    at_ms: int
    event_ms: int


class Unlinked:
    """Keeps events back, in order."""

    def __init__(self, memory: AccountMemory) -> None:
        self._memory = memory
        self._held: list[Held] = []

    def hold(self, held: Held) -> bool:
        """Whether it is kept back."""
        data = held.data
        if order_id_of(data.c) is not None or self._memory.is_linked(data.s, data.i):
            return False
        if len(self._held) >= MOST_HELD or not self._may_be_ours(data):
            return False
        self._held.append(held)
        return True

    def released(self, now_ms: int) -> list[Held]:
        """What need not be kept back any longer."""
        free = [held for held in self._held if self._is_free(held, now_ms)]
        if free:
            self._held = [held for held in self._held if held not in free]
        return free

    def _is_free(self, held: Held, now_ms: int) -> bool:
        data = held.data
        return self._memory.is_linked(data.s, data.i) or not self._may_be_ours(data) or now_ms - held.event_ms > HOLD_MS

    def _may_be_ours(self, data: OrderEventData) -> bool:
        return self._memory.may_come_from_one(data.s, Side(data.S.lower()), data.q)
