"""A balance is what was there before with every line of the statement since, however questions and bookings interleave."""

from decimal import Decimal
from itertools import accumulate

from hypothesis import example, given
from hypothesis import strategies as st

from engine.model import CashFlow, FlowKind, Reckoning, admitted, agreed, begun_with, common, differences, with_lines

D = Decimal
TOLERANCE = D("1e-8")


def line(number: int, amount: str | int, at_ms: int, kind: FlowKind = FlowKind.FEE) -> CashFlow:
    return CashFlow(account="sim:main", flow_id=f"L{number}", kind=kind, currency="BTC", amount=D(amount), at_ms=at_ms)


def begun(balance: int = 100, at_ms: int = 1000) -> Reckoning:
    return begun_with(D(balance), [], young_from_ms=at_ms)


def test_lines_older_than_a_balance_must_be_in_it() -> None:
    now = with_lines(begun(), [line(1, 7, 2000), line(2, -3, 2500)], young_from_ms=5000)
    assert agreed(now, D(104), TOLERANCE) is not None
    assert agreed(now, D(107), TOLERANCE) is None, "the fee is missing"
    assert differences(now, D(107)) == (3,)


def test_lines_as_young_as_a_balance_may_be_in_it_from_the_first_to_any() -> None:
    now = with_lines(begun(), [line(1, 7, 6000), line(2, -3, 6001)], young_from_ms=5000)
    for balance, left in ((100, 2), (107, 1), (104, 0)):
        after = agreed(now, D(balance), TOLERANCE)
        assert after is not None
        assert len(after.young) == left
    assert agreed(now, D(97), TOLERANCE) is None, "the second without the first"


def test_a_young_line_the_balance_was_without_is_in_the_next() -> None:
    first = agreed(with_lines(begun(), [line(1, 7, 6000)], young_from_ms=5000), D(100), TOLERANCE)
    assert first is not None
    later = with_lines(first, [], young_from_ms=9000)
    assert agreed(later, D(100), TOLERANCE) is None
    assert agreed(later, D(107), TOLERANCE) is not None


def test_a_line_that_is_listed_late_counts_when_it_comes_however_old_it_is() -> None:
    now = with_lines(begun(), [line(1, 7, 3000)], young_from_ms=5000)
    settled = agreed(now, D(107), TOLERANCE)
    assert settled is not None
    assert agreed(settled, D(105), TOLERANCE) is None, "booked, and not listed yet"
    listed = with_lines(settled, [line(2, -2, 2000)], young_from_ms=9000)
    assert agreed(listed, D(105), TOLERANCE) is not None


def test_lines_from_before_the_beginning_are_in_the_first_balance() -> None:
    assert with_lines(begun(at_ms=1000), [line(1, 50, 999)], young_from_ms=5000).expected == 100


def test_what_the_first_balance_had_of_the_lines_of_its_moment_is_decided_by_the_second() -> None:
    lines = [line(1, 7, 1000), line(2, -3, 1001)]
    first = begun_with(D(100), lines, young_from_ms=1000)
    for second, why in ((104, "none was in it"), (97, "one was in it"), (100, "both were in it")):
        then = with_lines(first, [], young_from_ms=5000)
        after = agreed(then, D(second), TOLERANCE)
        assert after is not None, why
        assert after.doubts == (0,), "it is decided"
    assert agreed(with_lines(first, [], young_from_ms=5000), D(90), TOLERANCE) is None


def test_every_line_may_be_off_by_the_venues_rounding_and_no_more() -> None:
    lines = [line(number, "0.00000001", 2000 + number) for number in range(100)]
    now = with_lines(begun(), lines, young_from_ms=5000)
    assert agreed(now, D(100), TOLERANCE) is not None
    assert agreed(now, D(100) + D("3e-6"), TOLERANCE) is None
    assert agreed(begun(), D(100) + D("2e-8"), TOLERANCE) is None


def test_trading_between_questions_shows_no_difference_twice_and_a_theft_does() -> None:
    assert common((D(5), D(2)), (D(3), D(0)), TOLERANCE) is None
    assert common((D(-5), D(-7)), (D(-7), D(-9)), TOLERANCE) == -7


def test_a_difference_that_was_told_is_not_told_again() -> None:
    now = admitted(begun(), D(-7))
    assert agreed(now, D(93), TOLERANCE) is not None
    assert agreed(now, D(100), TOLERANCE) is None


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 900)), max_size=40),
    st.lists(st.integers(81, 200), min_size=1, max_size=8),
    st.integers(0, 60),
)
@example([(1, 0), (-1, 168)], [81, 81, 81], 0)  # lines that cancel out, one before the first look
def test_no_look_at_an_honest_venue_shows_a_difference(
    booked: list[tuple[int, int]], pauses: list[int], lag_ms: int
) -> None:
    """Lines are booked when they are stamped or up to `lag_ms` later; a look reads the balance, and a little later the lines,
    and the next one begins when all that the last one listed is booked.
    """
    history = [line(number, amount, at_ms) for number, (amount, at_ms) in enumerate(sorted(booked, key=lambda b: b[1]))]

    def balance_at(ms: int) -> Decimal:
        return D(1000) + sum((row.amount for row in history if row.at_ms + lag_ms <= ms), D(0))

    reckoning: Reckoning | None = None
    seen: set[str] = set()
    for asked_ms in accumulate(pauses):
        balance, listed_ms = balance_at(asked_ms + 5), asked_ms + 20
        young_from_ms = asked_ms - 100
        listed = [row for row in history if row.at_ms <= listed_ms]
        fresh = [row for row in listed if row.flow_id not in seen]
        seen.update(row.flow_id for row in fresh)
        if reckoning is None:
            young = [row for row in listed if row.at_ms >= young_from_ms]
            reckoning = begun_with(balance, young, young_from_ms=young_from_ms)
            continue
        now = with_lines(reckoning, fresh, young_from_ms=young_from_ms)
        reckoning = agreed(now, balance, TOLERANCE)
        assert reckoning is not None, f"{differences(now, balance)} at {asked_ms}"
