"""The unified read interface: every kind of market data by one object, from memory, with the names callers know.

::

    data = parts.data                                   # in a node; in a strategy: self.data
    bars = await data.get_klines("BTCUSDT", "1h", limit=300)
    bars.info                                           # source, age_s, stale, degraded, complete

A read asks nobody: what a stream or a poll brought is there, what is not there is `DataUnavailable`. The `get_…` methods are
coroutines for the callers' sake and never wait; `klines`, `orderbook` and the other plain methods of `DataReader` do the
same for code that cannot await.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import trio

from actors.data.errors import FollowRefused
from actors.data.loading import Patience, checked_names, silent, until_first_values, until_loaded
from actors.data.reader import DataReader
from actors.data.shapes import KlineRow
from actors.data.shelf import Shelf, VenueData
from actors.data.stats import LastUpdate, stats_of
from actors.data.values import Number, Record, Rows
from engine.kernel import Clock
from engine.model import MarketState, split_instrument

INTERVALS = ("1h", "4h", "15m", "1d")


class DataManager(DataReader):
    """Market data of a node's `venues` (a live mapping by name)."""

    def __init__(
        self,
        venues: Mapping[str, VenueData],
        clock: Clock,
        *,
        default_venue: str,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(Shelf(venues, clock, default_venue))
        self._patience = patience
        self._adding = trio.Lock()
        self.last_update = LastUpdate(self._shelf)

    # ── life ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def initialize(
        self, symbols: Sequence[str], intervals: Sequence[str] = INTERVALS, enable_websocket: bool = True
    ) -> None:
        """Follow these symbols in these intervals too, and return when their history is in and everything that speaks has spoken.

        What is followed already stays as it is, so a second call changes nothing. `enable_websocket` does not concern a node: its
        routing table says what is streamed. Raises `BadArgument`, `FollowRefused`, `DataNotLoaded`.
        """
        names, wanted = checked_names(symbols, intervals)
        async with self._adding:
            for venue_name, mine in self._by_venue(names).items():
                await self._follow(venue_name, mine, wanted)

    async def close(self) -> None:
        """Nothing to do: a node's data lives as long as the node, whoever reads it."""

    def _by_venue(self, names: Sequence[str]) -> dict[str, list[str]]:
        grouped: dict[str, list[str]] = {}
        for name in names:
            venue_name, symbol = split_instrument(name, self._shelf.default_venue)
            grouped.setdefault(venue_name, []).append(symbol)
        return grouped

    async def _follow(self, venue_name: str, symbols: Sequence[str], intervals: Sequence[str]) -> None:
        venue = self._shelf.venues.get(venue_name)
        if venue is None:
            known = ", ".join(self._shelf.venues) or "none"
            raise FollowRefused(f"symbols: expected some of {known}, got {symbols[0]} of {venue_name!r}")
        markets = venue.state.markets
        new = [s for s in symbols if s not in markets or not markets[s].bars.keys() >= set(intervals)]
        if new:
            if venue.follow is None:
                named = ", ".join(new[:10])
                raise FollowRefused(f"{venue_name} takes no more symbols or intervals while it runs, got {named}")
            await venue.follow(new, intervals)
        await self._wait(venue, {symbol: markets[symbol] for symbol in symbols}, intervals)

    async def _wait(self, venue: VenueData, markets: Mapping[str, MarketState], intervals: Sequence[str]) -> None:
        await until_loaded(
            markets, intervals, patience=self._patience, progress=silent, problem=lambda: venue.state.problem
        )
        await until_first_values(markets, patience=self._patience)

    @property
    def initialized(self) -> bool:
        """Whether anything is followed."""
        return any(venue.state.markets for venue in self._shelf.venues.values())

    def get_stats(self) -> dict[str, Any]:
        """Figures of the interface: what is there, how it came, how reads fared.

        `initialized symbols_count klines_cached oi_cached funding_cached ws_updates rest_calls cache_hits cache_misses
        cache_hit_rate` ('99.8%') as ever, and besides `cache_hit_rate_value` (0 to 1), `spot_cached ws_reconnects stale_reads
        degraded_reads stale_symbols degraded_symbols history_loaded history_wanted`.
        """
        return stats_of(self._shelf, initialized=self.initialized)

    # ── reads ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def get_klines(
        self, symbol: str, interval: str, limit: int = 300, *, closed_only: bool = False
    ) -> Rows[KlineRow]:
        """See `klines`."""
        return self.klines(symbol, interval, limit, closed_only=closed_only)

    async def get_orderbook(self, symbol: str, limit: int = 20) -> Record[Any]:
        """See `orderbook`."""
        return self.orderbook(symbol, limit)

    async def get_oi_history(self, symbol: str, interval: str = "1h", limit: int = 100) -> Rows[dict[str, Any]]:
        """See `oi_history`."""
        return self.oi_history(symbol, interval, limit)

    async def get_funding_rate(self, symbol: str) -> Record[Any]:
        """See `funding_rate`."""
        return self.funding_rate(symbol)

    async def get_spot_price(self, symbol: str) -> Number:
        """See `spot_price`."""
        return self.spot_price(symbol)

    async def get_liquidation_trades(self, symbol: str, limit: int = 500) -> Rows[dict[str, Any]]:
        """Ordinary aggregated trades, whatever the name says: see `liquidation_trades`, and `get_force_orders` for liquidations."""
        return self.liquidation_trades(symbol, limit)

    async def get_force_orders(self, symbol: str, limit: int = 100) -> Rows[dict[str, Any]]:
        """Liquidations: see `force_orders`."""
        return self.force_orders(symbol, limit)

    async def get_mark_price(self, symbol: str) -> Record[Any]:
        """See `mark_price`."""
        return self.mark_price(symbol)

    async def get_trades(self, symbol: str, limit: int = 500) -> Rows[dict[str, Any]]:
        """See `trades`."""
        return self.trades(symbol, limit)
