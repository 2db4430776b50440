"""The feed never shows data that may be wrong, always says how old it is, and comes back to streaming by itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.lowlevel
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from actors.feed import FeedSettings, feed_path, feed_specs
from actors.feed.probation import hand_over, probation_of
from actors.feed.seat import FeedSeat
from actors.messages import MarketChanged, WatchMarket
from actors.session import SessionSettings, session_spec
from actors.stream import (
    ChannelRefused,
    Frames,
    FramesLost,
    Pulse,
    Resnapshot,
    Resubscribe,
    StreamChanged,
    StreamSettings,
)
from engine.kernel import ChildSpec, EventKind, KernelEvent, Message, Ref, SupervisorSpec, System
from engine.model import DataClass, DataRow, MarketState, Source, VenueState
from engine.venues.base import Applied, BookSnapshot, NotSent, TickerSnapshot, TradeRow
from tests.support.markets import SYMBOL, ScriptedVenue, bar_rows, ear, eventually, restarts, tree
from tests.support.toy_stream import ToyFeed

SETTINGS = FeedSettings(disconnected_s=3, repair_s=2, clean_s=5)
ROWS = {
    "book": DataRow(age_s=4.0, poll_s=1.0, silence_s=4.0),
    "ticker": DataRow(age_s=4.0, poll_s=1.0, silence_s=4.0),
    "trades": DataRow(age_s=20.0, poll_s=3.0, silence_s=20.0, keep=1000),
    "bars": DataRow(age_s=30.0, poll_s=15.0, silence_s=30.0, keep=20),
}
PATH = feed_path("root", SYMBOL)
soon = partial(eventually, every_s=0.05)


class Bench:
    """One feed with a real session over a scripted venue; the stream is played by the test."""

    def __init__(self, settings: FeedSettings) -> None:
        self.venue = ScriptedVenue(feed=lambda symbol: ToyFeed())
        self.state = VenueState("sim")
        self.settings = settings
        self.asked: list[Message] = []  # of the stream
        self.heard: list[Message] = []  # by a watcher
        self.moves: list[KernelEvent] = []
        self.system: System
        self.since_s = 0.0
        self.change_id = 0
        self.beating = trio.CancelScope()

    def children(self, system: System) -> list[ChildSpec | SupervisorSpec]:
        self.system = system
        system.on_event(self.note)
        session = system.address("root/session")
        feeds = feed_specs(
            self.venue, self.state, [SYMBOL], under="root", address=system.address, session=session,
            rows=ROWS, feed=self.settings, stream=StreamSettings(),
        )  # fmt: skip
        without_stream = tuple(child for child in feeds.children if not child.name.startswith("stream"))
        told = (system.address(PATH),)
        return [
            ear("ear", self.heard),
            session_spec(
                self.venue, accounts=(), state=self.state, announce=told, settings=SessionSettings(retry_max_s=1)
            ),
            SupervisorSpec("feeds", children=(ear("stream:0", self.asked), *without_stream)),
        ]

    def note(self, event: KernelEvent) -> None:
        if event.kind in (EventKind.STEPPED_DOWN, EventKind.STEPPED_UP):
            self.moves.append(event)

    @property
    def market(self) -> MarketState:
        return self.state.markets[SYMBOL]

    @property
    def feed(self) -> Ref:
        return self.system.address(PATH)

    @property
    def modes(self) -> list[str]:
        return [event.mode for event in self.moves]

    def connect(self) -> None:
        self.since_s = trio.current_time()
        self.feed.tell(StreamChanged(up=True, at_s=self.since_s))

    def disconnect(self, reason: str = "cut") -> None:
        self.feed.tell(StreamChanged(up=False, at_s=trio.current_time(), reason=reason))

    def send(self, *frames: str) -> None:
        raw = [f"@{SYMBOL} {frame}".encode() for frame in frames]
        self.feed.tell(Frames(self.since_s, trio.current_time(), raw))

    def snapshot(self) -> None:
        self.change_id += 10
        self.send(f"S {self.change_id}")

    def beat(self, *, but: str = "") -> None:
        """One more of each kind of data, except the kinds in `but`."""
        now = int(trio.current_time() * 1000)
        frames = [f"T {now}", f"X {now}", f"B {now // 60_000 * 60_000} {now}"]
        if "C" not in but:
            frames.append(f"C {self.change_id} {self.change_id + 1}")
            self.change_id += 1
        self.send(*(frame for frame in frames if frame[0] not in but))

    async def keep_beating(self, *, but: str = "", every_s: float = 0.5) -> None:
        with trio.CancelScope() as self.beating:
            while True:
                self.beat(but=but)
                await trio.sleep(every_s)

    async def live(self) -> None:
        """A feed that streams."""
        self.connect()
        self.snapshot()
        self.send("T 1")
        await soon(lambda: self.market.mode == "streaming")


@asynccontextmanager
async def bench(settings: FeedSettings = SETTINGS) -> AsyncIterator[tuple[Bench, trio.Nursery]]:
    b = Bench(settings)
    async with tree(b.children), trio.open_nursery() as nursery:
        yield b, nursery
        nursery.cancel_scope.cancel()


# ── streaming ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_feed_is_live_with_a_snapshot_and_its_history_and_not_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as (b, _):
        client = b.venue.client()
        client.trouble = NotSent("busy")
        b.connect()
        await trio.sleep(1.5)
        assert b.market.mode == "starting"
        b.snapshot()
        await trio.sleep(0.1)
        assert (b.market.mode, b.market.book.best_bid()) == ("starting", (99.0, 1.0))
        client.trouble = None
        b.send("T 1")
        await soon(lambda: b.market.mode == "streaming")
        assert len(b.market.bars["1m"]) == ROWS["bars"].keep
        assert b.market.bars["1m"].missing() == 0
        assert b.moves == []


async def test_frames_reach_the_state_with_the_age_of_their_arrival(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, _):
        await b.live()
        at_s = trio.current_time() - 1.25
        b.feed.tell(Frames(b.since_s, at_s, [f"@{SYMBOL} T 77".encode()]))
        await trio.sleep(0.01)
        fresh = b.market.fresh[DataClass.TICKER]
        assert (b.market.ticker.last, fresh.source, fresh.updated_s) == (77.0, Source.STREAM, at_s)


async def test_a_gap_repairs_this_symbol_alone_and_shows_nothing_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as (b, _):
        await b.live()
        b.send("C 999 1000", "C 1000 1001", "C 1001 1002")
        await trio.sleep(0.01)
        assert b.market.book.best_bid() is None
        assert b.asked == [Resnapshot(SYMBOL)]
        b.snapshot()
        await trio.sleep(0.01)
        assert (b.market.book.ready, b.market.book.gaps, b.moves) == (True, 1, [])


async def test_three_failures_within_the_window_step_down(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, _):
        await b.live()
        for _ in range(3):
            b.send("C 999 1000")
            b.snapshot()
            await trio.sleep(0.1)
        assert b.modes == ["polling"]
        assert "3 failures" in b.moves[0].reason


async def test_failures_that_are_spread_out_do_not_step_down(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, nursery):
        await b.live()
        nursery.start_soon(b.keep_beating)
        for _ in range(5):
            b.send("C 999 1000")
            b.snapshot()
            await trio.sleep(SETTINGS.failures_within_s / 2 + 1)
        assert b.moves == []


async def test_a_snapshot_that_does_not_come_steps_down(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, nursery):
        await b.live()
        nursery.start_soon(partial(b.keep_beating, but="C"))
        b.send("C 999 1000")
        await trio.sleep(SETTINGS.repair_s - 0.2)
        assert b.moves == []
        await soon(lambda: b.modes == ["polling"], within_s=1.5)


async def test_unreadable_frames_change_nothing_and_three_of_them_step_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as (b, _):
        await b.live()
        updates = b.market.updates
        b.send("T x", "Z 1")
        await trio.sleep(0.01)
        assert (b.market.updates, b.moves) == (updates, [])
        b.send("T 1e400")
        await soon(lambda: b.modes == ["polling"])


async def test_a_crossed_book_is_thrown_away(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, nursery):
        await b.live()
        nursery.start_soon(partial(b.keep_beating, but="C"))
        b.market.book.change([(150.0, 1.0)], [], previous_id=b.change_id, change_id=b.change_id, venue_ms=1)
        assert b.market.book.crossed
        await soon(lambda: b.asked == [Resnapshot(SYMBOL)], within_s=1)
        assert b.market.book.best_bid() is None


async def test_frames_of_an_earlier_connection_are_passed_over(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, _):
        await b.live()
        before_s = b.since_s
        await trio.sleep(0.5)
        b.connect()
        b.snapshot()
        b.feed.tell(Frames(before_s, trio.current_time(), [f"@{SYMBOL} S 5".encode(), f"@{SYMBOL} T 5".encode()]))
        await trio.sleep(0.01)
        assert (b.market.book.change_id, b.market.ticker.last) == (b.change_id, 1.0)


async def test_a_short_disconnection_is_ridden_out_and_its_hole_filled_before_live(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as (b, _):
        client = b.venue.client()
        await b.live()
        b.send("X 2", "X 3")
        b.disconnect()
        await trio.sleep(SETTINGS.disconnected_s - 1)
        client.delay_s = 0.4
        client.trades_now = tuple(TradeRow(n, 1.0, 1.0, 1, n) for n in range(3, 15))
        b.connect()
        b.snapshot()
        b.send("X 16", "T 2")
        await trio.sleep(0.6)
        assert b.market.mode == "starting"
        await soon(lambda: b.market.mode == "streaming", within_s=1)
        assert b.market.trades.view()[:, 4].tolist() == [*range(1, 15), 16]
        assert b.market.trades.missed == 1
        quality = b.market.quality[DataClass.TRADES]
        assert (quality.missing, quality.repaired, quality.lost) == (12, 11, 1)
        assert b.moves == []


async def test_a_hole_that_leaves_with_the_old_trades_is_lost_and_not_repaired(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as (b, _):
        await b.live()
        b.send("X 2")
        b.venue.client().delay_s = 1e6
        b.send("X 10")
        quality = b.market.quality[DataClass.TRADES]
        await soon(lambda: quality.unrepaired == 7)
        b.send(*(f"X {n}" for n in range(11, 11 + b.market.trades.capacity)))
        await soon(lambda: quality.unrepaired == 0)
        assert (b.market.trades.missed, quality.missing, quality.repaired, quality.lost) == (0, 7, 0, 7)


async def test_a_long_disconnection_steps_down(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, _):
        await b.live()
        b.disconnect("the cable")
        await soon(lambda: b.modes == ["polling"], within_s=SETTINGS.disconnected_s + 1)
        assert "the cable" in b.moves[0].reason


async def test_a_feed_whose_stream_never_comes_serves_by_rest(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, _):
        await soon(lambda: b.market.mode == "polling")
        await trio.sleep(1)
        assert b.market.stale_classes(trio.current_time()) == []
        assert {fresh.source for fresh in b.market.fresh.values()} == {Source.REST}


@pytest.mark.parametrize(("silent", "data_class"), [("C", "book"), ("T", "ticker"), ("X", "trades"), ("B", "bars")])
async def test_a_class_that_falls_silent_while_the_venue_has_news_steps_down_within_its_age(
    autojump_clock: trio.testing.MockClock, silent: str, data_class: str
) -> None:
    async with bench() as (b, nursery):
        client = b.venue.client()
        await b.live()
        nursery.start_soon(b.keep_beating)
        await trio.sleep(2)
        b.beating.cancel()
        await trio.sleep(0.01)
        quiet_s = trio.current_time()
        nursery.start_soon(partial(b.keep_beating, but=silent))
        client.book_now = BookSnapshot(((97.0, 1.0),), ((101.0, 1.0),), 10**9, 1)
        client.ticker_now = msgspec.structs.replace(client.ticker_now, mark=1.5)
        client.trades_now = (TradeRow(1, 1.0, 1.0, 1, 10**9),)
        client.bars_now = lambda start, end: bar_rows(start // 60_000 * 60_000, 2, volume=10.0**9)
        await soon(lambda: b.modes == ["polling"], within_s=40)
        bound_s = ROWS[data_class].age_s
        assert b.moves[0].reason.startswith(data_class)
        assert trio.current_time() - quiet_s <= bound_s + 2 * b.settings.look_every_s


async def test_a_quiet_market_is_no_fault_when_the_venue_confirms_it(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing is sent for ten minutes and nothing happens at the venue: the feed keeps streaming and no class is ever stale."""
    async with bench() as (b, _):
        client = b.venue.client()
        await b.live()
        client.ticker_now = TickerSnapshot(None, None, 1.0, 1.0, None, None, None, 1)
        for _ in range(1200):
            await trio.sleep(0.5)
            assert b.market.stale_classes(trio.current_time()) == []
        assert b.moves == []
        assert len(client.asked) < 1200


