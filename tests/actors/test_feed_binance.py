"""Feeds of Binance USD-M against the simulated venue: whatever goes wrong, in the end they show what is really so."""

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from engine.kernel import Entropy
from engine.simulator import BinanceSettings, faults
from engine.venues.binance_usdm import BinanceUsdmSettings
from tests.support.binance_feeds import Rig, binance_feeds
from tests.support.markets import eventually, restarts

soon = partial(eventually, every_s=0.25, within_s=60)


async def settled(rig: Rig) -> None:
    """Everything streams, nothing is missing, and it is as the venue has it."""
    await soon(lambda: rig.live() and not rig.unrepaired())
    await soon(lambda: not rig.differences(), within_s=30)
    assert restarts(rig.system) == 0


async def test_feeds_boot_and_agree_with_the_venue_bar_by_bar_and_level_by_level(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with binance_feeds() as rig:
        await settled(rig)
        assert [market.loaded for market in rig.markets] == [{"1m", "5m", "trades"}] * 2
        assert [dict(market.modes) for market in rig.markets] == [{"public": "streaming", "market": "streaming"}] * 2
        assert all(len(bars) == 500 for market in rig.markets for bars in market.bars.values())
        await trio.sleep(130)
        await settled(rig)
        assert rig.moves == []


async def test_nothing_is_stale_and_nothing_is_asked_for_while_all_is_well(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with binance_feeds() as rig:
        await settled(rig)
        await trio.sleep(10)
        calls, looks, stale = rig.state.rest_calls, 0, 0
        for _ in range(2400):
            await trio.sleep(0.05)
            looks += 1
            stale += len(rig.stale())
        assert stale / (looks * 10) < 0.001
        assert rig.state.rest_calls - calls < 6
        assert rig.moves == []


async def test_a_silent_route_takes_down_its_own_feeds_alone_and_they_come_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The venue acknowledges and sends nothing of one kind of route; the other one goes on."""
    async with binance_feeds() as rig:
        await settled(rig)
        fault = rig.sim.faults.add(faults.Silence(channel="market/"))
        await soon(lambda: all(market.modes["market"] == "polling" for market in rig.markets), within_s=10)
        assert {market.modes["public"] for market in rig.markets} == {"streaming"}
        await trio.sleep(30)
        assert {move.path.rpartition(":")[2] for move in rig.moves} == {"market"}
        assert not [name for name in rig.stale() if name.endswith(("book", "mark"))]
        rig.sim.faults.lift(fault)
        await settled(rig)


@pytest.mark.parametrize("kind", ["kline_1m", "kline_5m", "aggTrade", "kline", "markPrice"])
async def test_one_kind_of_data_that_dies_is_noticed_though_its_neighbours_live(
    autojump_clock: trio.testing.MockClock, kind: str
) -> None:
    async with binance_feeds() as rig:
        await trio.sleep(60)  # trades tell of bars that began after them
        await settled(rig)
        fault = rig.sim.faults.add(faults.Silence(channel=kind))
        await soon(lambda: all(market.modes["market"] == "polling" for market in rig.markets), within_s=30)
        rig.sim.faults.lift(fault)
        await settled(rig)


@pytest.mark.parametrize(
    "fault",
    [
        faults.Drop(venue="binance_usdm", sockets_only=True),
        faults.DayCut(venue="binance_usdm"),
        faults.LoseFrames(channel="aggTrade", count=3),
        faults.LoseFrames(channel="kline", duration_s=70),
        faults.LoseFrames(channel="depth", count=5),
        faults.LoseFrames(probability=0.2, duration_s=20),
        faults.Duplicate(probability=0.5, duration_s=20),
        faults.Reorder(probability=0.2, duration_s=20),
        faults.Stall(venue="binance_usdm", sockets_only=True, duration_s=20),
        faults.HttpStatus(status=429, duration_s=10),
    ],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("book", ["depth20", "diff"])
async def test_after_a_fault_everything_is_as_the_venue_has_it_and_nothing_is_missing(
    autojump_clock: trio.testing.MockClock, fault: faults.AnyFault, book: str
) -> None:
    async with binance_feeds(settings=BinanceUsdmSettings(book=book)) as rig:
        await settled(rig)
        rig.sim.faults.add(fault)
        await trio.sleep(75 if fault.duration_s == 70 else 25)
        await settled(rig)


async def test_a_gap_in_one_symbols_book_is_its_own_affair(autojump_clock: trio.testing.MockClock) -> None:
    async with binance_feeds(settings=BinanceUsdmSettings(book="diff")) as rig:
        await settled(rig)
        rig.sim.faults.add(faults.LoseFrames(channel="btcusdt@depth", count=1))
        await trio.sleep(5)
        gaps = [market.book.gaps for market in rig.markets]
        assert gaps[0] > 0 and gaps[1] == 0
        await settled(rig)
        assert rig.moves == []


async def test_connections_are_replaced_before_they_break_and_nobody_notices(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with binance_feeds(
        settings=BinanceUsdmSettings(rotate_after_s=20.0), venue_settings=BinanceSettings(life_s=21.0)
    ) as rig:
        await settled(rig)
        await trio.sleep(5)
        calls = rig.state.rest_calls
        for _ in range(200):
            await trio.sleep(1.0)
            assert rig.live()
        await settled(rig)
        assert rig.state.reconnects == 0
        assert rig.moves == []
        assert rig.state.rest_calls - calls < 10
        assert sum(market.quality[name].missing for market in rig.markets for name in market.quality) == 0


async def test_an_address_that_is_banned_keeps_what_it_streams_and_asks_again_when_it_may(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with binance_feeds() as rig:
        await settled(rig)
        rig.sim.faults.add(faults.Ban(method="/", duration_s=30))
        rig.sim.faults.add(faults.LoseFrames(channel="aggTrade", count=2))
        await trio.sleep(20)
        assert {market.modes["public"] for market in rig.markets} == {"streaming"}
        await settled(rig)


async def test_without_streams_everything_is_asked_for(autojump_clock: trio.testing.MockClock) -> None:
    async with binance_feeds(streams=False) as rig:
        await soon(lambda: rig.state.history() == (4, 4))
        await trio.sleep(40)
        assert rig.sim.stats()["binance_usdm"]["sockets"] == 0
        assert {market.mode for market in rig.markets} == {"polling"}
        assert rig.stale() == []


def random_fault(entropy: Entropy) -> faults.AnyFault:
    where = entropy.choice(["", "market/", "public/", "kline", "aggTrade", "btcusdt@", "ethusdt@kline_1m"])
    length_s = entropy.uniform(1.0, 30.0)
    narrow: dict[str, Any] = {"channel": where, "duration_s": length_s}
    return entropy.choice(
        [
            faults.Drop(sockets_only=True, connection=None),
            faults.DayCut(),
            faults.LoseFrames(probability=entropy.uniform(0.05, 1.0), **narrow),
            faults.Duplicate(probability=0.5, **narrow),
            faults.Reorder(probability=0.2, **narrow),
            faults.Delay(delay_s=0.5, jitter_s=0.5, **narrow),
            faults.Silence(**narrow),
            faults.Stall(sockets_only=True, duration_s=length_s),
            faults.HttpStatus(status=429, duration_s=length_s),
            faults.Ban(method="/", duration_s=length_s),
            faults.Maintenance(duration_s=length_s),
        ]
    )


@pytest.mark.parametrize("seed", range(2))
async def test_any_row_of_faults_ends_with_what_is_really_so(autojump_clock: trio.testing.MockClock, seed: int) -> None:
    entropy = Entropy(seed)
    book = entropy.choice(["depth20", "diff"])
    async with binance_feeds(settings=BinanceUsdmSettings(book=book, rotate_after_s=60.0), seed=seed) as rig:
        await settled(rig)
        for _ in range(5):
            for _ in range(entropy.choice([1, 1, 2, 3])):
                rig.sim.faults.add(random_fault(entropy))
                await trio.sleep(entropy.uniform(0.1, 20.0))
            await trio.sleep(31)
            rig.sim.faults.lift_all()
            await settled(rig)
