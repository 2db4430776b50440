"""A book shows exactly what the venue's book is, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Book, Level
from engine.model.market.book import MAX_LEVELS

BIDS = st.integers(1, 50).map(float)  # never crosses: every bid is below every ask
ASKS = st.integers(51, 100).map(float)
AMOUNTS = st.one_of(st.just(0.0), st.integers(1, 9).map(float))


def levels(prices: st.SearchStrategy[float]) -> st.SearchStrategy[list[Level]]:
    return st.lists(st.tuples(prices, AMOUNTS), max_size=6, unique_by=lambda level: level[0])


CHANGES = st.lists(st.tuples(levels(BIDS), levels(ASKS), st.booleans()), max_size=12)


def sorted_side(side: dict[float, float], *, best_high: bool) -> tuple[Level, ...]:
    return tuple(sorted(side.items(), reverse=best_high))


def test_a_new_book_shows_nothing() -> None:
    book = Book()
    assert (book.best_bid(), book.best_ask(), book.mid(), book.bids(), book.asks(3)) == (None, None, None, (), ())
    assert not book.ready


@given(levels(BIDS), levels(ASKS), CHANGES)
def test_a_book_shows_the_venues_levels_or_nothing(
    bids: list[Level], asks: list[Level], changes: list[tuple[list[Level], list[Level], bool]]
) -> None:
    venue_bids, venue_asks = ({price: amount for price, amount in side if amount} for side in (bids, asks))
    book, change_id, lost = Book(), 7, False
    book.replace(bids, asks, change_id=change_id, venue_ms=1)
    for new_bids, new_asks, delivered in changes:
        for side, new in ((venue_bids, new_bids), (venue_asks, new_asks)):
            side.update(new)
            for price in [price for price, amount in side.items() if not amount]:
                del side[price]
        previous_id, change_id = change_id, change_id + 3
        if delivered:
            whole = book.change(new_bids, new_asks, previous_id=previous_id, change_id=change_id, venue_ms=2)
            assert whole is not lost
        lost = lost or not delivered
        if not delivered:
            continue
        assert book.ready is not lost
        assert book.bids() == (() if lost else sorted_side(venue_bids, best_high=True))
        assert book.asks() == (() if lost else sorted_side(venue_asks, best_high=False))
        assert book.gaps == int(lost)


@given(levels(BIDS), levels(ASKS), st.integers(0, 8), st.booleans())
def test_best_levels_and_depths_agree_with_the_whole_side(
    bids: list[Level], asks: list[Level], depth: int, sort_first: bool
) -> None:
    book = Book()
    book.replace(bids, asks, change_id=1, venue_ms=1)
    whole = (
        sorted_side({p: a for p, a in bids if a}, best_high=True),
        sorted_side({p: a for p, a in asks if a}, best_high=False),
    )
    if sort_first:
        assert (book.bids(), book.asks()) == whole
    assert (book.bids(depth), book.asks(depth)) == (whole[0][:depth], whole[1][:depth])
    assert book.best_bid() == (whole[0][0] if whole[0] else None)
    assert book.best_ask() == (whole[1][0] if whole[1] else None)
    assert book.mid() == ((whole[0][0][0] + whole[1][0][0]) / 2 if whole[0] and whole[1] else None)


@given(st.lists(st.tuples(BIDS, AMOUNTS), max_size=8), st.lists(st.tuples(ASKS, AMOUNTS), max_size=8), st.booleans())
def test_a_snapshot_in_any_order_shows_each_level_once_best_first(
    bids: list[Level], asks: list[Level], lost_between: bool
) -> None:
    """No order is promised on the wire. Of two amounts for one price the later one counts."""
    book = Book()
    for n in range(2):
        assert book.replace(bids, asks, change_id=n, venue_ms=1)
        assert book.bids() == sorted_side({p: a for p, a in bids if a}, best_high=True)
        assert book.asks() == sorted_side({p: a for p, a in asks if a}, best_high=False)
        if lost_between:
            book.lose()


def test_a_crossed_snapshot_is_refused_and_shows_nothing() -> None:
    book = Book()
    assert not book.replace([(10.0, 1.0)], [(10.0, 1.0)], change_id=1, venue_ms=1)
    assert (book.ready, book.best_bid(), book.best_ask(), book.bids(), book.asks(1)) == (False, None, None, (), ())


def test_a_snapshot_after_changes_shows_nothing_of_before() -> None:
    book = Book()
    for n in range(3):
        assert book.replace([(10.0 + n, 1.0), (9.0, 1.0)], [(20.0 + n, 2.0)], change_id=10 * n, venue_ms=1)
        assert (book.bids(), book.asks(1)) == (((10.0 + n, 1.0), (9.0, 1.0)), ((20.0 + n, 2.0),))
        assert book.change([(9.0, 0.0)], [(21.5, 1.0)], previous_id=10 * n, change_id=10 * n + 1, venue_ms=2)
        assert (book.best_bid(), book.bids(), len(book.asks())) == ((10.0 + n, 1.0), ((10.0 + n, 1.0),), 2)
    assert not book.replace([(5.0, 1.0)], [(4.0, 1.0)], change_id=99, venue_ms=3)
    assert (book.ready, book.bids(), book.asks(), book.mid()) == (False, (), (), None)


def test_a_side_beyond_the_limit_is_a_corrupted_feed() -> None:
    book = Book()
    absurd = [(1.0 + n, 1.0) for n in range(MAX_LEVELS + 1)]
    assert not book.replace(absurd, [], change_id=1, venue_ms=1)
    assert book.replace(absurd[:-1], [], change_id=2, venue_ms=1)
    assert not book.change([(0.5, 1.0)], [], previous_id=2, change_id=3, venue_ms=1)
    assert book.bids() == ()


def test_only_the_first_loss_counts_as_a_gap_and_a_snapshot_repairs_it() -> None:
    book = Book()
    book.replace([(1.0, 1.0)], [(2.0, 1.0)], change_id=1, venue_ms=1)
    for _ in range(3):
        assert not book.change([], [], previous_id=5, change_id=6, venue_ms=2)
    assert (book.gaps, book.ready) == (1, False)
    assert book.replace([(1.0, 1.0)], [(2.0, 1.0)], change_id=9, venue_ms=3)
    assert book.change([(1.5, 2.0)], [], previous_id=9, change_id=12, venue_ms=4)
    assert (book.best_bid(), book.change_id, book.venue_ms) == ((1.5, 2.0), 12, 4)


@pytest.mark.parametrize("amount", [0.0, -1.0, float("nan")])
def test_an_amount_that_is_not_positive_removes_the_level(amount: float) -> None:
    book = Book()
    book.replace([(1.0, 1.0), (2.0, amount)], [], change_id=1, venue_ms=1)
    assert book.bids() == ((1.0, 1.0),)
    book.change([(1.0, amount)], [], previous_id=1, change_id=2, venue_ms=1)
    assert book.bids() == ()
