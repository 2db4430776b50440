"""The audit finds what is wrong in memory, mends what it can, and tells people once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from actors._comparing import best_of, same_book, same_mark, wrong_bars
from actors.audit import AuditLimits, AuditSettings, audit_spec
from actors.messages import Notify
from actors.session import SessionSettings, session_spec
from engine.kernel import Message, System
from engine.model import BAR_COLUMNS, Bars, Book, Columns, DataClass, MarketState, Quality, Source, VenueState
from engine.venues.base import BookSnapshot, NotSent, RateLimited
from tests.support.markets import ScriptedVenue, bar_rows, ear, eventually, restarts, tree

BEGAN_MS = 1_699_999_980_000  # a whole minute, 20 s before the clock of the test begins
SETTINGS = AuditSettings(every_s=20.0, gap_s=0.5, settle_s=10.0)
SESSION = SessionSettings(check_every_s=600.0)
BOUNDS = {DataClass.BOOK: 5.0, DataClass.TICKER: 1e6, DataClass.TRADES: 60.0, DataClass.BARS: 90.0}


def bars_at(start_ms: int, end_ms: int) -> Columns:
    """The truth: every minute has its own volume."""
    first = -(-start_ms // 60_000)
    rows = bar_rows(first * 60_000, max(0, end_ms // 60_000 - first + 1))
    rows[:, 5] = rows[:, 0] // 60_000 % 97
    return rows


class Bench:
    """Markets that hold the truth, and an audit that asks a scripted venue."""

    def __init__(self, symbols: int = 1, settings: AuditSettings = SETTINGS) -> None:
        self.venue = ScriptedVenue()
        self.state = VenueState("sim")
        self.settings = settings
        self.heard: list[Message] = []
        for n in range(symbols):
            self.state.markets[f"S{n}"] = self.market(f"S{n}")

    def market(self, symbol: str, *intervals: str) -> MarketState:
        market = MarketState(f"sim:{symbol}", bounds_s=BOUNDS, intervals=("1m", *intervals))
        market.bars["1m"].merge(bars_at(BEGAN_MS - 100 * 60_000, BEGAN_MS))
        market.loaded.add("1m")
        market.book.replace([(99.0, 1.0)], [(101.0, 1.0)], change_id=1, venue_ms=1)
        market.ticker.mark = 100.0
        market.touch(DataClass.TICKER, Source.STREAM, 0.0)
        return market

    def children(self, system: System) -> list[Any]:
        session, notifier = system.address("root/session"), system.address("root/ear")
        return [
            ear("ear", self.heard),
            session_spec(self.venue, state=self.state, settings=SESSION, announce=()),
            audit_spec(self.state, session=session, notifier=notifier, settings=self.settings),
        ]

    def begin(self) -> None:
        self.venue.client().bars_now = bars_at

    def quality(self, data_class: DataClass = DataClass.BARS, symbol: str = "S0") -> Quality:
        return self.state.markets[symbol].quality[data_class]

    def texts(self) -> list[str]:
        return [message.notice.text for message in self.heard if isinstance(message, Notify)]


def upset(bench: Bench, row: int, **figures: float) -> float:
    """Falsify one bar, counted from the newest; its open time."""
    bars = bench.state.markets["S0"].bars["1m"]
    wrong = bars.copy()[row]
    for name, value in figures.items():
        wrong[BAR_COLUMNS.index(name)] = value
    bars.upsert(tuple(wrong.tolist()), closed=True)
    return float(wrong[0])


async def test_what_is_right_is_compared_and_nobody_is_told(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with tree(bench.children):
        bench.begin()
        await trio.sleep(205)
        assert bench.quality().compared == 10 * SETTINGS.bars
        assert bench.quality(DataClass.TICKER).compared == 10
        assert bench.quality(DataClass.BOOK).compared == 10
        assert sum(quality.mismatched for quality in bench.state.markets["S0"].quality.values()) == 0
        assert bench.texts() == []


@pytest.mark.parametrize("column", BAR_COLUMNS[1:7])
async def test_a_closed_bar_that_differs_in_one_figure_is_replaced_and_told_once(
    autojump_clock: trio.testing.MockClock, column: str
) -> None:
    bench = Bench()
    async with tree(bench.children):
        bench.begin()
        await trio.sleep(15)
        before = bench.state.markets["S0"].bars["1m"].copy()
        upset(bench, -4, **{column: 123.5})
        await trio.sleep(100)
        assert np.array_equal(bench.state.markets["S0"].bars["1m"].view(), before, equal_nan=True)
        assert bench.quality().mismatched == 1
        assert bench.texts() == ["sim:S0 bars: 1 not what the venue says"]


async def test_a_bar_that_is_lacking_is_put_where_it_belongs(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    market = bench.state.markets["S0"]
    whole = market.bars["1m"].copy()
    market.bars["1m"] = Bars(60_000)
    market.bars["1m"].merge(np.delete(whole, -3, axis=0))
    async with tree(bench.children):
        bench.begin()
        await eventually(lambda: len(market.bars["1m"]) == len(whole), within_s=25, every_s=1)
        assert market.bars["1m"].view()[:, 0].tolist() == whole[:, 0].tolist()
        assert market.bars["1m"].missing() == 0


async def test_the_open_bar_and_one_just_closed_are_left_alone(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with tree(bench.children):
        bench.begin()
        open_ms = upset(bench, -1, volume=1.0)
        await trio.sleep(45)
        assert bench.state.markets["S0"].bars["1m"].view()[-1, 0] == open_ms
        assert bench.quality().mismatched == 0


async def test_told_once_until_it_is_good_again_and_then_anew(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    bench.state.markets["S0"].ticker.mark = 110.0
    async with tree(bench.children):
        bench.begin()
        await trio.sleep(200)
        assert bench.texts() == ["sim:S0 ticker: 1 not what the venue says"]
        bench.state.markets["S0"].ticker.mark = 100.4
        await trio.sleep(60)
        bench.state.markets["S0"].ticker.mark = 101.0
        await trio.sleep(60)
        assert len(bench.texts()) == 2


async def test_every_limit_is_kept_watch_over(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(settings=AuditSettings(every_s=20, limits=AuditLimits(missing=3, out_of_order=10, lag_ms=500)))
    async with tree(bench.children):
        bench.begin()
        await trio.sleep(50)
        bench.quality(DataClass.TRADES).missing += 3
        bench.quality(DataClass.TICKER).out_of_order += 10
        bench.quality(DataClass.BOOK).lag_ms = 500.0
        await trio.sleep(60)
        assert bench.texts() == []
        bench.quality(DataClass.TRADES).missing += 4
        bench.quality(DataClass.TICKER).out_of_order += 11
        bench.quality(DataClass.BOOK).lag_ms = 501.0
        await trio.sleep(60)
        assert sorted(bench.texts()) == [
            "sim:S0 book: comes 501 ms late",
            "sim:S0 ticker: 11 out of order",
            "sim:S0 trades: 4 missing, and not brought back",
        ]


async def test_trouble_everywhere_is_a_few_notices_and_a_number(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(symbols=30)
    async with tree(bench.children):
        bench.begin()
        for symbol in bench.state.markets:
            bench.quality(DataClass.BOOK, symbol).lag_ms = 9000.0
        await trio.sleep(100)
        *first, last = bench.texts()
        assert first == [f"sim:S{n} book: comes 9000 ms late" for n in range(SETTINGS.notices)]
        assert last == "sim: 10 more classes of data are not good; the log names them"


async def test_what_is_missing_for_a_moment_is_no_notice(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with tree(bench.children):
        bench.begin()
        for _ in range(20):
            bench.quality(DataClass.TRADES).missing += 5
            await trio.sleep(20.0)
            bench.quality(DataClass.TRADES).repaired += 5
        assert bench.texts() == []


async def test_a_round_is_paced_and_visits_every_market_alike(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(symbols=200)
    async with tree(bench.children):
        bench.begin()
        await trio.sleep(200 * SETTINGS.gap_s + 0.2)
        assert {bench.quality(symbol=symbol).compared for symbol in bench.state.markets} == {5}
        client = bench.venue.client()
        assert [client.asked.count(what) for what in ("bars", "mark", "book")] == [200, 200, 200]


async def test_every_interval_of_every_market_has_its_turn(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(symbols=0)
    for n in range(2):
        market = bench.state.markets[f"S{n}"] = bench.market(f"S{n}", "5m")
        market.bars["5m"].merge(bar_rows(BEGAN_MS // 300_000 * 300_000 - 3_000_000, 10, step_ms=300_000))
        market.loaded.add("5m")
    async with tree(bench.children):
        asked: list[int] = []
        bench.venue.client().bars_now = lambda start, end: asked.append(end - start + 1) or bar_rows(0, 0)  # type: ignore[func-returns-value]
        await trio.sleep(85)
        assert asked == [SETTINGS.bars * 60_000] * 2 + [SETTINGS.bars * 300_000] * 2 + asked[:4]


async def test_a_venue_that_is_away_is_asked_ever_more_rarely_and_costs_no_restart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(symbols=50)
    async with tree(bench.children) as system:
        bench.begin()
        bench.venue.go_away(NotSent("connection refused"))
        await trio.sleep(3600)
        client = bench.venue.client()
        assert client.asked.count("bars") <= 3600 / 60 + 10
        bench.venue.come_back()
        await eventually(lambda: bench.quality(DataClass.BOOK, "S3").compared, within_s=200, every_s=1)
        bench.venue.go_away(RateLimited("slow down", retry_after_s=300.0))
        before = len(client.asked)
        await trio.sleep(290)
        assert len(client.asked) - before <= 2
        assert restarts(system) == 0
        assert bench.texts() == []


async def test_what_is_not_loaded_or_stale_is_not_judged(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    market = bench.state.markets["S0"]
    market.loaded.clear()
    market.fresh[DataClass.TICKER].bound_s = 1.0
    market.ticker.mark = 500.0
    market.book.lose()
    async with tree(bench.children):
        bench.begin()
        await trio.sleep(100)
        assert [quality.compared for quality in market.quality.values()] == [0, 0, 0, 0]


# ── comparing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.sets(st.integers(0, 19)), st.sets(st.integers(1, 18)), st.sets(st.integers(0, 19)))
def test_exactly_the_rows_that_differ_or_lack_are_wrong(changed: set[int], lacking: set[int], unsaid: set[int]) -> None:
    theirs = bars_at(BEGAN_MS, BEGAN_MS + 19 * 60_000)
    ours = theirs.copy()
    ours[sorted(unsaid), 7] = np.nan
    ours[sorted(changed), 5] += 1
    bars = Bars(60_000)
    bars.merge(np.delete(ours, sorted(lacking), axis=0))
    wrong = {round((bar.row[0] - BEGAN_MS) / 60_000) for bar in wrong_bars(bars, theirs)}
    first = round((bars.view()[0, 0] - BEGAN_MS) / 60_000)
    assert wrong == {n for n in changed | lacking if n >= first}


@pytest.mark.parametrize(
    ("ours", "same"), [((None, 100.0), True), ((99.0, 100.5), True), ((99.0, 101.0), False), ((None, None), None)]
)
def test_a_mark_is_right_if_it_was_or_is_about_the_venues(ours: tuple[float | None, ...], same: bool | None) -> None:
    assert same_mark(ours, 100.0, 0.005) is same


def changed(book: Book, change: Callable[[Book], object]) -> Book:
    change(book)
    return book


def test_a_book_is_judged_only_after_the_same_change() -> None:
    book = changed(Book(), lambda b: b.replace([(99.0, 1.0)], [(101.0, 2.0)], change_id=7, venue_ms=1))
    right = BookSnapshot(((99.0, 1.0), (98.0, 1.0)), ((101.0, 2.0),), 7, 1)
    assert same_book((None, best_of(book)), right) is True
    assert same_book((best_of(book),), BookSnapshot(((99.0, 2.0),), ((101.0, 2.0),), 7, 1)) is False
    assert same_book((best_of(book),), BookSnapshot(((99.0, 2.0),), ((101.0, 2.0),), 8, 1)) is None
    assert best_of(changed(book, lambda b: b.lose())) is None
