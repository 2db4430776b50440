"""The read interface without a node: a small tree of its own for Binance USD-M's public data.

`get_data_manager()` is one per process. `initialize` starts the tree: a session, feeds, streams and sources; no store, no
orders, no admin socket, and no key, so nothing can be traded. It runs in a system task of trio's, because `initialize` is a
plain coroutine with no block around it that could own a task; the manager owns it instead: `close` ends it, the end of
`trio.run` ends it too, and what it fails with is raised to whoever reads next. After `close` it can be initialised again.
"""

import sys
from collections.abc import Sequence

import trio

from actors.data.errors import BadArgument, DataEnded, FollowRefused
from actors.data.following import check_listed
from actors.data.loading import Progress, checked_names, silent, until_first_values, until_loaded
from actors.data.manager import INTERVALS, DataManager
from actors.data.shelf import VenueMarkets
from actors.data.tree import DataTree, Tuning
from actors.progress import progress_line
from engine.kernel import Clock, Entropy, SystemClock
from engine.model import VenueState
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue

VENUE = "binance"

#: The venue's own public data. Nothing else is asked for there, and no key is held.
PUBLIC = BinanceUsdmSettings(http_url="https://fapi.binance.com", ws_url="wss://fstream.binance.com")


class StandaloneManager(DataManager):
    """Market data of one venue, from a tree of its own."""

    def __init__(
        self,
        connection: BinanceUsdmSettings = PUBLIC,
        *,
        tuning: Tuning = Tuning(),  # noqa: B008 - frozen
        clock: Clock | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._venues: dict[str, VenueMarkets] = {}
        super().__init__(self._venues, clock or SystemClock(), default_venue=VENUE, patience=tuning.patience)
        self.connection = connection
        self._tuning = tuning
        self._progress = progress
        self._tree: DataTree | None = None
        self._met: tuple[trio.lowlevel.TrioToken, BinanceUsdmVenue] | None = None  # in which run of trio, and whom

    @property
    def running(self) -> bool:
        """Whether there is a tree, be it one that failed."""
        return self._tree is not None

    async def initialize(
        self, symbols: Sequence[str], intervals: Sequence[str] = INTERVALS, enable_websocket: bool = True
    ) -> None:
        """Follow these symbols and return when their history is in and everything that speaks has spoken.

        Called again it adds symbols; with those it has it does nothing. `enable_websocket=False` opens no stream: everything
        is asked for by REST, which is slower and never degraded. What a symbol does not have (a spot market, say) is
        `DataUnavailable` when it is read. Raises `BadArgument`, `FollowRefused`, `DataNotLoaded`, `DataEnded`.
        """
        given, wanted = checked_names(symbols, intervals)
        names = tuple(dict.fromkeys(map(_symbol, given)))
        async with self._adding:
            self._check()
            if self._tree is None:
                await self._begin(names, wanted, enable_websocket)
            elif self._tree.websocket != enable_websocket:
                now = "with" if self._tree.websocket else "without"
                raise BadArgument("enable_websocket", f"as it runs, {now} streams", repr(enable_websocket))
            else:
                await self._tree.follow(names, wanted)
                await self._until_ready(names, wanted)

    async def close(self) -> None:
        """End the tree and forget what it brought. Without one it does nothing."""
        tree = self._tree
        self._forget()
        if tree is not None:
            await tree.stop()

    async def _begin(self, symbols: Sequence[str], intervals: Sequence[str], websocket: bool) -> None:
        """Start with these symbols; one that does not exist ends it again, so that the next call begins anew."""
        await self._start(symbols, intervals, websocket)
        try:
            await self._until_ready(symbols, intervals)
        except FollowRefused:
            await self.close()
            raise

    async def _start(self, symbols: Sequence[str], intervals: Sequence[str], websocket: bool) -> None:
        clock = self._shelf.clock
        tree = self._tree = DataTree(self._venue(), self._tuning, clock, websocket=websocket, ended=self._ended)
        try:
            self._venues[VENUE] = await tree.start(symbols, intervals)
        except BaseException:
            self._forget()
            raise

    def _venue(self) -> BinanceUsdmVenue:
        """The same one for as long as trio runs: what was spent of the address's limits, and a ban, outlive a `close`."""
        run = trio.lowlevel.current_trio_token()
        if self._met is None or self._met[0] is not run:
            venue = BinanceUsdmVenue(VENUE, self.connection, clock=self._shelf.clock, entropy=Entropy())
            self._met = run, venue
        return self._met[1]

    async def _until_ready(self, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        state = self._state()
        markets = {symbol: state.markets[symbol] for symbol in symbols}

        def problem() -> str:
            check_listed(self._state(), symbols)
            return state.problem

        progress = self._progress or terminal_bar()
        await until_loaded(markets, intervals, patience=self._patience, progress=progress, problem=problem)
        await until_first_values(markets, patience=self._patience)

    def _state(self) -> VenueState:
        """What is known of the venue. Raises `DataEnded` when nothing brings it any more."""
        self._check()
        if VENUE not in self._venues:
            raise DataEnded("the data manager was closed while it was initialised")
        return self._venues[VENUE].state

    def _check(self) -> None:
        if self._shelf.failure is not None:
            raise self._shelf.failure

    def _ended(self, tree: DataTree) -> None:
        """The tree has come to its end: by itself, or with the run of trio it lived in."""
        if tree is not self._tree:
            return
        if tree.failure is None:
            self._forget()
        else:
            self._shelf.failure = DataEnded(f"the tree behind the market data has ended: {tree.failure}")
            self._shelf.failure.__cause__ = tree.failure

    def _forget(self) -> None:
        self._tree = None
        self._shelf.failure = None
        self._venues.clear()


def _symbol(name: str) -> str:
    """The symbol called `name`. Raises `BadArgument` for one of another venue."""
    symbol = name.removeprefix(f"{VENUE}:")
    if not symbol or ":" in symbol:
        raise BadArgument("symbols", f"symbols, bare or as {VENUE}:SYMBOL", repr(name))
    return symbol


_only: StandaloneManager | None = None


def get_data_manager(connection: BinanceUsdmSettings | None = None) -> StandaloneManager:
    """The process's own manager, made at the first call; `connection` None: as before, at first the venue's public data.

    Raises `BadArgument` for another connection than the one it runs with: close it first.
    """
    global _only  # noqa: PLW0603 - one per process is what this function is for
    if _only is None or (connection not in (None, _only.connection) and not _only.running):
        _only = StandaloneManager(connection or PUBLIC)
    elif connection not in (None, _only.connection):
        raise BadArgument("connection", "the one it was initialised with, until it is closed", repr(connection))
    return _only


def terminal_bar() -> Progress:
    """A bar on a terminal; nothing where nobody looks."""
    out, began_s = sys.stderr, trio.current_time()
    if not out.isatty():
        return silent

    def show(loaded: int, wanted: int) -> None:
        end = "\n" if loaded == wanted else ""
        out.write(f"\r{progress_line(loaded, wanted, trio.current_time() - began_s)}{end}")
        out.flush()

    return show
