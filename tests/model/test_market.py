"""A reader can always tell fresh from stale, and the venue's time does not follow our wall clock."""

from hypothesis import given
from hypothesis import strategies as st

from engine.model import DataClass, MarketState, Source, VenueState

TIMES = st.floats(0, 1e6)


def market() -> MarketState:
    return MarketState("sim:X", bounds_s={DataClass.BOOK: 3.0, DataClass.TRADES: 60.0}, intervals=("1m",))


def test_what_never_came_is_stale() -> None:
    assert market().stale_classes(0.0) == [DataClass.BOOK, DataClass.TRADES]
    shown = market().summary(0.0).classes[DataClass.BOOK]
    assert (shown.age_s, shown.stale, shown.source) == (None, True, Source.NONE)


@given(TIMES, st.floats(0, 100))
def test_a_class_is_stale_exactly_when_its_data_is_older_than_its_bound(at_s: float, later_s: float) -> None:
    state = market()
    state.touch(DataClass.BOOK, Source.STREAM, at_s)
    now_s = at_s + later_s
    assert (DataClass.BOOK in state.stale_classes(now_s)) is (now_s - at_s > 3.0)
    assert DataClass.TRADES in state.stale_classes(now_s)
    assert state.summary(now_s).classes[DataClass.BOOK].source is Source.STREAM


def test_a_class_without_a_bound_is_counted_but_not_watched() -> None:
    state = market()
    state.touch(DataClass.BARS, Source.REST, 5.0)
    assert state.updates == 1
    assert DataClass.BARS not in state.fresh


def test_a_summary_prefers_the_book_and_falls_back_to_the_ticker() -> None:
    state = market()
    state.ticker.bid, state.ticker.ask = 9.0, 12.0
    assert (state.summary(0.0).bid, state.summary(0.0).ask) == (9.0, 12.0)
    state.book.replace([(10.0, 1.0)], [(11.0, 1.0)], change_id=1, venue_ms=0)
    assert (state.summary(0.0).bid, state.summary(0.0).ask) == (10.0, 11.0)


@given(st.integers(0, 2**42), TIMES, st.floats(0, 1e5))
def test_the_venues_time_runs_with_our_monotonic_clock(venue_ms: int, at_s: float, later_s: float) -> None:
    venue = VenueState("sim")
    assert venue.now_ms(at_s) is None
    venue.set_time(venue_ms, at_s)
    now_ms = venue.now_ms(at_s + later_s)
    assert now_ms is not None
    assert abs(now_ms - (venue_ms + later_s * 1000)) <= 2