async def test_time_in_which_the_process_itself_was_away_is_not_held_against_the_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as (b, _nursery):
        await b.live()
        for _ in range(5):
            autojump_clock.jump(SETTINGS.disconnected_s + max(row.age_s for row in ROWS.values()))
            await trio.sleep(0.01)  # timers that are due go off before what waits in the sockets is read
            for _ in range(20):
                b.beat()
                await trio.sleep(0.2)
        assert b.modes == []
        assert b.market.mode == "streaming"


@pytest.mark.parametrize(("late_s", "modes"), [(ROWS["ticker"].age_s - 1, []), (ROWS["ticker"].age_s + 1, ["polling"])])
async def test_data_that_is_delivered_too_late_steps_down_and_stays_down(
    autojump_clock: trio.testing.MockClock, late_s: float, modes: list[str]
) -> None:
    async with bench() as (b, nursery):
        await b.live()
        nursery.start_soon(partial(b.keep_beating, but="T"))
        b.snapshot()
        for n in range(60):
            b.send(f"T {n} {b.venue.client().venue_ms() - int(late_s * 1000)}")
            await trio.sleep(0.5)
            if b.moves and n < 10:
                b.snapshot()
        assert b.modes == modes


async def test_a_quiet_markets_old_first_word_is_not_late(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, nursery):
        await b.live()
        nursery.start_soon(partial(b.keep_beating, but="T"))
        b.send("T 1 1600000000000")
        await trio.sleep(3)
        for n in range(20):
            b.send(f"T {n} {b.venue.client().venue_ms()}")
            await trio.sleep(0.5)
        assert b.moves == []


