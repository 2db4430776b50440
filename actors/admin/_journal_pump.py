"""A subscription to what is journalled: the journal itself is its queue.

A subscriber is a position in the journal and nothing else. Commits only wake it; what it sends it reads from the store.
So replaying what a client missed and following what happens now are one loop, there is no seam between them that could
lose or repeat an event, and a slow client costs no memory. A client that had caught up and then falls `max_lag` entries
behind, or whose next entry has left the journal, is told so and let go.
"""

from collections.abc import Awaitable, Callable

import trio

from actors import _jsonrpc as rpc
from actors.admin._topics import LAGGED, events_of
from engine.store import Store

CHUNK_ENTRIES = 64
RECHECK_S = 1.0  # a wake-up may be lost with a crash between commit and tell; the journal is looked at anyway

Put = Callable[[bytes], Awaitable[None]]


class JournalPump:
    """Sends entries from `next_seq` on. `wake` says that there may be more."""

    def __init__(
        self, subscription: str, topics: frozenset[str], store: Store, put: Put, *, next_seq: int, max_lag: int
    ) -> None:
        self._subscription = subscription
        self._topics = topics
        self._store = store
        self._put = put
        self._next_seq = next_seq
        self._max_lag = max_lag
        self._caught_up = False
        self._news = trio.Event()

    def wake(self) -> None:
        self._news.set()

    async def run(self) -> None:
        """Ends when the subscriber lags; otherwise by cancellation."""
        while True:
            self._news = trio.Event()
            if not await self._drain():
                return
            self._caught_up = True
            with trio.move_on_after(RECHECK_S):
                await self._news.wait()

    async def _drain(self) -> bool:
        """Send all there is. False when the subscriber was let go."""
        while True:
            entries = list(self._store.journal(self._next_seq, CHUNK_ENTRIES))
            if entries and entries[0].seq != self._next_seq:  # retention was faster than this subscriber
                await self._let_go(entries[0].at_ms)
                return False
            for entry in entries:
                for topic, data in events_of(entry):
                    if topic in self._topics:
                        event = rpc.Event(self._subscription, topic, entry.seq, entry.at_ms, data)
                        await self._put(rpc.encode_event(event))
                self._next_seq = entry.seq + 1
            await trio.lowlevel.checkpoint()
            if len(entries) < CHUNK_ENTRIES:
                return True
            if self._caught_up and self._store.last_seq - self._next_seq >= self._max_lag:
                await self._let_go(entries[-1].at_ms)
                return False

    async def _let_go(self, at_ms: int) -> None:
        """The last event: what comes next for this subscriber, and from where to where the journal reaches by now."""
        data = {"from_seq": self._next_seq, "first_seq": self._store.first_seq, "last_seq": self._store.last_seq}
        await self._put(rpc.encode_event(rpc.Event(self._subscription, LAGGED, None, at_ms, data)))
