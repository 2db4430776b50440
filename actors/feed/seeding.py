"""The start of a book whose stream brings changes only: a snapshot by REST, to which the adapter adds what came meanwhile."""

from collections.abc import Callable

import trio

from actors.feed.rest import MarketRest
from engine.kernel import Backoff, Clock, Entropy
from engine.model import MarketState
from engine.venues.base import Applied, BookSnapshot, RateLimited, VenueError

DEPTH = 1000
ATTEMPTS = 8

Seed = Callable[[BookSnapshot, MarketState, float], Applied]


class Seeding:
    """One at a time. `failed` once the venue has answered several times and the book did not begin."""

    def __init__(self, rest: MarketRest, seed: Seed, clock: Clock, entropy: Entropy) -> None:
        self._rest = rest
        self._seed = seed
        self._clock = clock
        self._entropy = entropy
        self._backoff = Backoff(min_s=0.25, max_s=5.0, jitter=0.5)
        self.running = False  # set by whoever spawns `run`
        self.failed = False

    async def run(self, state: MarketState, seeded: Callable[[int], None]) -> None:
        """Until the book of `state` is whole, or `failed`."""
        self.failed = False
        for attempt in range(1, ATTEMPTS + 1):
            wait_s = self._backoff.delay_s(attempt, self._entropy)
            try:
                snapshot, _ = await self._rest.book(DEPTH)
                bits = self._seed(snapshot, state, self._clock.monotonic_s())
            except RateLimited as error:
                wait_s = max(wait_s, error.retry_after_s)
            except VenueError:
                pass  # the next attempt is the answer to it, and the last one is reported
            else:
                if state.book.ready:
                    seeded(int(bits))
                    break
            await trio.sleep(wait_s)
        self.failed = not state.book.ready
        self.running = False
