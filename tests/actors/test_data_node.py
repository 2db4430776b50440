"""The read interface in a running node with both venues: who finds what, what a strategy sees, what trouble looks like."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.data import DataManager, DataUnavailable
from actors.node import NodeSettings
from actors.strategies import CustomStrategy
from engine.model import Source
from engine.simulator import Simulator, faults
from tests.support.data_reader import Reader
from tests.support.live_node import LiveNode, live_node, section, simulator
from tests.support.two_venues import binance

pytestmark = pytest.mark.slow  # each of them loads two venues' history over sockets
S = "BTCUSDT"
READS = ("klines", "orderbook", "trades", "mark_price", "funding_rate", "oi_history", "spot_price")


@asynccontextmanager
async def running(directory: Path, **changes: object) -> AsyncIterator[tuple[LiveNode, DataManager, Simulator]]:
    """A node whose default venue is Deribit and that follows two symbols at Binance; all of it can be read."""
    async with simulator(binance=("127.0.0.1", 0)) as sim:
        settings = NodeSettings(
            default_venue="deribit", venues={"deribit": section(sim), "binance": binance(sim)}, **changes
        )
        async with live_node(directory, settings) as live:
            data = live.node.parts.data
            await live.until(lambda: live.status().feeds.live == 4)
            await live.until(lambda: data.get_stats()["spot_cached"] == data.get_stats()["oi_cached"] == 2)
            yield live, data, sim


def read(data: DataManager, name: str, symbol: str = S):
    arguments = {"klines": ("1h", 100)}.get(name, ())
    return getattr(data, name)(symbol, *arguments)


async def test_every_kind_of_data_of_both_venues_is_read_by_one_interface(tmp_path: Path) -> None:
    async with running(tmp_path) as (live, data, _):
        for name in READS:
            assert not read(data, name).info.degraded, name
        assert data.klines(S, "1h", 500) == data.klines(f"binance:{S}", "1h", 500)
        assert len(data.klines(S, "1h", 500)) == 500
        assert data.orderbook("BTC-PERPETUAL")["bids"] == data.orderbook("deribit:BTC-PERPETUAL")["bids"]
        assert data.funding_rate("BTC-PERPETUAL")["nextTime"] is None
        assert data.klines("BTC-PERPETUAL", "1m", 2)[0][7] is not None
        with pytest.raises(DataUnavailable, match="deribit has no such data"):
            data.spot_price("BTC-PERPETUAL")
        assert set(data.markets("binance")) == {"binance:BTCUSDT", "binance:ETHUSDT"}
        calls = sum(venue.state.rest_calls for venue in live.node.parts.venues.values())
        for _ in range(200):
            for name in READS:
                read(data, name)
        assert sum(venue.state.rest_calls for venue in live.node.parts.venues.values()) == calls


async def test_initialise_follows_more_while_the_node_runs_and_returns_when_they_are_loaded(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, data, _sim):
        await data.initialize(["binance:SOLUSDT", "binance:BTCUSDT"], ["1h"])
        assert len(data.klines("SOLUSDT", "1h", 500)) == 500
        assert data.klines("SOLUSDT", "1h").info.complete
        await data.close()
        assert data.klines("SOLUSDT", "1h")


async def test_a_strategy_reads_in_its_handlers(tmp_path: Path) -> None:
    Reader.seen.clear()
    strategies = {"reader": CustomStrategy(path="tests.support.data_reader:Reader")}
    async with running(tmp_path, strategies=strategies) as (live, data, _):
        await live.until(lambda: len(Reader.seen) > 3)
        assert live.node.parts.strategies.keys() == {"reader"}
        assert live.status().restarts == 0
        assert data.get_stats()["cache_hits"] >= 3


async def test_what_rest_serves_while_a_stream_is_silent_is_degraded_and_then_no_more(tmp_path: Path) -> None:
    async with running(tmp_path) as (live, data, sim):
        fault = sim.faults.add(faults.Silence(channel="public/"))
        await live.until(lambda: data.markets("binance")["binance:BTCUSDT"].modes["public"] == "polling")
        await live.until(lambda: read(data, "orderbook").info.source is Source.REST)
        assert read(data, "orderbook").info.degraded
        assert not read(data, "klines").info.degraded, "the other connection is well"
        assert data.get_stats()["degraded_symbols"] >= 1
        sim.faults.lift(fault)
        await live.until(lambda: not read(data, "orderbook").info.degraded)
        assert read(data, "orderbook").info.source is Source.STREAM
