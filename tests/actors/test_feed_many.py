"""Many feeds share one venue: each history is loaded once whatever happens meanwhile, and polls take turns."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio
import trio.testing

from actors.feed import FeedSettings, feed_specs, polled, routing_table, shard_count
from actors.session import SessionSettings, session_spec
from actors.stream import StreamSettings
from engine.kernel import System
from engine.model import DataRow, Source, VenueState
from engine.venues.base import NotSent
from tests.support.markets import POLICY, ScriptedRest, ScriptedVenue, eventually, restarts, tree
from tests.support.toy_stream import ToyFeed, ToyServer, ToyStream, toy_server_in_memory

SYMBOLS = tuple(f"S{n}" for n in range(20))
INTERVALS = ("1m", "5m", "1h")
FEED = FeedSettings(intervals=INTERVALS)
STREAM = StreamSettings(symbols_per_stream=8, retry_max_s=1)


class Bench:
    def __init__(self, system: System, venue: ScriptedVenue, state: VenueState) -> None:
        self.system = system
        self.venue = venue
        self.state = state

    @property
    def client(self) -> ScriptedRest:
        return self.venue.client()

    def names(self) -> list[str]:
        return [node.path.rpartition("/")[2] for node in self.system.tree().walk() if "/feeds/" in node.path]

    def history(self) -> tuple[int, int]:
        return self.state.history()

    async def add(self, symbols: tuple[str, ...], rows: Mapping[str, DataRow]) -> None:
        spec = specs(self.system, self.venue, self.state, symbols, rows, shard_count(SYMBOLS, STREAM))
        for child in spec.children:
            await self.system.start_child("root/feeds", child)


def specs(
    system: System,
    venue: ScriptedVenue,
    state: VenueState,
    symbols: tuple[str, ...],
    rows: Mapping[str, DataRow],
    first_shard: int = 0,
):
    return feed_specs(
        venue, state, symbols, under="root", address=system.address, session=system.address("root/session"),
        rows=rows, feed=FEED, stream=STREAM, first_shard=first_shard,
    )  # fmt: skip


@asynccontextmanager
async def bench(
    rows: Mapping[str, DataRow] = POLICY, session: SessionSettings | None = None, delay_s: float = 0.0
) -> AsyncIterator[tuple[Bench, ToyServer]]:
    async with toy_server_in_memory() as server:
        venue = ScriptedVenue(lambda: ToyStream(server.url), lambda _: ToyFeed())
        venue.delay_s = delay_s
        state = VenueState("sim")
        first = session_spec(
            venue, accounts=(), state=state, announce=(), settings=session or SessionSettings(retry_max_s=1)
        )
        async with tree(lambda system: [first, specs(system, venue, state, SYMBOLS, rows)]) as system:
            yield Bench(system, venue, state), server


async def test_each_history_is_asked_for_once_though_connections_break_and_feeds_fall_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bench(delay_s=5.0) as (b, server):
        for _ in range(6):
            await trio.sleep(4)
            await server.drop()
        await eventually(lambda: b.history() == (60, 60), within_s=200, every_s=0.5)
        at_once = {key: most for key, most in b.client.most_at_once.items() if key[-1] == "history"}
        assert {most for key, most in at_once.items() if key[0] == "bars"} == {1}
        assert max(at_once.values()) <= 2  # a poll of trades, which wait in the same line, may meet their history
        histories = {
            key: count for key, count in b.client.asked_of.items() if key[-1] == "history" and key[0] == "bars"
        }
        assert len(histories) == 60 and set(histories.values()) == {1}
        assert restarts(b.system) == 0


async def test_after_a_failure_only_what_is_missing_is_asked_for(autojump_clock: trio.testing.MockClock) -> None:
    async with bench(delay_s=2.0) as (b, _):
        await eventually(lambda: 20 <= b.history()[0] < 60, within_s=60, every_s=0.5)
        done, spans, answer = b.history()[0], [], b.client.bars_now
        b.client.bars_now = lambda start, end: spans.append((start, end)) or answer(start, end)
        b.venue.go_away(NotSent("gone"))
        await trio.sleep(30)
        spans.clear()
        b.venue.come_back()
        await eventually(lambda: b.history() == (60, 60), within_s=200, every_s=0.5)
        whole = [end - start for start, end in spans if end - start > 400 * 60_000]
        assert 60 - done <= len(whole) <= 60 - done + 8  # and what was on its way when it went


async def test_symbols_added_to_a_running_tree_live_like_the_others(autojump_clock: trio.testing.MockClock) -> None:
    async with bench() as (b, server):
        await eventually(lambda: b.history() == (60, 60), every_s=0.5)
        await b.add(("NEW/1", "币/安", "币/生"), POLICY)
        await eventually(lambda: b.history() == (69, 69), every_s=0.5)
        assert {"stream:0", "stream:1", "stream:2", "stream:3", "feed:NEW_1"} <= set(b.names())
        assert server.clients == 4


async def test_polls_take_turns_and_no_question_is_asked_twice_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Twenty symbols want 47 answers a second and get 8: all wait alike, and the age they show is what it is."""
    rows = polled(routing_table(POLICY, {}))
    async with bench(rows, SessionSettings(concurrent=5, retry_max_s=1)) as (b, server):
        await eventually(lambda: b.history() == (60, 60), every_s=0.5)
        b.client.delay_s = 0.5
        await trio.sleep(30)
        b.client.asked_of.clear()
        b.client.most_at_once.clear()
        await trio.sleep(120)
        asked = b.client.asked_of
        for what in ("book", "ticker"):
            counts = [asked[what, symbol] for symbol in SYMBOLS]
            assert min(counts) > 0 and max(counts) - min(counts) <= 2, counts
        assert set(b.client.most_at_once.values()) == {1}
        assert server.connections == 0
        assert {node.partition(":")[0] for node in b.names()} == {"feed"}
        fresh = [fresh for market in b.state.markets.values() for fresh in market.fresh.values()]
        assert {each.source for each in fresh} == {Source.REST}
        assert max(each.age_s(trio.current_time()) for each in fresh) < 60
