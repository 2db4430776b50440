"""The history a feed starts from: asked for once, piece by piece, while live frames are applied already."""

from collections.abc import Awaitable, Callable

import trio

from actors._feed_seat import FeedSeat
from actors._market_rest import APPLIED, MarketRest
from engine.kernel import Backoff, Entropy
from engine.model import DataClass
from engine.venues.base import RateLimited, VenueError

TRADES = "trades"


class History:
    """One request at a time. What is in stays in: after a failure, a restart or a move only what is missing is asked for."""

    def __init__(self, seat: FeedSeat, rest: MarketRest, entropy: Entropy, changed: Callable[[int], None]) -> None:
        self._seat = seat
        self._rest = rest
        self._entropy = entropy
        self._changed = changed
        self._backoff = Backoff(min_s=0.25, max_s=10.0, jitter=0.5)
        self._again = trio.Event()

    @property
    def bars_missing(self) -> bool:
        """Whether an interval's history is still to come."""
        state = self._seat.state
        return DataClass.BARS in self._seat.classes and not state.loaded.issuperset(state.bars)

    def venue_is_back(self) -> None:
        """Do not wait out the pause after a failure."""
        self._again.set()

    async def load(self) -> None:
        """Until everything is in, however long that takes."""
        failures = 0
        while self._missing():
            try:
                await self._load_missing()
            except VenueError as error:
                failures += 1
                await self._pause(error, failures)

    def _missing(self) -> list[str]:
        state, classes = self._seat.state, self._seat.classes
        wanted = [*state.bars] if DataClass.BARS in classes else []
        wanted += [TRADES] if DataClass.TRADES in classes else []
        return [name for name in wanted if name not in state.loaded]

    async def _load_missing(self) -> None:
        for name in self._missing():
            await self._load(name)

    async def _load(self, name: str) -> None:
        state = self._seat.state
        ask: Awaitable[None]
        if name == TRADES:
            ask, data_class = self._rest.take_history_of_trades(), DataClass.TRADES
        else:
            ask, data_class = self._rest.take_bars(name, history=True), DataClass.BARS
        await ask
        if name in state.bars and name not in self._seat.whole_ms:
            self._seat.bars_given_up[name] = state.bars[name].missing()
        state.loaded.add(name)
        self._changed(int(APPLIED[data_class]))

    async def _pause(self, error: VenueError, failures: int) -> None:
        asked_for_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
        self._again = trio.Event()
        with trio.move_on_after(max(asked_for_s, self._backoff.delay_s(failures, self._entropy))):
            await self._again.wait()
