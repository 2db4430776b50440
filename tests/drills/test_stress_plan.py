"""The plan of the stress drill: from one seed, with every kind of fault, all of which end."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.simulator.wire.faults import AnyFault, DayCut, Drop
from scripts.drills._stress_plan import KINDS, Shape, plan

SHAPE = Shape(("BTCUSDT", "ETHUSDT"), ("1m", "1h"), (1.0, 3.0), (0.5, 2.0))
SEEDS = st.integers(0, 2**31)


@given(SEEDS, st.integers(0, 20), st.integers(0, 20))
def test_a_short_plan_is_the_beginning_of_a_long_one(seed, short, more):
    assert plan(seed, short + more, SHAPE)[:short] == plan(seed, short, SHAPE)


@given(SEEDS)
def test_every_kind_comes_before_any_comes_twice(seed):
    kinds = [each.kind for each in plan(seed, 2 * len(KINDS), SHAPE)]
    assert sorted(kinds[: len(KINDS)]) == sorted(KINDS) == sorted(kinds[len(KINDS) :])


@given(SEEDS)
def test_every_fault_is_one_the_simulator_knows_and_passes(seed):
    for each in plan(seed, len(KINDS), SHAPE):
        assert 1.0 <= each.hold_s <= 3.0 and 0.5 <= each.calm_s <= 2.0
        for fault in each.faults:
            assert msgspec.json.decode(msgspec.json.encode(fault), type=AnyFault) == fault
            assert isinstance(fault, Drop | DayCut) or fault.duration_s is not None