async def test_a_lost_batch_is_a_gap(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, _):
        await b.live()
        b.feed.tell(WatchMarket(b.system.address("root/ear"), Applied.GAP))
        await trio.sleep(0.01)
        b.feed.tell(FramesLost())
        b.feed.tell(FramesLost())
        await trio.sleep(0.01)
        assert b.heard == [MarketChanged(f"sim:{SYMBOL}", Applied.BOOK | Applied.GAP)]
        assert (b.market.book.ready, b.asked) == (False, [Resnapshot(SYMBOL)])


async def test_a_refused_channel_steps_down_and_keeps_the_feed_down(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, nursery):
        await b.live()
        b.feed.tell(ChannelRefused("trades.x"))
        await soon(lambda: b.modes == ["polling"])
        b.snapshot()
        nursery.start_soon(b.keep_beating)
        await trio.sleep(8)
        assert b.modes == ["polling"]


async def test_a_crash_costs_a_snapshot_and_nothing_else(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, _):
        await b.live()
        bars = len(b.market.bars["1m"])
        b.system.kill(PATH)
        await soon(lambda: b.asked == [Resnapshot(SYMBOL)])
        assert b.market.book.best_bid() is None
        assert len(b.market.bars["1m"]) == bars
        b.snapshot()
        await soon(lambda: b.market.mode == "streaming")
        assert (b.moves, restarts(b.system)) == ([], 1)


