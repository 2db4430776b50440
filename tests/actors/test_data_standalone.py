"""The read interface without a node, against a simulated venue on loopback: how it begins, grows, fails and ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import pykka
import pytest
import trio

from actors.data import (
    BadArgument,
    DataEnded,
    DataNotLoaded,
    DataUnavailable,
    FollowRefused,
    Patience,
    get_data_manager,
    standalone,
)
from actors.data.standalone import StandaloneManager
from actors.data.tree import Tuning
from actors.session import SessionSettings
from actors.stream import StreamSettings
from engine.kernel import Entropy, SystemClock, TrioClock
from engine.model import INTERVAL_MS, Source
from engine.net import FunctionTransport, HttpReply, HttpRequest
from engine.simulator import open_simulator
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue

IMPATIENT = Tuning(patience=Patience(stall_s=1.0, first_values_s=5.0), session=SessionSettings(retry_min_s=0.05))
NOWHERE = BinanceUsdmSettings(http_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9", spot_url="http://127.0.0.1:9")
S = "BTCUSDT"

pytestmark = pytest.mark.slow  # each of them loads a history over a socket


@asynccontextmanager
async def simulated() -> AsyncIterator[BinanceUsdmSettings]:
    """A simulated venue with four symbols; how to reach it."""
    options = {"deribit": None, "control": None, "binance": ("127.0.0.1", 0), "binance_symbols": 4}
    async with open_simulator(SystemClock(), Entropy(3), **options) as sim:
        venue = sim.binance
        yield BinanceUsdmSettings(http_url=venue.http_url, ws_url=venue.ws_url, spot_url=venue.spot_http_url)


@asynccontextmanager
async def managed(**how) -> AsyncIterator[StandaloneManager]:
    """A manager over a simulated venue, closed at the end."""
    async with simulated() as connection:
        manager = StandaloneManager(connection, tuning=IMPATIENT, **how)
        try:
            yield manager
        finally:
            await manager.close()


async def test_everything_can_be_read_once_it_is_initialised_and_nothing_before():
    async with managed() as data:
        with pytest.raises(DataUnavailable, match="initialize"):
            data.klines(S, "1h")
        assert data.get_stats()["initialized"] is False
        shown = []
        data._progress = lambda loaded, wanted: shown.append((loaded, wanted))
        await data.initialize([S, "ETHUSDT"], ["1h", "15m"])
        assert shown[0][1] == shown[-1][0] == 4
        assert shown == sorted(shown)
        for symbol in (S, "binance:ETHUSDT"):
            assert len(await data.get_klines(symbol, "15m", 500)) == 500
            assert (await data.get_orderbook(symbol)).info.source is Source.STREAM
            assert len(await data.get_oi_history(symbol)) == 100
            assert await data.get_funding_rate(symbol)
            assert await data.get_spot_price(symbol) > 0
            assert await data.get_mark_price(symbol)
            assert await data.get_liquidation_trades(symbol)
        stats = data.get_stats()
        assert (stats["symbols_count"], stats["klines_cached"], stats["oi_cached"]) == (2, 4, 2)
        assert stats["ws_updates"] > 0
        assert data.last_update[f"{S}_klines_1h"] == pytest.approx(SystemClock().wall_ms() / 1000, abs=10)


async def test_reads_make_no_request():
    async with managed() as data:
        await data.initialize([S], ["1h"])
        before = data.get_stats()["rest_calls"]
        for _ in range(300):
            for read in (
                data.get_orderbook(S),
                data.get_klines(S, "1h"),
                data.get_spot_price(S),
                data.get_oi_history(S),
            ):
                await read
        stats = data.get_stats()
        assert stats["rest_calls"] == before
        assert stats["cache_hits"] >= 1200
        assert stats["cache_misses"] == 0


async def test_without_websocket_everything_comes_by_rest_and_nothing_is_stale_or_degraded():
    async with managed() as data:
        await data.initialize([S], ["1h"], enable_websocket=False)
        for read in (data.klines(S, "1h"), data.orderbook(S), data.mark_price(S), data.trades(S)):
            assert (read.info.source, read.info.stale, read.info.degraded) == (Source.REST, False, False)
        first = data.orderbook(S)["timestamp"]
        with trio.fail_after(10):
            while data.orderbook(S)["timestamp"] == first:
                await trio.sleep(0.05)
        assert data.get_stats()["ws_updates"] == 0
        with pytest.raises(DataUnavailable, match="off in the routing table"):
            data.force_orders(S)
        with pytest.raises(BadArgument, match="enable_websocket"):
            await data.initialize([S], ["1h"], enable_websocket=True)


async def test_a_second_initialise_does_nothing_or_adds_symbols_while_the_first_ones_go_on():
    async with managed() as data:
        await data.initialize([S], ["1h"])
        calls = data.get_stats()["rest_calls"]
        await data.initialize([S, f"binance:{S}"], ["1h"])
        assert data.get_stats()["rest_calls"] == calls
        market = data.markets()[S]
        async with trio.open_nursery() as nursery:
            for symbol in ("ETHUSDT", "BNBUSDT"):
                nursery.start_soon(data.initialize, [S, symbol], ["1h"])
        assert set(data.markets()) == {S, "ETHUSDT", "BNBUSDT"}
        assert data.markets()[S] is market
        assert len(data.klines("ETHUSDT", "1h", 500)) == 500
        assert data.orderbook("BNBUSDT").info.source is Source.STREAM
        with trio.fail_after(15):  # sources notice a new market by themselves
            while "ETHUSDT_oi" not in data.last_update:
                await trio.sleep(0.05)
        with pytest.raises(FollowRefused, match="4h cannot be added"):
            await data.initialize([S], ["1h", "4h"])


async def test_a_symbol_the_venue_does_not_list_is_refused_and_nothing_of_it_stays():
    async with managed() as data:
        with pytest.raises(FollowRefused, match="the venue lists, got NOSUCH"):
            await data.initialize([S, "NOSUCH"], ["1h"])
        assert not data.running
        await data.initialize([S], ["1h"])
        with pytest.raises(FollowRefused, match="NOSUCH"):
            await data.initialize(["NOSUCH"], ["1h"])
        assert list(data.markets()) == [S]


async def test_more_streams_than_a_connection_takes_are_refused_before_anything_starts():
    tuning = Tuning(stream=StreamSettings(symbols_per_stream=200))
    data = StandaloneManager(NOWHERE, tuning=tuning)
    with pytest.raises(FollowRefused, match="at most 1024 on one connection, got 1800"):
        await data.initialize([f"S{n}USDT" for n in range(200)], list(INTERVAL_MS))
    assert not data.running


@pytest.mark.parametrize("name", ["binance:", "deribit:BTC-PERPETUAL", ":BTCUSDT"])
async def test_a_name_that_is_of_no_symbol_here_is_a_bad_argument(name: str):
    data = StandaloneManager(NOWHERE, tuning=IMPATIENT)
    with pytest.raises(BadArgument, match="symbols: expected"):
        await data.initialize([name])
    assert not data.running


async def test_after_close_nothing_is_left_and_it_can_be_initialised_again():
    async with managed() as data:
        for websocket in (True, False):
            await data.initialize([S], ["1h"], enable_websocket=websocket)
            assert data.running
            await data.close()
            await data.close()
            assert not data.running
            assert pykka.ActorRegistry.get_all() == []
            assert data.get_stats()["symbols_count"] == 0
            with pytest.raises(DataUnavailable):
                data.klines(S, "1h")


async def test_a_ban_outlives_a_close_so_that_beginning_anew_does_not_lengthen_it(
    autojump_clock: trio.testing.MockClock, monkeypatch
):
    asked, first = [], 0

    async def banned(request: HttpRequest) -> HttpReply:
        asked.append(request.path)
        return HttpReply(418, {"retry-after": "3000"}, b'{"code":-1003,"msg":"Way too many requests; IP banned."}')

    monkeypatch.setattr(standalone, "BinanceUsdmVenue", partial(BinanceUsdmVenue, transport=FunctionTransport(banned)))
    tuning = msgspec.structs.replace(IMPATIENT, patience=Patience(stall_s=5.0))
    data = StandaloneManager(NOWHERE, tuning=tuning, clock=TrioClock(0))
    for _ in range(3):
        with pytest.raises(DataNotLoaded):
            await data.initialize([S], ["1h"], enable_websocket=False)
        await data.close()
        first = first or len(asked)
    assert len(asked) == first


async def test_a_venue_that_cannot_be_reached_is_an_error_in_bounded_time_that_says_so():
    data = StandaloneManager(NOWHERE, tuning=IMPATIENT)
    try:
        with trio.fail_after(20), pytest.raises(DataNotLoaded, match=r"0 of 1 histories .* NotSent"):
            await data.initialize([S], ["1h"])
    finally:
        await data.close()


async def test_a_tree_that_ends_by_itself_is_told_to_whoever_reads_next():
    async with managed() as data:
        await data.initialize([S], ["1h"])
        data._tree.system.request_exit(70, "a drill")
        with trio.fail_after(5):
            while data._shelf.failure is None:
                await trio.sleep(0.01)
        for read in (lambda: data.klines(S, "1h"), lambda: data.mark_price(S)):
            with pytest.raises(DataEnded, match="exit code 70"):
                read()
        with pytest.raises(DataEnded):
            await data.initialize([S], ["1h"])
        await data.close()
        await data.initialize([S], ["1h"])
        assert data.klines(S, "1h")


async def test_closing_it_while_it_loads_ends_the_wait():
    data = StandaloneManager(NOWHERE, tuning=Tuning())

    async def initialize():
        with pytest.raises(DataEnded, match="closed while it was initialised"):
            await data.initialize([S], ["1h"])

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(initialize)
            await trio.sleep(0.2)
            await data.close()
    assert pykka.ActorRegistry.get_all() == []


async def test_being_cancelled_while_it_loads_leaves_it_usable():
    data = StandaloneManager(NOWHERE, tuning=Tuning())
    with trio.move_on_after(0.3):
        await data.initialize([S], ["1h"])
    assert data.running
    await data.close()
    assert pykka.ActorRegistry.get_all() == []


def test_the_end_of_a_run_ends_the_tree_and_the_next_run_can_begin_another():
    data = StandaloneManager(tuning=IMPATIENT)

    async def main():
        async with simulated() as connection:
            data.connection = connection
            await data.initialize([S], ["1h"])
            assert data.klines(S, "1h")

    for _ in range(2):
        trio.run(main)
        assert not data.running
        assert pykka.ActorRegistry.get_all() == []


def test_there_is_one_manager_per_process_until_another_connection_is_wanted(monkeypatch):
    monkeypatch.setattr(standalone, "_only", None)
    public = get_data_manager()
    assert get_data_manager() is public
    assert get_data_manager(standalone.PUBLIC) is public
    other = get_data_manager(NOWHERE)
    assert other is not public
    assert get_data_manager() is other
    monkeypatch.setattr(type(other), "running", property(lambda self: True))
    assert get_data_manager(NOWHERE) is other
    with pytest.raises(BadArgument, match="connection"):
        get_data_manager(standalone.PUBLIC)
