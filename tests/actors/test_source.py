"""What is asked for from time to time is there, is as new as its row says, and costs no more than it must."""

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from actors.messages import ask_market
from actors.session import SessionSettings, session_spec
from actors.source import SourceSettings, source_specs
from engine.kernel import System
from engine.model import DataClass, DataRow, MarketState, Source, VenueState
from engine.venues.base import NotSent, RateLimited, Refused
from tests.support.markets import ScriptedVenue, eventually, restarts, tree
from tests.support.polled import STEP_MS, Rainfall, rainy_venue

SETTINGS = SourceSettings(retry_min_s=1.0, retry_max_s=8.0)
SESSION = SessionSettings(check_every_s=10.0, retry_min_s=0.5, retry_max_s=4.0)


class Bench:
    """A session and the sources of one scripted venue, over `symbols` markets."""

    def __init__(self, *sources: Rainfall, symbols: int = 3, venue: ScriptedVenue | None = None) -> None:
        self.venue = venue or rainy_venue(*sources)
        self.state = VenueState("sim")
        for n in range(symbols):
            self.add(f"S{n}")

    def add(self, symbol: str) -> MarketState:
        market = MarketState(f"sim:{symbol}", bounds_s={DataClass.BOOK: 5.0})
        self.state.markets[symbol] = market
        return market

    def children(self, system: System) -> list[Any]:
        session, table = system.address("root/session"), self.venue.policy
        sources = source_specs(self.venue, table, self.state, session=session, settings=SETTINGS)
        announce = [system.address(f"root/{spec.name}") for spec in sources]
        self.names = [spec.name for spec in sources]
        return [session_spec(self.venue, state=self.state, settings=SESSION, announce=announce), *sources]

    def rows(self, symbol: str, name: str = "rainfall") -> Any:
        return self.state.markets[symbol].samples[name]

    def full(self, rows: int, name: str = "rainfall") -> bool:
        return all(len(market.samples[name]) == rows for market in self.state.markets.values())


async def test_a_new_source_is_an_adapter_and_a_row(autojump_clock: trio.testing.MockClock) -> None:
    source = Rainfall()
    bench = Bench(source)
    async with tree(bench.children):
        assert bench.names == ["source:rainfall"]
        assert len(bench.rows("S0")) == 0, "there from the start, if empty"
        await eventually(lambda: bench.full(300))
        samples = bench.rows("S2")
        assert samples.columns == ("time_ms", "mm")
        assert samples.fresh.source is Source.REST
        assert samples.fresh.bound_s == 700.0
        assert not samples.fresh.stale(trio.current_time())