async def test_bars_that_a_crash_may_have_lost_the_end_of_are_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The frames in hand at a crash are not handled again, and one may have been a bar's last version."""
    async with bench() as (b, _):
        await b.live()
        b.beat()
        await soon(lambda: b.market.mode == "streaming")
        open_ms = b.market.bars["1m"].last_key
        b.venue.client().bars_now = lambda start, end: bar_rows(start // 60_000 * 60_000, 2, volume=9.0)
        b.system.kill(PATH)
        await soon(lambda: b.asked == [Resnapshot(SYMBOL)])
        b.snapshot()
        await soon(lambda: volume_of(b, open_ms) == 9.0)


def volume_of(b: Bench, open_ms: float | None) -> float:
    rows = b.market.bars["1m"].view()
    return float(rows[rows[:, 0] == open_ms][0, 5])


# ── polling and back ───────────────────────────────────────────────────────────────────────────────────────────────────


async def fallen(b: Bench) -> None:
    """A feed that polls because its stream is away."""
    await b.live()
    b.disconnect()
    await soon(lambda: b.market.mode == "polling")


async def test_rest_serves_within_one_poll_and_keeps_every_class_fresh(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, _):
        b.venue.client().delay_s = 0.05
        await fallen(b)
        b.venue.client().book_now = BookSnapshot(((90.0, 2.0),), ((91.0, 2.0),), 5, 5)
        await soon(lambda: b.market.book.best_bid() == (90.0, 2.0), within_s=ROWS["book"].poll_s + 0.2)
        for _ in range(60):
            await trio.sleep(0.5)
            assert b.market.stale_classes(trio.current_time()) == []
        assert b.market.fresh[DataClass.BOOK].source is Source.REST


async def test_a_class_that_is_asked_for_rarely_is_asked_again_soon_when_it_was_not_answered(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROWS, "trades", msgspec.structs.replace(ROWS["trades"], poll_s=600.0))
    async with bench() as (b, _):
        await b.live()
        client = b.venue.client()
        client.trouble = NotSent("busy")
        b.disconnect()
        await soon(lambda: b.market.mode == "polling")
        await trio.sleep(20)
        client.trouble, asked = None, client.asked.count("trades")
        await soon(lambda: client.asked.count("trades") > asked, within_s=60)
        await trio.sleep(300)
        assert client.asked.count("trades") == asked + 1


async def test_streaming_comes_back_after_a_snapshot_and_clean_seconds(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, nursery):
        await fallen(b)
        b.connect()
        await trio.sleep(1)
        b.snapshot()
        nursery.start_soon(b.keep_beating)
        began_s = trio.current_time()
        await trio.sleep(SETTINGS.clean_s - 0.1)
        assert b.modes == ["polling"]
        await soon(lambda: b.modes == ["polling", "streaming"], within_s=1)
        assert trio.current_time() - began_s >= SETTINGS.clean_s
        await soon(lambda: b.market.mode == "streaming", within_s=1)
        await trio.sleep(2)
        assert (
            b.market.book.change_id == b.change_id
        )  # no frame between the modes was lost: no other snapshot was needed
        assert Resnapshot(SYMBOL) not in b.asked
        assert b.market.fresh[DataClass.BOOK].source is Source.STREAM
        assert restarts(b.system) == 0


async def test_a_bar_that_closed_in_a_silence_is_asked_for_though_no_poll_came(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The connection stays, so nothing else says that anything was missed: the stream goes on with the next bar."""
    async with bench() as (b, nursery):
        await b.live()
        b.beat()
        await soon(lambda: b.market.mode == "streaming")
        client, open_ms = b.venue.client(), b.market.bars["1m"].last_key
        client.trouble = NotSent("busy")
        await soon(lambda: b.market.mode == "polling", within_s=60)
        b.snapshot()
        nursery.start_soon(b.keep_beating)
        await soon(lambda: b.modes == ["polling", "streaming"], within_s=60)
        client.bars_now = lambda start, end: bar_rows(start // 60_000 * 60_000, 5, volume=9.0)
        client.trouble = None
        await soon(lambda: volume_of(b, open_ms) == 9.0, within_s=30)


async def test_a_gap_on_probation_starts_it_over(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, nursery):
        await fallen(b)
        b.connect()
        b.snapshot()
        nursery.start_soon(b.keep_beating)
        await trio.sleep(SETTINGS.clean_s - 1)
        b.send("C 998 999")
        b.snapshot()
        await trio.sleep(SETTINGS.clean_s - 0.2)
        assert b.modes == ["polling"]
        await soon(lambda: b.modes == ["polling", "streaming"], within_s=1.5)


async def test_a_stream_that_is_up_but_brings_no_snapshot_is_asked_again_ever_more_rarely(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as (b, _):
        await fallen(b)
        b.connect()
        await trio.sleep(600)
        assert b.modes == ["polling"]
        assert set(b.asked) == {Resnapshot(SYMBOL)}
        assert 10 <= len(b.asked) <= 20


async def test_the_class_that_fell_silent_must_be_heard_from_again(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, nursery):
        client = b.venue.client()
        await b.live()
        client.trades_now = (TradeRow(1, 1.0, 1.0, 1, 10**12),)
        client.bars_now = lambda start, end: bar_rows(start // 60_000 * 60_000, 2, volume=7.0)
        nursery.start_soon(partial(b.keep_beating, but="X"))
        await soon(lambda: b.modes == ["polling"], within_s=30)
        assert b.moves[0].reason.startswith("trades")
        b.snapshot()
        await trio.sleep(60)
        assert b.modes == ["polling"]
        await trio.sleep(540)
        assert 5 <= b.asked.count(Resubscribe(SYMBOL)) <= 15
        b.send(f"X {10**12 + 1}")
        b.snapshot()
        await soon(lambda: b.modes == ["polling", "streaming"], within_s=8)


async def test_the_ladder_uses_no_restart_however_often_it_is_climbed(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, nursery):
        await b.live()
        for n in range(1, 21):
            b.disconnect()
            await soon(lambda n=n: len(b.moves) == 2 * n - 1)
            b.connect()
            b.snapshot()
            nursery.start_soon(b.keep_beating)
            await soon(lambda n=n: len(b.moves) == 2 * n, within_s=10)
            b.beating.cancel()
        assert b.modes == ["polling", "streaming"] * 20
        assert restarts(b.system) == 0


async def test_a_venue_that_is_away_altogether_makes_data_stale_and_nothing_worse(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as (b, _):
        await fallen(b)
        b.venue.go_away()
        await trio.sleep(3600)
        assert set(b.market.stale_classes(trio.current_time())) == set(ROWS)
        polls = [what for what in b.venue.client().asked if what != "time"]
        assert len(polls) < 3600 * len(ROWS) / 20
        b.venue.come_back()
        await soon(lambda: not b.market.stale_classes(trio.current_time()), within_s=60)
        assert restarts(b.system) == 0


# ── watchers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_watcher_is_told_what_it_wants_and_nothing_after_it_ends_that(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench() as (b, _):
        await b.live()
        watcher = b.system.address("root/ear")
        b.feed.tell(WatchMarket(watcher, Applied.TRADES))
        b.beat(but="X")
        await trio.sleep(0.01)
        assert [m for m in b.heard if isinstance(m, MarketChanged)] == []
        b.send("X 5")
        await trio.sleep(0.01)
        assert b.heard == [MarketChanged(f"sim:{SYMBOL}", Applied.TRADES)]
        b.feed.tell(WatchMarket(watcher, Applied.NOTHING))
        b.send("X 6")
        await trio.sleep(0.01)
        assert len(b.heard) == 1


async def test_watchers_outlive_crashes_and_moves_and_hear_of_polls(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, _):
        await b.live()
        b.feed.tell(WatchMarket(b.system.address("root/ear"), Applied.TICKER))
        await trio.sleep(0.01)
        b.system.kill(PATH)
        await soon(lambda: b.asked)
        b.send("T 5")
        await trio.sleep(0.01)
        assert len(b.heard) == 1
        b.disconnect()
        await soon(lambda: b.market.mode == "polling")
        await trio.sleep(5)
        assert len(b.heard) >= 5


async def test_a_dead_watcher_is_forgotten_and_their_number_is_limited(autojump_clock: trio.testing.MockClock) -> None:
    settings = msgspec.structs.replace(SETTINGS, watchers=2)
    async with bench(settings) as (b, _):
        await b.live()
        for n in range(3):
            await b.system.start_child("root", ear(f"w{n}", []))
            b.feed.tell(WatchMarket(b.system.address(f"root/w{n}"), Applied.TRADES))
        await trio.sleep(0.01)
        heard: list[Message] = []
        await b.system.stop_child("root/w0")
        await b.system.start_child("root", ear("w3", heard))
        b.feed.tell(WatchMarket(b.system.address("root/w3"), Applied.TRADES))
        b.send("X 5")
        await trio.sleep(0.01)
        assert len(heard) == 1
        assert b.system.dead_letters.count == 0


# ── settings and parts ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"intervals": ["7m"]}, "intervals: expected"),
        ({"intervals": ["1m", "1m"]}, "intervals: expected different"),
        ({"watchers": 0}, ">= 1"),
        ({"unknown": 1}, "unknown field"),
    ],
)
def test_settings_that_contradict_themselves_are_refused_by_name(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=expected):
        msgspec.convert(wrong, FeedSettings)


async def test_many_symbols_share_streams_and_a_symbol_may_contain_what_a_path_may_not() -> None:
    symbols = [f"S{n}/USD" for n in range(7)]
    state = VenueState("sim")
    addresses: list[str] = []

    def address(path: str) -> Any:
        addresses.append(path)
        return path

    spec = feed_specs(
        ScriptedVenue(), state, symbols, under="root/v", address=address, session=address("s"),
        rows=ROWS, feed=SETTINGS, stream=StreamSettings(symbols_per_stream=3),
    )  # fmt: skip
    names = [child.name for child in spec.children]
    assert names == [*(f"feed:S{n}_USD" for n in range(7)), "stream:0", "stream:1", "stream:2"]
    assert {f"root/v/feeds/{name}" for name in names} == set(addresses) - {"s"}
    assert list(state.markets) == symbols


@given(st.lists(st.integers(1, 30), unique=True), st.lists(st.integers(1, 30), unique=True))
def test_handing_over_loses_no_trade_of_either_source(polled: list[int], streamed: list[int]) -> None:
    venue = VenueState("sim")
    state = venue.markets["X"] = MarketState("sim:X", bounds_s={DataClass(name): 5.0 for name in ROWS})
    seat: Any = FeedSeat(
        ScriptedVenue(), venue, "X", "",
        rows=ROWS, settings=SETTINGS, session=cast("Any", None), stream=None, pulse=Pulse(),
    )  # fmt: skip
    gathered = probation_of(seat)
    for market, seqs in ((state, polled), (gathered, streamed)):
        for seq in sorted(seqs):
            market.trades.add(time_ms=seq, price=1.0, amount=1.0, taker_side=1, trade_seq=seq)
    gathered.book.replace([(1.0, 1.0)], [(2.0, 1.0)], change_id=77, venue_ms=5)
    gathered.touch(DataClass.BOOK, Source.STREAM, 9.0)
    hand_over(seat, gathered)
    assert state.trades.view()[:, 4].tolist() == sorted(set(polled) | set(streamed))
    assert (state.book.change_id, state.book.ready, state.fresh[DataClass.BOOK].updated_s) == (77, True, 9.0)


@given(
    st.sampled_from([DataClass.TICKER, DataClass.MARK]),
    st.tuples(st.integers(1, 30), st.booleans()),
    st.tuples(st.integers(1, 30), st.booleans()),
)
def test_handing_over_never_puts_an_older_figure_in_place_of_a_newer(
    name: DataClass, polled: tuple[int, bool], streamed: tuple[int, bool]
) -> None:
    """A stream that fell silent on probation left what was current then; what polls brought since is newer."""
    venue = VenueState("sim")
    bounds_s = {DataClass.TICKER: 5.0, DataClass.MARK: 5.0}
    state = venue.markets["X"] = MarketState("sim:X", bounds_s=bounds_s)
    scripted = ScriptedVenue()
    scripted.routes = {"": frozenset(bounds_s)}
    seat: Any = FeedSeat(
        scripted, venue, "X", "",
        rows=dict.fromkeys(bounds_s, ROWS["ticker"]), settings=SETTINGS, session=cast("Any", None), stream=None,
        pulse=Pulse(),
    )  # fmt: skip
    gathered = probation_of(seat)
    for market, source, (at, told) in ((state, Source.REST, polled), (gathered, Source.STREAM, streamed)):
        if told:
            market.ticker.bid = market.ticker.mark = float(at)
            market.ticker.venue_ms = market.ticker.mark_ms = at
            market.touch(name, source, float(at))
    hand_over(seat, gathered)
    newest = max([at for at, told in (polled, streamed) if told], default=0)
    figure, stamp = ("bid", "venue_ms") if name is DataClass.TICKER else ("mark", "mark_ms")
    assert getattr(state.ticker, stamp) == newest
    assert getattr(state.ticker, figure) == (newest or None)
