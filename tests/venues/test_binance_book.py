"""The local book out of changes and a snapshot: equal to the venue's whatever is lost, doubled or cut elsewhere."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import MarketState
from engine.venues.base import Applied, BookSnapshot
from engine.venues.binance_usdm import BinanceUsdmSettings
from engine.venues.binance_usdm.feed import BinanceUsdmFeed
from engine.venues.binance_usdm.localbook import MAX_WAITING
from tests.support.binance import SYMBOL, T0, depth, state

DIFF = "depth@100ms"
Side = dict[float, float]


def _feed() -> BinanceUsdmFeed:
    return BinanceUsdmFeed(SYMBOL, BinanceUsdmSettings(book="diff"))


class Truth:
    """The venue's own book, its chain of changes, and what it looked like after each of them."""

    def __init__(self, changes: list[tuple[int, list[tuple[int, float]], int]]) -> None:
        self.frames: list[bytes] = []
        self.ends: list[int] = []
        self.books: list[tuple[Side, Side]] = []
        bids: Side = {100.0: 1.0}
        asks: Side = {101.0: 1.0}
        last = 1000
        for skipped, levels, width in changes:
            changed: tuple[Side, Side] = ({}, {})
            for offset, amount in levels:
                if offset < 0:
                    changed[0][100.5 + offset] = amount
                else:
                    changed[1][100.5 + offset + 1] = amount
            for side, change in zip((bids, asks), changed, strict=True):
                side.update(change)
            first, end = last + 1 + skipped, last + 1 + skipped + width
            at = T0 + 100 * len(self.ends)
            self.frames.append(depth(DIFF, u=end, pu=last, first=first, at=at, bids=changed[0], asks=changed[1]))
            last = end
            self.ends.append(end)
            self.books.append(tuple({p: a for p, a in side.items() if a > 0} for side in (bids, asks)))  # type: ignore[arg-type]

    def snapshot(self, after: int, late: int = 0) -> BookSnapshot:
        """What REST says after change number `after`; its id may be a little later than that change's."""
        bids, asks = self.books[after]
        return BookSnapshot(tuple(bids.items()), tuple(asks.items()), self.ends[after] + late, T0 + 100 * after)

    def shown(self, after: int) -> Any:
        bids, asks = self.books[after]
        return tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items()))


amounts = st.integers(0, 5).map(lambda n: n / 2)
levels = st.lists(st.tuples(st.integers(-8, 7), amounts), max_size=4)
chains = st.lists(st.tuples(st.integers(0, 3), levels, st.integers(0, 9)), min_size=3, max_size=25)


def _shown(market: MarketState) -> Any:
    return market.book.bids(), market.book.asks()


@given(chains, st.data())
def test_a_book_seeded_anywhere_is_the_venues_book(chain: Any, data: st.DataObject) -> None:
    """The snapshot stands at any change, those that were already here and those that were not; some come twice."""
    truth, feed, market = Truth(chain), _feed(), state()
    count = len(truth.frames)
    begun = data.draw(st.integers(0, count - 1))
    heard = data.draw(st.integers(begun, count))
    after = data.draw(st.integers(max(begun - 1, 0), count - 1))
    assert feed.seed is not None
    for frame in truth.frames[begun:heard]:
        feed.apply(frame, market, 1.0)
        assert not market.book.ready
    seeded = feed.seed(truth.snapshot(after), market, 1.0)
    assert seeded == Applied.BOOK | Applied.SNAPSHOT
    assert _shown(market) == truth.shown(max(after, heard - 1))
    for number in range(heard, count):
        for _ in range(data.draw(st.integers(1, 2))):
            feed.apply(truth.frames[number], market, 1.0)
        assert _shown(market) == truth.shown(max(after, number))


@given(chains, st.data())
def test_whatever_is_lost_or_doubled_the_book_shows_the_truth_or_nothing(chain: Any, data: st.DataObject) -> None:
    truth, feed, market = Truth(chain), _feed(), state()
    assert feed.seed is not None
    feed.apply(truth.frames[0], market, 1.0)
    feed.seed(truth.snapshot(0), market, 1.0)
    whole = True
    for number in range(1, len(truth.frames)):
        fate = data.draw(st.sampled_from(["comes", "comes", "comes", "lost", "twice", "old"]))
        if fate == "lost":
            continue
        wanted = [number] * (2 if fate == "twice" else 1) + ([number - 1] if fate == "old" else [])
        for each in wanted:
            gap = feed.apply(truth.frames[each], market, 1.0) & Applied.GAP
            assert bool(gap) == (whole and not market.book.ready)  # said once
            whole = market.book.ready
        if not whole and data.draw(st.booleans()):
            feed.seed(truth.snapshot(number), market, 1.0)
            whole = market.book.ready
            assert whole
        assert not whole or _shown(market) == truth.shown(number)


