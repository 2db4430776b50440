"""Moments that come: none is missed, none comes early, and the wall clock may jump as it likes."""

from hypothesis import given
from hypothesis import strategies as st

from engine.model import Alarms, Moment

DUE, DEADLINE = Moment.DUE, Moment.DEADLINE


def test_a_moment_is_fixed_when_it_is_first_seen_whatever_the_wall_clock_says_later() -> None:
    alarms = Alarms()
    alarms.set("a", DUE, 5_000, now_ms=1_000, now_s=100.0)
    alarms.set("a", DUE, 5_000, now_ms=900_000, now_s=101.0)
    assert alarms.at_s("a", DUE) == 104.0
    assert list(alarms.ring(103.9)) == []
    assert list(alarms.ring(104.0)) == [("a", DUE)]
    assert list(alarms.ring(1e9)) == []
    alarms.set("a", DUE, 5_000, now_ms=0, now_s=200.0)
    assert list(alarms.ring(200.0)) == [("a", DUE)], "who asks again for what has come is told again"
    assert list(alarms.ring(1e9)) == []


def test_a_moment_that_is_moved_comes_at_its_new_time() -> None:
    alarms = Alarms()
    alarms.set("a", DEADLINE, 2_000, now_ms=0, now_s=0.0)
    alarms.set("a", DEADLINE, 9_000, now_ms=0, now_s=0.0)
    assert list(alarms.ring(5.0)) == []
    assert list(alarms.ring(9.0)) == [("a", DEADLINE)]


def test_what_could_not_be_acted_on_rings_again() -> None:
    alarms = Alarms()
    alarms.set("a", DUE, 1_000, now_ms=0, now_s=0.0)
    assert list(alarms.ring(1.0)) == [("a", DUE)]
    alarms.repeat("a", DUE, 1.25)
    assert list(alarms.ring(1.2)) == []
    assert list(alarms.ring(1.25)) == [("a", DUE)]
    assert alarms.at_s("a", DUE) == 1.0


steps = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(Moment), st.integers(1, 100)), max_size=60)


@given(steps, st.sets(st.sampled_from("abcdef")))
def test_every_moment_of_who_is_not_forgotten_comes_once_its_time_is_there(
    known: list[tuple[str, Moment, int]], forgotten: set[str]
) -> None:
    alarms, last = Alarms(), {}
    for order_id, what, at_s in known:
        alarms.set_s(order_id, what, float(at_s))
        last[order_id, what] = at_s
    for order_id in forgotten:
        alarms.forget(order_id)
    heard: dict[tuple[str, Moment], int] = {}
    for now_s in range(101):
        heard |= {ring: now_s for ring in alarms.ring(float(now_s)) if ring not in heard}
    assert heard == {ring: at_s for ring, at_s in last.items() if ring[0] not in forgotten}


def test_moving_and_forgetting_for_ever_keeps_no_more_than_is_there() -> None:
    alarms = Alarms()
    for number in range(5_000):
        alarms.set_s("kept", DUE, float(number))
        alarms.set_s(f"{number}", DEADLINE, 1e9)
        alarms.forget(f"{number}")
    assert len(alarms._heap) <= 2 + 64 + 1
