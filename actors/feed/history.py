"""The history a feed starts from: asked for once, piece by piece, while live frames are applied already."""

from collections.abc import Awaitable, Callable

import trio

from actors.feed.rest import APPLIED, MarketRest, trade_columns
from actors.feed.seat import FeedSeat
from actors.messages import ask_market
from engine.kernel import Backoff, Clock, Entropy
from engine.model import DataClass
from engine.venues.base import PublicRest, RateLimited, VenueError

TRADES = "trades"
_LOOK_S = 0.25


class History:
    """One request at a time, which may wait long for its turn: nobody waits for it.

    What is in stays in: after a failure, a restart or a move only what is missing is asked for. An answer is written when
    it comes, even if the incarnation that asked has ended meanwhile, and until then nobody asks for the same again.
    """

    def __init__(
        self, seat: FeedSeat, rest: MarketRest, clock: Clock, entropy: Entropy, changed: Callable[[int], None]
    ) -> None:
        self._seat = seat
        self._rest = rest
        self._clock = clock
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
        while missing := self._missing():
            wanted = [name for name in missing if name not in self._seat.loading]
            try:
                for name in wanted:
                    await self._load(name)
            except VenueError as error:
                failures += 1
                await self._pause(error, failures)
            if not wanted:
                await trio.sleep(_LOOK_S)  # somebody before us has asked

    def _missing(self) -> list[str]:
        state, classes = self._seat.state, self._seat.classes
        wanted = [*state.bars] if DataClass.BARS in classes else []
        wanted += [TRADES] if DataClass.TRADES in classes else []
        return [name for name in wanted if name not in state.loaded]

    async def _load(self, name: str) -> None:
        """Raises `VenueError`."""
        write = self._trades if name == TRADES else self._bars_of(name)

        async def ask(rest: PublicRest) -> None:
            self._seat.loading.add(name)
            try:
                began_s = self._clock.monotonic_s()
                data_class = await write(rest)
            finally:
                self._seat.loading.discard(name)
            self._rest.touch(data_class, began_s)
            self._seat.state.loaded.add(name)
            self._changed(int(APPLIED[data_class]))

        seat = self._seat
        timeout_s = seat.settings.history_timeout_s
        await ask_market(seat.session, f"{seat.symbol} history {name}", ask, timeout_s=timeout_s, history=True)

    async def _trades(self, rest: PublicRest) -> DataClass:
        trades = self._seat.state.trades
        trades.merge(trade_columns(await rest.trades(self._seat.symbol, trades.capacity, history=True)))
        return DataClass.TRADES

    def _bars_of(self, interval: str) -> Callable[[PublicRest], Awaitable[DataClass]]:
        bars = self._seat.state.bars[interval]

        async def write(rest: PublicRest) -> DataClass:
            oldest_ms, now_ms = self._rest.window(bars)
            bars.merge(await rest.bars(self._seat.symbol, interval, oldest_ms, now_ms, history=True))
            if interval not in self._seat.whole_ms:
                self._seat.bars_given_up[interval] = bars.missing()
            return DataClass.BARS

        return write

    async def _pause(self, error: VenueError, failures: int) -> None:
        asked_for_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
        self._again = trio.Event()
        with trio.move_on_after(max(asked_for_s, self._backoff.delay_s(failures, self._entropy))):
            await self._again.wait()
