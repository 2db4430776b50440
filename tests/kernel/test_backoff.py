"""Backoff, restart windows and ladders: arithmetic with time as an argument."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel import (
    Actor,
    Backoff,
    ChildSpec,
    Entropy,
    Intensity,
    LadderPolicy,
    Mode,
    OnExhausted,
    Restart,
    SpecError,
    SupervisorSpec,
)
from engine.kernel.restarts import Ladder, RestartBook

BACKOFFS = st.builds(
    lambda low, ratio, jitter: Backoff(min_s=low, max_s=low * ratio, jitter=jitter),
    st.floats(0.001, 10),
    st.floats(1, 1000),
    st.floats(0, 1),
)


def child(*timing: Backoff | Intensity, **fields: object) -> ChildSpec:
    names = {Backoff: "backoff", Intensity: "intensity"}
    return ChildSpec("x", Actor, **{names[type(value)]: value for value in timing}, **fields)  # type: ignore[arg-type]


@given(BACKOFFS, st.integers(1, 5000), st.integers())
def test_every_delay_lies_between_the_capped_power_and_its_jitter(backoff: Backoff, attempt: int, seed: int) -> None:
    base_s = min(backoff.max_s, backoff.min_s * 2.0 ** min(attempt - 1, 60))
    delay_s = backoff.delay_s(attempt, Entropy(seed))
    assert base_s <= delay_s <= base_s * (1 + backoff.jitter) * (1 + 1e-12)


@given(BACKOFFS, st.integers(0, 50), st.integers())
def test_a_series_of_delays_never_exceeds_what_longest_says(backoff: Backoff, attempts: int, seed: int) -> None:
    entropy = Entropy(seed)
    total_s = sum(backoff.delay_s(n, entropy) for n in range(1, attempts + 1))
    assert total_s <= backoff.longest_s(attempts) * (1 + 1e-9)


@given(BACKOFFS, st.integers(0, 10), st.floats(0.01, 500))
def test_an_escalating_spec_is_accepted_exactly_if_its_window_can_always_fill(
    backoff: Backoff, max_restarts: int, period_s: float
) -> None:
    intensity = Intensity(max_restarts, period_s)
    if backoff.longest_s(max_restarts) >= period_s:
        with pytest.raises(SpecError, match="would never escalate"):
            child(backoff, intensity)
    else:
        book, now_s = RestartBook(child(backoff, intensity), Entropy(1)), 0.0
        exhausted = [book.exhausts(now_s)]
        for _ in range(max_restarts):
            now_s += book.delay_s()
            exhausted.append(book.exhausts(now_s))
        assert exhausted == [False] * max_restarts + [True]


@pytest.mark.parametrize("fields", [{"on_exhausted": OnExhausted.PARK}, {"restart": Restart.TEMPORARY}])
def test_a_spec_that_does_not_escalate_may_be_as_slow_as_it_likes(fields: dict[str, object]) -> None:
    assert child(Backoff(min_s=100, max_s=100), Intensity(5, 1), **fields).name == "x"


def test_supervisors_are_held_to_the_same_rule() -> None:
    with pytest.raises(SpecError, match="would never escalate: 5 restarts take up to 60 s"):
        SupervisorSpec("x", backoff=Backoff(10, 10, jitter=0.2), intensity=Intensity(5, 30))


def test_a_child_that_stayed_up_longer_than_healthy_after_s_restarts_with_min_s_again() -> None:
    spec = child(Backoff(min_s=1, max_s=100, jitter=0, healthy_after_s=10), on_exhausted=OnExhausted.PARK)
    book = RestartBook(spec, Entropy(1))
    delays = []
    for up_s, failed_s in [(0, 1), (2, 3), (5, 6), (10, 19.9), (30, 40)]:
        book.started(up_s)
        book.exhausts(failed_s)
        delays.append(book.delay_s())
    assert delays == [1, 2, 4, 8, 1]


def test_a_failed_start_is_no_healthy_period() -> None:
    book = RestartBook(child(Backoff(1, 100, 0, healthy_after_s=10), on_exhausted=OnExhausted.PARK), Entropy(1))
    book.started(0)
    delays = []
    for failed_s in (1, 50, 99):  # started once, then only failed starts
        book.exhausts(failed_s)
        delays.append(book.delay_s())
    assert delays == [1, 2, 4]


@given(st.lists(st.floats(0, 100), max_size=40).map(sorted), st.integers(0, 5), st.floats(0.5, 50))
def test_the_window_is_exhausted_by_more_than_n_restarts_in_its_period(
    times: list[float], max_restarts: int, period_s: float
) -> None:
    spec = child(Intensity(max_restarts, period_s), on_exhausted=OnExhausted.PARK)
    book = RestartBook(spec, Entropy(1))
    for index, now_s in enumerate(times):
        recent = [t for t in times[: index + 1] if t > now_s - period_s]
        assert book.exhausts(now_s) == (len(recent) > max_restarts)


def test_a_ladder_steps_down_after_its_failures_and_counts_anew() -> None:
    ladder = Ladder(3, LadderPolicy(failures=3, within_s=30))
    assert [ladder.fails(t) for t in (0, 10, 31)] == [False, False, False]  # the first is 31 s ago
    assert ladder.fails(35)
    ladder.step(+1)
    assert (ladder.rung, ladder.fails(36), ladder.fails(37), ladder.fails(38)) == (1, False, False, True)


def test_the_lowest_rung_has_nowhere_to_fall_to() -> None:
    ladder = Ladder(1, LadderPolicy(failures=1))
    assert not ladder.fails(0)
    assert not ladder.can_step(-1)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Backoff(min_s=2, max_s=1), "min_s <= max_s"),
        (lambda: Backoff(min_s=float("nan")), "min_s <= max_s"),
        (lambda: Backoff(max_s=float("inf")), "min_s <= max_s"),
        (lambda: Backoff(jitter=2), "backoff.jitter"),
        (lambda: Backoff(healthy_after_s=0), "healthy_after_s"),
        (lambda: Intensity(-1), "max_restarts"),
        (lambda: Intensity(1, 0), "period_s"),
        (lambda: LadderPolicy(0), "ladder"),
        (lambda: ChildSpec("a/b", Actor), "name"),
        (lambda: ChildSpec("", Actor), "name"),
        (lambda: ChildSpec("a"), "a.factory"),
        (lambda: ChildSpec("a", Actor, start_timeout_s=0), "start_timeout_s"),
        (lambda: ChildSpec("a", Actor, park_s=0), "a.park_s"),
        (lambda: ChildSpec("a", modes=(Mode("m", Actor), Mode("m", Actor))), "a.modes"),
        (lambda: SupervisorSpec("s", children=(ChildSpec("a", Actor), ChildSpec("a", Actor))), "got twice: a"),
    ],
)
def test_a_contradiction_is_refused_by_name(make: object, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        make()  # type: ignore[operator]
