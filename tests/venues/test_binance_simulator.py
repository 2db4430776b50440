"""The client against the simulated venue: what it holds is what is really so."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from engine.kernel import Clock, Entropy, SystemClock, TrioClock
from engine.model import INTERVAL_MS, DataClass, InstrumentKind, MarketState
from engine.net import Endpoint, connect, dialing
from engine.simulator import BinanceSettings as Simulated
from engine.simulator import Simulator, faults, open_simulator
from engine.venues.base import Applied, FeedAdapter, RateLimited
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue

EPOCH_MS = 1_790_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")
INTERVALS = ("1m", "5m")
ALL = frozenset(DataClass)


_WEATHER = (faults.LoseFrames, faults.Duplicate, faults.Reorder)


class Watch:
    """One connection of a route with its feeds, and every whole book it has shown by number."""

    def __init__(
        self, venue: BinanceUsdmVenue, route: str, markets: dict[str, MarketState], *, seeds: Any = None
    ) -> None:
        self.stream = venue.stream(route, ALL & venue.routes[route])
        self.feeds: dict[str, FeedAdapter] = {symbol: venue.feed(symbol, route) for symbol in markets}
        self.markets = markets
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.bits = 0
        self._seeds = seeds

    async def run(self, clock: Clock) -> None:
        async with connect(self.stream.url) as connection, trio.open_nursery() as nursery:
            for frame in self.stream.subscribe(tuple(self.markets), INTERVALS):
                await connection.send(frame)
            while True:
                for frame in await connection.receive_many():
                    self._take(frame, clock, nursery)

    def _take(self, frame: bytes, clock: Clock, nursery: trio.Nursery) -> None:
        symbol = self.stream.route(frame)
        if symbol is None:
            answer = self.stream.control(frame)
            self.acknowledged += answer.acknowledged
            self.refused += answer.refused
            assert not answer.problem
            return
        market = self.markets[symbol]
        bits = self.feeds[symbol].apply(frame, market, clock.monotonic_s())
        self.bits |= int(bits)
        if bits & Applied.GAP and self._seeds is not None:
            nursery.start_soon(self._seed, symbol, clock)

    async def _seed(self, symbol: str, clock: Clock) -> None:
        seed = self.feeds[symbol].seed
        assert seed is not None
        bits = Applied.GAP
        while bits & Applied.GAP:
            await trio.sleep(0.2)
            bits = seed(await self._seeds.book(symbol, 1000), self.markets[symbol], clock.monotonic_s())


def _markets() -> dict[str, MarketState]:
    bounds_s = dict.fromkeys(DataClass, 5.0)
    return {symbol: MarketState(symbol, bounds_s=bounds_s, intervals=INTERVALS) for symbol in SYMBOLS}


@asynccontextmanager
async def _on_loopback(
    settings: Simulated | None = None, **changes: Any
) -> AsyncIterator[tuple[Simulator, BinanceUsdmVenue]]:
    clock = SystemClock()
    async with open_simulator(
        clock, Entropy(7), deribit=None, control=None, binance=("127.0.0.1", 0), binance_settings=settings
    ) as sim:
        at = sim.binance
        connection = BinanceUsdmSettings(http_url=at.http_url, ws_url=at.ws_url, spot_url=at.spot_http_url, **changes)
        yield sim, BinanceUsdmVenue("binance", connection, clock=clock, entropy=Entropy(8))


@asynccontextmanager
async def _in_memory(**changes: Any) -> AsyncIterator[tuple[Simulator, BinanceUsdmVenue, Clock]]:
    clock = TrioClock(EPOCH_MS)
    async with open_simulator(
        clock, Entropy(7), deribit=None, control=None, binance_symbols=SYMBOLS, binance_settings=Simulated.plain()
    ) as sim:

        async def dial(_endpoint: Endpoint) -> trio.abc.Stream:
            return sim.binance.connect()

        with dialing(dial):
            connection = BinanceUsdmSettings(http_url="http://sim", ws_url="ws://sim", spot_url="http://sim", **changes)
            yield sim, BinanceUsdmVenue("binance", connection, clock=clock, entropy=Entropy(8)), clock


async def _eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    with trio.fail_after(within_s):
        while not holds():
            await trio.sleep(0.02)


# ── over loopback ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_question_is_answered() -> None:
    async with _on_loopback() as (sim, venue):
        rest = venue.public()
        assert abs(await rest.server_time_ms() - sim.binance.now_ms()) < 1000
        listed = {row.symbol: row for row in await rest.instruments()}
        assert set(sim.binance.symbols) <= set(listed)
        assert all(row.kind is InstrumentKind.PERPETUAL and row.active for row in listed.values())
        now_ms = sim.binance.now_ms()
        bars = await rest.bars("BTCUSDT", "1m", now_ms - now_ms % 60_000 - 499 * 60_000, now_ms)
        assert len(bars) == 500
        assert set((bars[1:, 0] - bars[:-1, 0]).tolist()) == {60_000.0}
        book = await rest.book("BTCUSDT", 20)
        assert len(book.bids) == len(book.asks) == 20
        assert book.bids[0][0] < book.asks[0][0]
        trades = await rest.trades("BTCUSDT", 50)
        assert [row.trade_seq for row in trades] == list(range(trades[0].trade_seq, trades[-1].trade_seq + 1))
        after = await rest.trades("BTCUSDT", 10, after_seq=trades[0].trade_seq)
        assert [row.trade_seq for row in after] == [row.trade_seq for row in trades[1:11]]
        mark, ticker = await rest.mark("BTCUSDT"), await rest.ticker("BTCUSDT")
        assert mark.mark and mark.index and mark.next_funding_ms and ticker.bid and ticker.ask and ticker.last
        assert (await rest.open_interest("BTCUSDT")).openInterest > 0
        assert len(await rest.funding_history("BTCUSDT", 3)) <= 3
        assert set(sim.binance.symbols) <= set(await rest.day_tickers())
        for name, source in venue.sources.items():
            rows = await source.fetch(rest, SYMBOLS, 5)
            assert set(rows) == set(SYMBOLS), name
            assert all(table.shape[1] == len(source.columns) for table in rows.values())
        await rest.close()


async def test_our_count_of_the_weight_is_the_venues() -> None:
    """Every kind of request: what we believe to have spent is what the venue says in its header."""
    async with _on_loopback() as (sim, venue):
        rest, budget = venue.public(), venue._limits.host
        await rest.server_time_ms()
        now_ms = sim.binance.now_ms()
        questions: Sequence[Callable[[], Awaitable[Any]]] = (
            rest.server_time_ms,
            rest.instruments,
            *(lambda depth=depth: rest.book("BTCUSDT", depth) for depth in (5, 50, 100, 500, 1000)),
            *(lambda n=n: rest.bars("BTCUSDT", "1m", now_ms - n * 60_000, now_ms) for n in (0, 98, 99, 498, 499, 999)),
            lambda: rest.trades("BTCUSDT", 10),
            lambda: rest.ticker("BTCUSDT"),
            lambda: rest.open_interest("BTCUSDT"),
            rest.marks,
            rest.day_tickers,
        )
        for ask in questions:
            await ask()
        window = budget._windows["weight"]
        assert set(window._others.values()) <= {0.0}  # nobody else asked here, so a difference is a mistake of ours
        assert sum(window._ours.values()) == sim.binance.stats()["used"]["weight"]
        await rest.close()


async def test_both_routes_bring_every_class() -> None:
    async with _on_loopback() as (sim, venue):
        markets, clock = _markets(), SystemClock()
        async with trio.open_nursery() as nursery:
            watches = [Watch(venue, route, markets) for route in venue.routes]
            for watch in watches:
                nursery.start_soon(watch.run, clock)
            expected = {DataClass.BOOK, DataClass.TICKER, DataClass.TRADES, DataClass.BARS, DataClass.MARK}
            await _eventually(
                lambda: all(expected.isdisjoint(m.stale_classes(clock.monotonic_s())) for m in markets.values())
            )
            assert sorted(len(watch.acknowledged) for watch in watches) == [4, 10]
            assert not any(watch.refused for watch in watches)
            nursery.cancel_scope.cancel()
        market = markets["BTCUSDT"]
        assert abs(market.book.venue_ms - sim.binance.now_ms()) < 2_000
        assert len(market.book.bids()) == len(market.book.asks()) == 20


async def test_a_venue_that_has_had_enough_is_left_alone() -> None:
    async with _on_loopback() as (sim, venue):
        rest = venue.public()
        await rest.server_time_ms()
        sim.faults.add(faults.HttpStatus(status=429, retry_after_s=30, count=1))
        with pytest.raises(RateLimited):
            await rest.book("BTCUSDT", 20)
        before = sum(sim.binance.stats()["calls"].values())
        with trio.move_on_after(0.3):
            await rest.book("BTCUSDT", 20)
        assert sum(sim.binance.stats()["calls"].values()) == before
        await rest.close()


# ── in memory, under a clock of its own ────────────────────────────────────────────────────────────────────────────────


def _bars_are_true(market: MarketState, truth: dict[str, Any], since_ms: int) -> None:
    for interval in INTERVALS:
        bars = market.bars[interval]
        true = [row for row in truth["bars"][interval]["closed"] if row[0] >= since_ms]
        ours = [row for row in bars.copy().tolist() if since_ms <= row[0] and bars.is_closed(row[0])]
        assert ours == [[float(row[at]) for at in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)] for row in true][: len(ours)]
        assert len(true) - 1 <= len(ours)


def _trades_are_true(market: MarketState, truth: dict[str, Any]) -> None:
    ours = {int(row[4]): row for row in market.trades.copy().tolist()}
    true = [row for row in truth["agg_trades"] if min(ours) <= row["a"] <= max(ours)]
    assert len(true) == len(ours)
    for row in true:
        side = -1.0 if row["m"] else 1.0
        assert ours[row["a"]] == [float(row["T"]), float(row["p"]), float(row["q"]), side, float(row["a"])]


async def _book_is_true(sim: Simulator, market: MarketState, depth: int) -> None:
    """At some moment soon both are at the same update, and then they are the same."""
    with trio.fail_after(30):
        while True:
            await trio.sleep(0.013)
            truth = sim.binance.truth(market.instrument)["book"]
            if market.book.ready and market.book.change_id == truth["lastUpdateId"]:
                break
    for ours, name in ((market.book.bids(depth), "bids"), (market.book.asks(depth), "asks")):
        assert list(ours) == [(float(price), float(amount)) for price, amount in truth[name][:depth]]


@pytest.mark.parametrize("book", ["depth20", "diff"])
@pytest.mark.parametrize("connections", [1, 2])
async def test_what_is_held_is_what_is_so(book: Any, connections: int, autojump_clock: trio.testing.MockClock) -> None:
    """Three minutes; with two connections both bring everything, and one of them loses, doubles and swaps."""
    async with _in_memory(book=book) as (sim, venue, clock):
        markets, rest = _markets(), venue.public()
        began_ms, watches = await rest.server_time_ms(), list[Watch]()
        async with trio.open_nursery() as nursery:
            for route in venue.routes:
                feeds = None
                for number in range(connections):
                    watch = Watch(venue, route, markets, seeds=rest if book == "diff" else None)
                    watch.feeds = feeds = feeds or watch.feeds  # one feed, however many connections
                    watches.append(watch)
                    nursery.start_soon(watch.run, clock)
                    await trio.sleep(0.1)
                    if number:  # the second has bad weather
                        last = sim.binance.stats()["accepted_connections"]
                        for fault in _WEATHER:
                            sim.faults.add(fault(connection=last, probability=0.1))
            await trio.sleep(180)
            assert connections == 1 or len(sim.faults.struck) == len(_WEATHER)
            for symbol, market in markets.items():
                await _book_is_true(sim, market, 20 if book == "depth20" else 300)
                truth = sim.binance.truth(symbol)
                _bars_are_true(market, truth, began_ms + 300_000 - began_ms % 300_000 - INTERVAL_MS["5m"] + 1)
                _trades_are_true(market, truth)
                assert market.trades.missed == 0
                assert market.ticker.mark_ms > EPOCH_MS + 170_000
            nursery.cancel_scope.cancel()
        if connections == 1:  # and then nothing was ever missing; a book of changes asks once for its beginning
            assert not any(watch.bits & Applied.HOLE for watch in watches)
            assert [bool(watch.bits & Applied.GAP) for watch in watches] == [book == "diff", False]
        await rest.close()