async def test_what_is_off_or_streamed_has_no_source(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(venue=rainy_venue(Rainfall(), rainfall=DataRow(via="off")))
    async with tree(bench.children):
        assert bench.names == []
        assert bench.state.markets["S0"].samples == {}


@pytest.mark.parametrize("at_once", [False, True])
async def test_history_is_asked_for_once_and_then_what_came_since(
    autojump_clock: trio.testing.MockClock, at_once: bool
) -> None:
    source = Rainfall(at_once=at_once)
    bench = Bench(source, symbols=5)
    async with tree(bench.children):
        await trio.sleep(28_800)
        limits = [limit for _, _, limit in source.asked]
        first = 1 if at_once else 5
        assert limits[:first] == [300] * first
        assert max(limits[first:]) <= 4
        assert len(source.asked) == pytest.approx(first * 97, rel=0.02), "every five minutes, no oftener"
        assert bench.full(300)
        times = bench.rows("S3").view()[:, 0]
        assert set((times[1:] - times[:-1]).tolist()) == {STEP_MS}, "no hole and nothing twice"


async def test_no_row_is_older_than_its_bound_while_the_venue_answers(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(Rainfall(delay_s=1.0), symbols=200)
    async with tree(bench.children):
        await eventually(lambda: bench.full(300), within_s=200, every_s=1)
        for _ in range(200):
            await trio.sleep(7)
            now_s = trio.current_time()
            assert not [symbol for symbol in bench.state.markets if bench.rows(symbol).fresh.stale(now_s)]


async def test_few_requests_at_once_and_one_pass_at_a_time(autojump_clock: trio.testing.MockClock) -> None:
    source = Rainfall(delay_s=20.0)  # a pass over 100 symbols takes longer than the time between two
    bench = Bench(source, symbols=100)
    async with tree(bench.children):
        await trio.sleep(3000)
        assert source.busiest == SETTINGS.concurrent
        asked = [symbols[0] for _, symbols, _ in source.asked]
        assert max(asked.count(f"S{n}") for n in range(100)) - min(asked.count(f"S{n}") for n in range(100)) <= 1


@pytest.mark.parametrize("at_once", [False, True])
async def test_no_source_waits_behind_history(autojump_clock: trio.testing.MockClock, at_once: bool) -> None:
    source = Rainfall(at_once=at_once)
    bench = Bench(source, symbols=0)

    async def bars(rest: object) -> None:
        await trio.sleep(100)

    async with tree(bench.children) as system, trio.open_nursery() as nursery:
        ask = partial(ask_market, system.address("root/session"), "bars", bars, timeout_s=200, history=True)
        for _ in range(SESSION.history_concurrent):
            nursery.start_soon(ask)
        bench.add("S0")
        await trio.sleep(6)
        assert bench.full(300)
        nursery.cancel_scope.cancel()


async def test_a_market_that_is_added_is_asked_for_soon(autojump_clock: trio.testing.MockClock) -> None:
    source = Rainfall()
    bench = Bench(source, symbols=1)
    async with tree(bench.children):
        await trio.sleep(50)
        bench.add("NEW")
        await trio.sleep(6)
        assert len(bench.rows("NEW")) == 300
        assert [symbols for _, symbols, _ in source.asked] == [("S0",), ("NEW",)]


async def test_a_failure_keeps_the_rows_and_is_asked_again_with_growing_pauses(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = Rainfall()
    bench = Bench(source, symbols=2)
    async with tree(bench.children) as system:
        await eventually(lambda: bench.full(300))
        source.trouble["S1"] = Refused("no such symbol today")
        before = bench.rows("S1").copy().tolist()
        await trio.sleep(2000)
        assert bench.rows("S1").view().tolist() == before
        assert bench.rows("S1").fresh.stale(trio.current_time())
        assert not bench.rows("S0").fresh.stale(trio.current_time()), "one symbol's trouble is nobody else's"
        tries = sum(symbols == ("S1",) for _, symbols, _ in source.asked)
        assert 1700 / 12 <= tries <= 1700 / 8 + 10
        source.trouble.clear()
        await eventually(lambda: not bench.rows("S1").fresh.stale(trio.current_time()), within_s=13)
        times = bench.rows("S1").view()[:, 0]
        assert set((times[1:] - times[:-1]).tolist()) == {STEP_MS}, "the hole was filled"
        assert restarts(system) == 0


async def test_a_venue_that_is_away_is_asked_for_one_symbol_and_for_all_when_it_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = Rainfall()
    bench = Bench(source, symbols=50)
    source.trouble = {f"S{n}": NotSent("connection refused") for n in range(50)}
    bench.venue.go_away()
    async with tree(bench.children):
        await trio.sleep(600)
        assert len(source.asked) <= SETTINGS.concurrent * 600 / 8 + 20
        source.trouble.clear()
        bench.venue.come_back()
        await eventually(lambda: bench.full(300), within_s=20)


async def test_a_rate_limit_is_obeyed(autojump_clock: trio.testing.MockClock) -> None:
    source = Rainfall()
    bench = Bench(source, symbols=20)
    source.trouble = {f"S{n}": RateLimited("slow down", retry_after_s=120.0) for n in range(20)}
    async with tree(bench.children):
        await trio.sleep(119)
        assert len(source.asked) <= SETTINGS.concurrent


async def test_what_the_venue_has_nothing_of_is_not_asked_for_again_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = Rainfall()
    source.nothing_of.add("S1")
    bench = Bench(source, symbols=2)
    async with tree(bench.children):
        await trio.sleep(3050)
        assert sum(symbols == ("S1",) for _, symbols, _ in source.asked) == 11
        assert len(bench.rows("S1")) == 0
        assert bench.rows("S1").fresh.source is Source.REST, "it was asked and has none"
        source.nothing_of.add("S0")
        heard_s = bench.rows("S0").fresh.heard_s
        await trio.sleep(700)
        assert bench.rows("S0").fresh.heard_s <= heard_s + 300, "rows that are no more said grow old"


async def test_a_restart_asks_for_nothing_that_is_not_due(autojump_clock: trio.testing.MockClock) -> None:
    source = Rainfall()
    bench = Bench(source, symbols=3)
    async with tree(bench.children) as system:
        await eventually(lambda: bench.full(300))
        await trio.sleep(100)
        system.kill("root/source:rainfall")
        await trio.sleep(150)
        assert restarts(system) == 1
        assert len(source.asked) == 3
        assert bench.full(300)
