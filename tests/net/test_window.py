"""Limits that begin anew with each window of the venue's clock: never exceeded there, whatever the requests and the clocks do."""

import contextlib
from collections import Counter

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.net import BudgetExceeded, Priority, RateBudget, Window

PERIOD_S = 60.0
MARGIN_S = 0.5


def _budget(limit: float = 100, *, share: float = 1.0, offset_s: float = 0.0) -> RateBudget:
    """`offset_s`: what the venue's clock is ahead of trio's."""
    window = Window(limit, PERIOD_S, share, MARGIN_S)
    return RateBudget({"w": window}, venue_s=lambda: trio.current_time() + offset_s)


def _until(phase_s: float, offset_s: float = 0.0) -> float:
    """Seconds until the venue's clock is `phase_s` into a window."""
    return (phase_s - (trio.current_time() + offset_s)) % PERIOD_S


requests = st.lists(
    st.tuples(st.floats(0, 150), st.integers(1, 40), st.sampled_from(list(Priority)), st.floats(0, 0.9)),
    min_size=1,
    max_size=40,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(requests, st.floats(0, 59), st.floats(-0.24, 0.24), st.floats(0.1, 1))
def test_no_window_of_the_venue_ever_counts_more_than_our_share(
    asked: list[tuple[float, int, Priority, float]], offset_s: float, error_s: float, share: float
) -> None:
    """Requests at random times; a quarter of a second of error in our reading of the clock, as much on the way."""
    counted: Counter[int] = Counter()

    async def ask(budget: RateBudget, at_s: float, cost: int, priority: Priority, travel: float) -> None:
        await trio.sleep(at_s)
        try:
            await budget.take("w", cost, priority, 200)
        except (BudgetExceeded, ValueError):
            return
        arrived_s = trio.current_time() + offset_s + travel * 0.25
        counted[int(arrived_s // PERIOD_S)] += cost

    async def main() -> None:
        budget = _budget(share=share, offset_s=offset_s + error_s)
        async with trio.open_nursery() as nursery:
            for at_s, cost, priority, travel in asked:
                nursery.start_soon(ask, budget, at_s, cost, priority, travel)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert all(cost <= 100 * share + 1e-6 for cost in counted.values())


async def test_a_window_is_spent_at_once_and_begins_anew_at_the_boundary(
    autojump_clock: trio.testing.MockClock,
) -> None:
    budget = _budget(100)
    await trio.sleep(_until(10))
    for _ in range(10):
        await budget.take("w", 10, Priority.CANCEL, 0.1)
    began_s = trio.current_time()
    await budget.take("w", 10, Priority.CANCEL, 100)
    assert trio.current_time() - began_s == pytest.approx(50 + MARGIN_S, abs=0.01)


async def test_what_is_spent_near_a_boundary_counts_on_both_sides(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(100)
    await trio.sleep(_until(59.8))
    await budget.take("w", 70, Priority.CANCEL, 0.1)
    await trio.sleep(1.5)
    assert budget.credits("w") == 30
    await trio.sleep(PERIOD_S)
    assert budget.credits("w") == 100


async def test_what_must_be_left_untouched_is_free_by_the_end_of_the_window(
    autojump_clock: trio.testing.MockClock,
) -> None:
    budget = _budget(100)
    await trio.sleep(_until(0.6))
    began_s = trio.current_time()
    spent = []
    for _ in range(100):
        await budget.take("w", 1, Priority.HISTORY, 100)
        spent.append(trio.current_time() - began_s)
    assert 50 <= sum(at_s < 1 for at_s in spent) <= 52
    assert 20 < spent[74] < 32
    assert 55 < spent[-1] < 60


async def test_history_leaves_more_than_polls_and_polls_more_than_orders(
    autojump_clock: trio.testing.MockClock,
) -> None:
    budget = _budget(100)
    await trio.sleep(_until(0.6))
    left = []
    for priority in reversed(Priority):
        with contextlib.suppress(BudgetExceeded):
            for _ in range(101):
                await budget.take("w", 1, priority, 0.001)
        left.append(budget.credits("w"))
    history, polls, queries, orders, cancels = left
    assert 48 <= history <= 50
    assert 28 <= polls <= 30
    assert 8 <= queries == orders <= 10
    assert cancels == 0


async def test_within_a_priority_who_came_first_is_served_first(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(10)
    await trio.sleep(_until(1))
    served: list[int] = []

    async def want(number: int) -> None:
        await budget.take("w", 1 + number % 4, Priority.HISTORY, 10_000)
        served.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(want, number)
            await trio.testing.wait_all_tasks_blocked()
    assert served == list(range(200))


async def test_a_thousand_symbols_may_wait_for_their_history(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(100)
    async with trio.open_nursery() as nursery:
        for _ in range(4_000):
            nursery.start_soon(budget.take, "w", 1, Priority.HISTORY, 10_000)
    assert budget.waiting("w") == 0


# ── the venue's own count ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_others_have_spent_is_ours_no_more(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(100, share=0.5)
    await trio.sleep(_until(10))
    await budget.take("w", 20, Priority.CANCEL, 1)
    budget.observe("w", 30, trio.current_time())  # ten of them not ours: there is enough for everybody
    assert budget.credits("w") == 30
    budget.observe("w", 90, trio.current_time())
    assert budget.credits("w") == 10
    budget.observe("w", 25, trio.current_time())  # an answer that was long on the way gives nothing back
    assert budget.credits("w") == 10
    await trio.sleep(PERIOD_S)
    assert budget.credits("w") == 50


async def test_a_count_that_may_be_of_the_window_before_is_ignored(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(100)
    await trio.sleep(_until(59))
    asked_s = trio.current_time()
    await trio.sleep(2)
    budget.observe("w", 100, asked_s)
    assert budget.credits("w") == 100


async def test_the_limit_is_what_the_venue_says(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(100, share=0.5)
    budget.resize("w", 6000)
    assert budget.credits("w") == 3000


async def test_a_ban_shuts_every_pool_until_it_is_over(autojump_clock: trio.testing.MockClock) -> None:
    window = Window(100, PERIOD_S)
    budget = RateBudget({"a": window, "b": window})
    await trio.sleep(_until(5))
    budget.drain_all(125)
    for name in ("a", "b"):
        with pytest.raises(BudgetExceeded) as exceeded:
            await budget.take(name, 1, Priority.CANCEL, 60)
        assert 0 < exceeded.value.wait_s <= 125
    began_s = trio.current_time()
    await budget.take("a", 1, Priority.CANCEL, 60)
    assert trio.current_time() - began_s == pytest.approx(5, abs=0.01)


def test_a_window_that_makes_no_sense_is_refused() -> None:
    for wrong in ((0, 60, 1, 0.5), (100, 60, 0, 0.5), (100, 60, 1.1, 0.5), (100, 60, 1, 15)):
        with pytest.raises(ValueError, match="window"):
            Window(*wrong)


async def test_after_a_refusal_the_venue_is_asked_when_it_said(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(100)
    await trio.sleep(_until(5))
    budget.drain("w", 3)
    began_s = trio.current_time()
    await budget.take("w", 1, Priority.CANCEL, 60)
    assert trio.current_time() - began_s == pytest.approx(3, abs=0.01)
