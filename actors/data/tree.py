"""The small tree behind a manager without a node: the public side of one venue, in a system task of trio's.

::

    root (rest_for_one)
    ├─ session
    └─ parts ── feeds ── feed:<symbol>:<route> …  stream:<route>:<n> …  source:<name> …
"""

from collections.abc import Callable, Sequence

import msgspec
import trio
from loguru import logger

from actors.data.errors import DataEnded
from actors.data.following import MarketTree
from actors.data.loading import Patience
from actors.data.shelf import VenueMarkets
from actors.feed import FeedSettings, polled, routing_table
from actors.session import SessionSettings, session_spec
from actors.source import SourceSettings
from actors.stream import StreamSettings
from engine.kernel import Clock, Entropy, OnExhausted, Ref, Strategy, SupervisorSpec, System, open_system
from engine.model import DataCells, VenueState
from engine.venues.base import MarketVenue

STOP_S = 40.0


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """How the tree behaves; the defaults are a node's. `data` are cells of the routing table."""

    session: SessionSettings = SessionSettings()
    stream: StreamSettings = StreamSettings()
    feed: FeedSettings = FeedSettings()
    source: SourceSettings = SourceSettings()
    data: dict[str, DataCells] = {}
    patience: Patience = Patience()


class DataTree:
    """One life of the tree. `failure` is set when it ended by itself; `ended(self)` is called at every end.

    `system` is for tools and drills; None before it stands.
    """

    def __init__(
        self,
        venue: MarketVenue,
        tuning: Tuning,
        clock: Clock,
        *,
        websocket: bool,
        ended: Callable[["DataTree"], None],
    ) -> None:
        self.websocket = websocket
        self.failure: Exception | None = None
        self.system: System | None = None
        rows = routing_table(venue.policy, tuning.data)
        self._markets = VenueMarkets(VenueState(venue.name), rows if websocket else polled(rows), venue.routes)
        self._venue = venue
        self._tuning = tuning
        self._clock = clock
        self._ended = ended
        self._ready = trio.Event()
        self._wanted_end = trio.Event()
        self._end = trio.Event()

    async def start(self, symbols: Sequence[str], intervals: Sequence[str]) -> VenueMarkets:
        """Start the task and return when the tree stands; nothing waits for the network. Raises what starting raised."""
        trio.lowlevel.spawn_system_task(self._live, symbols, intervals, name="market data")
        try:
            await self._ready.wait()
        except BaseException:
            self._wanted_end.set()
            raise
        if self.failure is not None:
            raise self.failure
        return self._markets

    async def follow(self, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        """Have these followed too. Raises `FollowRefused`."""
        assert self._markets.follow is not None, "set before the tree was ready"
        await self._markets.follow(symbols, intervals)

    async def stop(self) -> None:
        """End the tree in order. Raises `DataEnded` if it does not end."""
        self._wanted_end.set()
        with trio.move_on_after(STOP_S):
            await self._end.wait()
        if not self._end.is_set():
            raise DataEnded(f"the tree behind the market data did not end within {STOP_S} s")

    async def _live(self, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        try:
            async with open_system(self._clock, Entropy(), "market-data", die=self._stuck) as system:
                self.system = system
                await system.start(self._root(system, symbols, intervals))
                self._ready.set()
                await self._until_end(system)
        except Exception as error:  # noqa: BLE001 - a system task must not raise: it is raised to whoever reads next
            self.failure = error
        finally:
            self._end.set()
            self._ready.set()
            self._ended(self)

    async def _until_end(self, system: System) -> None:
        """Until somebody wants the end, or the tree cannot go on."""

        async def failed() -> None:
            code = await system.wait_exit()
            self.failure = DataEnded(f"it cannot go on (exit code {code}); the log says why")
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(failed)
            await self._wanted_end.wait()
            nursery.cancel_scope.cancel()

    def _stuck(self, code: int) -> None:
        """In place of the end of the process, which is not ours to end."""
        logger.critical("a part of the market data does not stop (exit code {} in a node)", code)

    def _root(self, system: System, symbols: Sequence[str], intervals: Sequence[str]) -> SupervisorSpec:
        tuning, state = self._tuning, self._markets.state
        announce: list[Ref] = []
        markets = MarketTree(
            self._venue,
            state,
            under="root/parts",
            address=system.address,
            session=system.address("root/session"),
            rows=self._markets.policy,
            feed=msgspec.structs.replace(tuning.feed, intervals=tuple(intervals)),
            stream=tuning.stream,
            source=tuning.source,
            feeds={},
            announce=announce,
        )
        self._markets.follow = lambda more, wanted: markets.follow(system, more, wanted)
        session = session_spec(self._venue, accounts=(), state=state, settings=tuning.session, announce=announce)
        parts = SupervisorSpec("parts", children=(markets.spec(symbols),), on_exhausted=OnExhausted.PARK)
        return SupervisorSpec("root", Strategy.REST_FOR_ONE, children=(session, parts))
