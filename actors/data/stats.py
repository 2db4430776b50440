"""The interface's own figures, and when each value was last known to be current. Computed when somebody asks."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from actors.data.errors import DataUnavailable
from actors.data.reader import FUNDING, OPEN_INTEREST, SPOT
from actors.data.shelf import Counts, Shelf, VenueData
from engine.model import DataClass, Freshness, MarketState, Source

_KEY = re.compile(r"(?P<symbol>.+)_(?P<what>klines_(?P<interval>[^_]+)|oi|orderbook|funding|spot|liquidation|mark)")


class LastUpdate(Mapping[str, float]):
    """Epoch seconds of each value's last update, by `{symbol}_klines_{interval}`, `_oi`, `_orderbook`, `_funding`, `_spot`,
    `_liquidation` and `_mark`. What never came has no key.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __getitem__(self, key: str) -> float:
        match = _KEY.fullmatch(key)
        if match is None:
            raise KeyError(key)
        misses = self._shelf.counts.misses
        try:
            market = self._shelf.find(match["symbol"], key).market
        except DataUnavailable:
            self._shelf.counts.misses = misses  # a look at the ages is no read
            raise KeyError(key) from None
        fresh = freshness_of(market).get(match["what"])
        if fresh is None or fresh.source is Source.NONE:
            raise KeyError(key)
        clock = self._shelf.clock
        return clock.wall_ms() / 1000 - fresh.age_s(clock.monotonic_s())

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._known())

    def snapshot(self) -> dict[str, float]:
        """All of them at once, cheaper than one by one."""
        clock = self._shelf.clock
        wall_s, now_s = clock.wall_ms() / 1000, clock.monotonic_s()
        return {key: wall_s - fresh.age_s(now_s) for key, fresh in self._known()}

    def _known(self) -> Iterator[tuple[str, Freshness]]:
        for name, _, market in self._shelf.markets():
            for what, fresh in freshness_of(market).items():
                if fresh is not None and fresh.source is not Source.NONE:
                    yield f"{name}_{what}", fresh

    def __len__(self) -> int:
        return sum(1 for _ in self)


def freshness_of(market: MarketState) -> dict[str, Freshness | None]:
    """The freshness behind each key; None for what is not followed. All intervals of bars come by one class."""
    bars = market.fresh.get(DataClass.BARS)
    polled = {name: samples.fresh for name, samples in market.samples.items()}
    return {
        **{f"klines_{interval}": bars if len(rows) else None for interval, rows in market.bars.items()},
        "oi": polled.get(OPEN_INTEREST),
        "orderbook": market.fresh.get(DataClass.BOOK),
        "funding": polled.get(FUNDING) or (market.mark_fresh if market.ticker.funding is not None else None),
        "spot": polled.get(SPOT),
        "liquidation": market.fresh.get(DataClass.TRADES),
        "mark": market.mark_fresh,
    }


def stats_of(shelf: Shelf, *, initialized: bool) -> dict[str, Any]:
    """The figures of `get_stats`."""
    now_s = shelf.clock.monotonic_s()
    markets = [market for _, _, market in shelf.markets()]
    states = [venue.state for venue in shelf.venues.values()]
    history = [state.history() for state in states]
    return {
        "initialized": initialized,
        "symbols_count": len(markets),
        "klines_cached": sum(1 for market in markets for bars in market.bars.values() if len(bars)),
        "oi_cached": sum(1 for market in markets if _rows(market, OPEN_INTEREST)),
        "funding_cached": sum(1 for market in markets if _rows(market, FUNDING) or market.ticker.funding is not None),
        "spot_cached": sum(1 for market in markets if _rows(market, SPOT)),
        "ws_updates": sum(_streamed(venue, market) for _, venue, market in shelf.markets()),
        "ws_reconnects": sum(state.reconnects for state in states),
        "rest_calls": sum(state.rest_calls for state in states),
        **_hit_rate(shelf.counts),
        "history_loaded": sum(done for done, _ in history),
        "history_wanted": sum(wanted for _, wanted in history),
        "stale_symbols": sum(1 for market in markets if _stale(market, now_s)),
        "degraded_symbols": sum(1 for _, venue, market in shelf.markets() if _degraded(shelf, venue, market)),
    }


def _hit_rate(counts: Counts) -> dict[str, Any]:
    reads = counts.hits + counts.misses
    return {
        "cache_hits": counts.hits,
        "cache_misses": counts.misses,
        "cache_hit_rate": f"{counts.hits / reads:.1%}" if reads else "0.0%",
        "cache_hit_rate_value": counts.hits / reads if reads else 0.0,
        "stale_reads": counts.stale,
        "degraded_reads": counts.degraded,
    }


def _rows(market: MarketState, source: str) -> int:
    samples = market.samples.get(source)
    return len(samples) if samples is not None else 0


def _streamed(venue: VenueData, market: MarketState) -> int:
    """Updates of a market that streams anything at all."""
    rows = [venue.policy[name] for name in market.fresh if name in venue.policy]
    return market.updates if not rows or any(row.via == "stream" for row in rows) else 0


def _stale(market: MarketState, now_s: float) -> bool:
    """Whether anything that speaks by itself is too old; liquidations are rare, and none is no fault."""
    return any(data_class is not DataClass.FORCED for data_class in market.stale_classes(now_s))


def _degraded(shelf: Shelf, venue: VenueData, market: MarketState) -> bool:
    return any(shelf.degraded(venue, market, data_class) for data_class in market.fresh)