def test_a_snapshot_at_the_end_of_a_change_is_followed_by_the_next_whether_or_not_that_change_came() -> None:
    truth = Truth([(3, [(-1, 1.0)], 5)] * 3)
    for first in (0, 1):
        feed, market = _feed(), state()
        assert feed.seed is not None
        for frame in truth.frames[first:]:
            feed.apply(frame, market, 1.0)
        assert feed.seed(truth.snapshot(0), market, 1.0) == Applied.BOOK | Applied.SNAPSHOT
        assert _shown(market) == truth.shown(2)


def test_a_snapshot_from_before_the_stream_does_not_meet_it() -> None:
    truth, feed, market = Truth([(0, [(-1, 1.0)], 1)] * 4), _feed(), state()
    assert feed.seed is not None
    assert feed.apply(truth.frames[2], market, 1.0) == Applied.BOOK | Applied.GAP
    assert feed.apply(truth.frames[3], market, 1.0) == Applied.NOTHING
    assert feed.seed(truth.snapshot(0), market, 1.0) & Applied.GAP
    assert not market.book.ready
    assert feed.seed(truth.snapshot(1), market, 1.0) == Applied.BOOK | Applied.SNAPSHOT
    assert _shown(market) == truth.shown(3)


def test_what_waits_for_a_snapshot_is_bounded_and_the_newest_stays() -> None:
    count = MAX_WAITING * 3
    truth, feed, market = Truth([(0, [(-1, 1.0), (2, 1.5)], 1)] * count), _feed(), state()
    assert feed.seed is not None
    for frame in truth.frames:
        feed.apply(frame, market, 1.0)
    assert feed.seed(truth.snapshot(count - MAX_WAITING - 5), market, 1.0) & Applied.GAP
    assert feed.seed(truth.snapshot(count - 10), market, 1.0) & Applied.SNAPSHOT
    assert _shown(market) == truth.shown(count - 1)


def test_a_book_that_somebody_else_wrote_is_not_built_upon() -> None:
    """A short book from REST stands at the right number and lacks the levels below."""
    truth, feed, market = Truth([(0, [(-1, 1.0)], 1)] * 3), _feed(), state()
    snapshot = truth.snapshot(0)
    market.book.replace(snapshot.bids[:1], snapshot.asks[:1], change_id=snapshot.change_id, venue_ms=T0)
    assert feed.apply(truth.frames[1], market, 1.0) & Applied.GAP
    assert not market.book.ready


def test_a_venue_that_counts_anew_is_followed_after_a_snapshot() -> None:
    feed, market = _feed(), state()
    assert feed.seed is not None
    feed.seed(BookSnapshot(((1.0, 1.0),), ((2.0, 1.0),), 5_000, T0), market, 1.0)
    assert feed.apply(depth(DIFF, u=20, pu=10, at=T0 + 100), market, 1.0) == Applied.NOTHING
    assert feed.apply(depth(DIFF, u=20, pu=10, at=T0 + 60_000), market, 1.0) & Applied.GAP
    feed.seed(BookSnapshot(((1.0, 1.0),), ((2.0, 1.0),), 20, T0 + 60_000), market, 1.0)
    assert (market.book.ready, market.book.change_id) == (True, 20)


# ── twenty levels, each time whole ─────────────────────────────────────────────────────────────────────────────────────


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=4))
def test_of_whole_books_the_newest_is_shown_in_whatever_order_they_come(order: list[int], again: list[int]) -> None:
    feed, market = BinanceUsdmFeed(SYMBOL, BinanceUsdmSettings()), state()
    newest = -1
    for n in (*order, *again):
        applied = feed.apply(depth(u=100 + n, at=T0 + n, bids=[(50.0 + n, 1.0)], asks=[(60.0, 1.0)]), market, 1.0)
        assert applied == (Applied.BOOK | Applied.SNAPSHOT if n > newest else Applied.NOTHING)
        newest = max(newest, n)
        assert market.book.best_bid() == (50.0 + newest, 1.0)


def test_a_whole_book_needs_no_order_of_its_levels_and_may_have_an_empty_side() -> None:
    feed, market = BinanceUsdmFeed(SYMBOL, BinanceUsdmSettings()), state()
    feed.apply(depth(u=1, bids=[(3.0, 1.0), (5.0, 1.0), (4.0, 1.0)], asks=[]), market, 1.0)
    assert (market.book.bids(2), market.book.asks()) == (((5.0, 1.0), (4.0, 1.0)), ())


def test_a_crossed_book_is_a_gap_and_the_next_one_ends_it() -> None:
    feed, market = BinanceUsdmFeed(SYMBOL, BinanceUsdmSettings()), state()
    assert feed.apply(depth(u=1, bids=[(5.0, 1.0)], asks=[(4.0, 1.0)]), market, 1.0) & Applied.GAP
    assert not market.book.ready
    assert feed.apply(depth(u=2), market, 1.0) & Applied.SNAPSHOT


@pytest.mark.parametrize("kind", ["depth20", "diff"])
def test_only_a_stream_of_changes_wants_a_snapshot(kind: Any) -> None:
    seed = BinanceUsdmFeed(SYMBOL, BinanceUsdmSettings(book=kind)).seed
    assert (seed is not None) == (kind == "diff")
