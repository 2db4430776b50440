"""What a feed takes by request and reply is whole, no older than it says, and never undoes what the stream brought."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest
import trio
import trio.testing

from actors.feed.rest import ASKABLE, MarketRest
from actors.feed.settings import FeedSettings
from actors.session import SessionSettings, session_spec
from engine.model import DataClass, MarketState, Source, VenueState
from engine.venues.base import BookSnapshot, NotSent, TradeRow
from tests.support.markets import SYMBOL, ScriptedRest, ScriptedVenue, bar_rows, tree

MINUTE = 60_000
KEPT = 10


class Bench:
    def __init__(self, rest: MarketRest, state: MarketState, venue: VenueState, client: ScriptedRest) -> None:
        self.rest = rest
        self.state = state
        self.venue = venue
        self.client = client
        self.spans: list[tuple[int, int]] = []
        answer = client.bars_now

        def bars(start_ms: int, end_ms: int) -> np.ndarray:
            self.spans.append((start_ms, end_ms))
            return answer(start_ms, end_ms)

        client.bars_now = bars

    @property
    def open_ms(self) -> int:
        """Of the bar that is not closed."""
        now_ms = self.venue.now_ms(trio.current_time())
        assert now_ms is not None
        return now_ms // MINUTE * MINUTE


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    source, venue = ScriptedVenue(), VenueState("sim")
    state = MarketState(
        f"sim:{SYMBOL}", bounds_s=dict.fromkeys(DataClass, 5.0), intervals=("1m",), bars_kept=KEPT, trades_kept=50
    )
    spec = session_spec(source, accounts=(), state=venue, settings=SessionSettings(), announce=())
    async with tree(lambda _: [spec]) as system:
        await trio.sleep(1)
        session = system.address("root/session")
        rest = MarketRest(session, SYMBOL, state, venue, system.clock, FeedSettings())
        yield Bench(rest, state, venue, source.client())


async def load(b: Bench) -> None:
    await b.rest.take_bars("1m")
    b.state.loaded.add("1m")


async def test_history_is_all_bars_kept_up_to_the_unclosed_one(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        await load(b)
        keys = b.state.bars["1m"].view()[:, 0].tolist()
        assert keys == [b.open_ms - n * MINUTE for n in range(KEPT - 1, -1, -1)]


async def test_afterwards_only_what_is_new_is_asked_for(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        await load(b)
        last_ms = b.open_ms
        await trio.sleep(180)
        await b.rest.take(DataClass.BARS)
        assert b.spans[1][0] == last_ms
        assert b.state.bars["1m"].missing() == 0
        assert b.state.bars["1m"].last_key == last_ms + 3 * MINUTE


async def test_no_bars_are_polled_before_their_history_is_in(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        await b.rest.take(DataClass.BARS)
        assert b.spans == []


async def test_data_is_as_old_as_the_beginning_of_its_request(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        b.client.delay_s = 2.0
        asked_s = trio.current_time()
        await b.rest.take(DataClass.TICKER)
        fresh = b.state.fresh[DataClass.TICKER]
        assert (fresh.updated_s, fresh.source) == (asked_s, Source.REST)
        assert b.state.ticker.last == 100.0


async def test_a_slow_answer_does_not_make_newer_data_older(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        b.client.delay_s = 2.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.rest.take, DataClass.TRADES)
            await trio.sleep(1)
            b.state.trades.add(time_ms=1, price=1.0, amount=1.0, taker_side=1, trade_seq=9)
            b.state.touch(DataClass.TRADES, Source.STREAM, trio.current_time())
            came_s = trio.current_time()
        fresh = b.state.fresh[DataClass.TRADES]
        assert (fresh.updated_s, fresh.source) == (came_s, Source.STREAM)
        assert b.state.trades.view()[:, 4].tolist() == [1, 9]


async def test_a_crossed_book_by_rest_is_not_shown_and_does_not_count(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        b.client.book_now = BookSnapshot(((101.0, 1.0),), ((99.0, 1.0),), 1, 1)
        await b.rest.take(DataClass.BOOK)
        assert (b.state.book.best_bid(), b.state.fresh[DataClass.BOOK].source) == (None, Source.NONE)


async def test_bars_need_the_venues_clock(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        b.venue._anchor_ms = None
        with pytest.raises(NotSent, match="clock"):
            await b.rest.take_bars("1m")


@pytest.mark.parametrize("data_class", sorted(ASKABLE))
async def test_what_the_venue_confirms_is_as_of_now_and_keeps_its_source(
    autojump_clock: trio.testing.MockClock, data_class: DataClass
) -> None:
    async with bench() as b:
        await load(b)
        for each in ASKABLE:
            await b.rest.take(each)
        b.state.touch(data_class, Source.STREAM, trio.current_time())
        await trio.sleep(100)
        assert await b.rest.confirm(data_class) is not None
        fresh = b.state.fresh[data_class]
        assert (fresh.updated_s, fresh.source) == (trio.current_time(), Source.STREAM)


@pytest.mark.parametrize("data_class", sorted(ASKABLE))
async def test_what_the_venue_has_news_of_is_not_confirmed(
    autojump_clock: trio.testing.MockClock, data_class: DataClass
) -> None:
    async with bench() as b:
        await load(b)
        for each in ASKABLE:
            await b.rest.take(each)
        before = b.state.fresh[data_class].updated_s
        await trio.sleep(1)
        client = b.client
        client.book_now = BookSnapshot(((99.5, 1.0),), client.book_now.asks, 2, 2)
        client.ticker_now = msgspec.structs.replace(client.ticker_now, bid=99.5, mark=100.5)
        client.trades_now = (TradeRow(2, 1.0, 1.0, 1, 2),)
        client.bars_now = lambda start, end: bar_rows(b.open_ms, 1, volume=3.0)
        assert await b.rest.confirm(data_class) is None
        assert b.state.fresh[data_class].updated_s == before


async def test_bars_without_trades_are_taken_while_confirming(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as b:
        await load(b)
        await trio.sleep(120)
        assert await b.rest.confirm(DataClass.BARS) is not None
        assert b.state.bars["1m"].last_key == b.open_ms


async def test_a_mark_older_than_the_one_that_is_here_is_not_taken(autojump_clock: trio.testing.MockClock) -> None:
    """Answers are shared among feeds for a second, so one may come after a newer one did."""
    async with bench() as b:
        newer = b.venue.now_ms(trio.current_time())
        assert newer is not None
        b.client.ticker_now = msgspec.structs.replace(b.client.ticker_now, mark=101.0, venue_ms=newer)
        await b.rest.take(DataClass.MARK)
        b.client.ticker_now = msgspec.structs.replace(b.client.ticker_now, mark=99.0, venue_ms=newer - 400)
        await b.rest.take(DataClass.MARK)
        assert (b.state.ticker.mark, b.state.ticker.mark_ms) == (101.0, newer)
