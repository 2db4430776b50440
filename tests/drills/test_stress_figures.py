"""The figures of the stress drill: bounded, never too kind, and a line where there is one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.drills._stress_figures import Ages, Memory

AGES = st.lists(st.floats(0, 5000), min_size=1, max_size=200)


@given(AGES, st.sampled_from((0.5, 0.9, 0.99, 0.999, 1.0)))
def test_a_quantile_is_never_below_the_true_one_and_at_most_a_twentieth_above(ages, share):
    held = Ages()
    for age_s in ages:
        held.add(age_s)
    true_s = sorted(ages)[math.ceil(share * len(ages)) - 1]
    found_s = held.quantile(share)
    assert found_s is not None
    assert true_s * (1 - 1e-9) <= found_s <= max(true_s * 1.05, 1.1e-4)


def test_nothing_has_no_quantile():
    assert Ages().quantile(0.5) is None


@given(st.floats(-50, 50), st.integers(10, 9000))
def test_the_slope_of_a_line_is_found_however_many_readings_there_are(slope, readings):
    memory = Memory()
    for number in range(readings):
        memory.note(number, 500 + slope * number / 60)
    assert memory.slope_mb_per_min() == pytest.approx(slope, abs=1e-6)


def test_memory_that_grew_only_at_first_is_flat():
    memory = Memory()
    for number in range(300):
        memory.note(number, 100 + min(number, 60))
    assert memory.slope_mb_per_min() == pytest.approx(0, abs=1e-9)
    assert memory.summary() == {"first": 100, "last": 160, "max": 160}
