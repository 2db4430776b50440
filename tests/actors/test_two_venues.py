"""A node holds two venues' markets side by side, each by its own routing table, and more of them when it is asked to."""

from pathlib import Path
from typing import Any

import pytest

from actors.data import FollowRefused
from actors.parts import VenueParts
from engine.kernel import StartFailed, State
from engine.model import BAR_COLUMNS, DataCells, DataClass, MarketState
from tests.support.live_node import LiveNode
from tests.support.two_venues import INTERVALS, SYMBOLS, two_venues


def binance_of(live: LiveNode) -> VenueParts:
    return live.node.parts.venues["binance"]


def market_of(live: LiveNode, name: str) -> MarketState:
    market = live.node.parts.market(name)
    assert market is not None, f"{name} is followed"
    return market


def children(live: LiveNode, path: str) -> set[str]:
    return {node.path.rpartition("/")[2] for node in live.node.system.tree().find(path).children}


def whole(market: MarketState) -> bool:
    """History and samples are in, and everything is as fresh as it must be."""
    rows = [*market.bars.values(), *market.samples.values()]
    return market.mode == "streaming" and market.loaded >= market.bars.keys() and all(len(row) for row in rows)


async def test_markets_of_both_venues_are_reached_by_their_names(tmp_path: Path) -> None:
    async with two_venues(tmp_path) as live:
        await live.until(lambda: live.status().feeds.live == 4 and whole(market_of(live, "binance:BTCUSDT")))
        status = live.status()
        assert (status.feeds.polling, status.feeds.stale) == (0, 0)
        assert status.history.loaded == status.history.wanted == len(SYMBOLS) * len(INTERVALS) + 2
        market = market_of(live, "binance:BTCUSDT")
        assert market.instrument == "binance:BTCUSDT"
        assert market_of(live, "BTC-PERPETUAL") is market_of(live, "deribit:BTC-PERPETUAL"), "the default venue's"
        assert market.ticker.mark is not None
        assert market.modes == {"public": "streaming", "market": "streaming"}
        assert set(market.samples) == {"open_interest", "funding", "spot"}
        assert binance_of(live).state.rest_calls > 0
        assert binance_of(live).accounts == {}
        assert live.node.parts.account_for("binance:BTCUSDT") is None


async def test_the_audit_agrees_with_the_venue_and_mends_what_does_not(tmp_path: Path) -> None:
    async with two_venues(tmp_path) as live:
        market = market_of(live, "binance:BTCUSDT")
        bars = market.bars["1m"]
        await live.until(lambda: market.quality[DataClass.BARS].compared >= 20)
        assert market.quality[DataClass.BARS].mismatched == 0
        assert market.quality[DataClass.MARK].mismatched == 0
        assert market.quality[DataClass.MARK].compared > 0
        good = bars.copy()[-3]
        wrong = good.copy()
        wrong[BAR_COLUMNS.index("close")] *= 1.01
        bars.upsert(tuple(wrong.tolist()), closed=True)
        await live.until(lambda: good.tolist() in bars.view().tolist())
        assert market.quality[DataClass.BARS].mismatched == 1
        await live.until(lambda: any("data.quality" in line for line in live.log))


async def test_symbols_are_added_while_the_node_runs(tmp_path: Path) -> None:
    async with two_venues(tmp_path) as live:
        parts = binance_of(live)
        await live.until(lambda: live.status().feeds.live == 4)
        assert parts.follow is not None
        await parts.follow(("BNBUSDT", "BTCUSDT", "SOLUSDT"), ("1h",))
        assert set(parts.state.markets) == set(parts.feeds) == {*SYMBOLS, "BNBUSDT", "SOLUSDT"}
        await live.until(lambda: live.status().feeds.live == 6 and whole(market_of(live, "binance:SOLUSDT")))
        assert set(market_of(live, "binance:SOLUSDT").bars) == {"1h"}
        assert set(market_of(live, "binance:BTCUSDT").bars) == set(INTERVALS), "what is followed stays as it is"
        live.node.system.kill("root/venues/binance/session")
        await live.until(lambda: live.running() and live.status().feeds.live == 6)
        assert len(parts.feeds["SOLUSDT"]) == 2


