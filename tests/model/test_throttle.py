"""So many a second, and a burst."""

from hypothesis import given
from hypothesis import strategies as st

from engine.model import Throttle


@given(
    st.floats(0.1, 100),
    st.floats(0.1, 10),
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_no_span_of_time_sees_more_than_its_seconds_allow_and_one_burst(
    per_s: float, burst_s: float, gaps_s: list[float]
) -> None:
    throttle, now_s, went = Throttle(per_s, burst_s), 100.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        if throttle.allows(now_s):
            throttle.take()
            went.append(now_s)
    full = max(1.0, per_s * burst_s)
    for first, start_s in enumerate(went):
        for last in range(first, len(went)):
            assert last - first + 1 <= full + (went[last] - start_s) * per_s + 1e-6


def test_without_a_rate_everything_goes() -> None:
    throttle = Throttle(None, 1.0)
    for _ in range(1000):
        assert throttle.allows(0.0)
        throttle.take()


def test_what_is_never_held_up_is_paid_for_by_what_comes_after_it_and_not_for_ever() -> None:
    throttle = Throttle(10.0, 1.0)
    for _ in range(1000):
        throttle.take()
    assert not throttle.allows(1.0)
    assert throttle.allows(2.2)


def test_a_clock_that_stands_still_gives_nothing() -> None:
    throttle = Throttle(1.0, 1.0)
    assert throttle.allows(5.0)
    throttle.take()
    assert not throttle.allows(5.0)
    assert throttle.allows(6.0)
