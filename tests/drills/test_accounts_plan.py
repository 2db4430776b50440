"""The schedules of the accounts drill: the same from the same seed, and all there is in a long run."""

from collections import Counter
from itertools import product

from scripts.drills._accounts_ground import GROUNDS
from scripts.drills._accounts_plan import ACTS, Act, Cover, schedule

LONG = 200


def test_the_same_seed_is_the_same_schedule() -> None:
    assert schedule(7, 2) == schedule(7, 2)
    assert schedule(7, 2) != schedule(9, 2)


def test_a_long_run_meets_every_act_and_every_trouble_at_every_venue() -> None:
    met: Counter[tuple[int, str]] = Counter()
    for seed in range(LONG):
        plan = schedule(seed, len(GROUNDS))
        for burst in plan.bursts:
            met.update((plan.ground, what) for what in (*burst.acts, burst.cover))
    assert all(met[ground, what] for ground, what in product(range(len(GROUNDS)), (*Act, *Cover)))


def test_a_node_that_is_away_is_asked_for_nothing() -> None:
    for seed in range(LONG):
        for burst in schedule(seed, 2).bursts:
            assert set(burst.acts) <= set(ACTS[burst.cover])
            assert burst.acts