@pytest.mark.parametrize(
    ("symbols", "intervals", "why"),
    [
        (("NOSUCHUSDT",), ("1m",), "expected symbols the venue lists, got NOSUCHUSDT"),
        (("BTCUSDT",), ("1m", "4h"), "BTCUSDT is followed in 1m, 1h: 4h cannot be added"),
        (tuple(f"S{n}" for n in range(3000)), ("1m",), "expected at most 2000 symbols"),
    ],
)
async def test_what_cannot_be_followed_is_refused_and_nothing_is_added(
    tmp_path: Path, symbols: tuple[str, ...], intervals: tuple[str, ...], why: str
) -> None:
    async with two_venues(tmp_path) as live:
        parts = binance_of(live)
        await live.until(lambda: parts.state.instruments)
        assert parts.follow is not None
        with pytest.raises(FollowRefused, match=why):
            await parts.follow(symbols, intervals)
        assert set(parts.state.markets) == set(SYMBOLS)


async def test_symbols_that_cannot_be_started_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_venues(tmp_path) as live:
        parts, system = binance_of(live), live.node.system
        start_child, before = system.start_child, children(live, "root/venues/binance/parts/feeds")

        async def start(path: str, spec: Any) -> Any:
            if spec.name == "stream:market:1":
                raise StartFailed("not today")
            return await start_child(path, spec)

        monkeypatch.setattr(system, "start_child", start)
        await live.until(lambda: parts.state.instruments)
        assert parts.follow is not None
        with pytest.raises(FollowRefused, match="SOLUSDT could not be followed: not today"):
            await parts.follow(("BNBUSDT", "SOLUSDT"), ("1m",))
        assert set(parts.state.markets) == set(parts.feeds) == set(SYMBOLS)
        assert children(live, "root/venues/binance/parts/feeds") == before
        monkeypatch.undo()
        await parts.follow(("BNBUSDT", "SOLUSDT"), ("1m",))
        await live.until(lambda: live.status().feeds.live == 6)


async def test_without_a_websocket_everything_is_asked_for(tmp_path: Path) -> None:
    async with two_venues(tmp_path, websocket=False) as live:
        market = market_of(live, "binance:BTCUSDT")
        await live.until(lambda: market.book.ready and len(market.trades) and len(market.bars["1h"]) > 100)
        await live.until(lambda: live.status().feeds.polling == 2 and not market.stale_classes(now_s(live)))
        assert not [name for name in children(live, "root/venues/binance/parts/feeds") if name.startswith("stream:")]
        assert DataClass.FORCED not in market.fresh, "it cannot be asked for"


def now_s(live: LiveNode) -> float:
    return live.node.parts.clock.monotonic_s()


@pytest.mark.parametrize(
    ("data", "gone"),
    [
        ({"spot": DataCells(via="off")}, {"source:spot"}),
        (
            {"book": DataCells(via="off"), "ticker": DataCells(via="off")},
            {"feed:BTCUSDT:public", "feed:ETHUSDT:public", "stream:public:0"},
        ),
    ],
)
async def test_a_row_that_is_off_has_nobody_in_the_tree(tmp_path: Path, data: Any, gone: set[str]) -> None:
    everybody = {
        *(f"feed:{symbol}:{route}" for symbol in SYMBOLS for route in ("public", "market")),
        *(f"stream:{route}:0" for route in ("public", "market")),
        *(f"source:{name}" for name in ("open_interest", "funding", "spot")),
    }
    async with two_venues(tmp_path, data=data) as live:
        path = "root/venues/binance/parts/feeds"
        assert children(live, path) == everybody - gone
        await live.until(lambda: live.status().feeds.live == 4)
        assert live.node.system.tree().find("root/venues/binance/parts/audit").state is State.RUNNING
