"""The index and a model that evaluates every condition at every tick agree on what fires, whatever comes in what order."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.conditions.check import Figure, Number
from engine.model.conditions.index import ConditionIndex, Ready, Term, holds
from engine.model.conditions.terms import Operator

FIGURES = (Figure("sim:X", "mark"), Figure("sim:X", "last"), Figure("sim:Y", "mark"))
MARK, LAST, OTHER = FIGURES
LEVELS = [operator for operator in Operator if not operator.crosses]

values = st.integers(0, 6).map(float)
operators = st.sampled_from(list(Operator))
terms = st.lists(
    st.builds(Term, st.sampled_from(FIGURES), operators, values, st.integers(-1, 1)), min_size=1, max_size=5
).map(lambda found: [term._replace(group=-1) if term.group == 1 and not _has(found, 0) else term for term in found])


def _has(found: Sequence[Term], group: int) -> bool:
    return any(term.group == group for term in found)


class Naive:
    """Looks at everything, always."""

    def __init__(self) -> None:
        self.values: dict[Figure, Number] = {}
        self.waiting: dict[str, list[Term]] = {}

    def met(self, key: str, before: dict[Figure, Number]) -> bool:
        found = self.waiting[key]
        groups = {term.group for term in found if term.group >= 0}
        true = {position for position, term in enumerate(found) if self.holds(term, before)}
        return all(at in true for at, term in enumerate(found) if term.group < 0) and all(
            any(at in true for at, term in enumerate(found) if term.group == group) for group in groups
        )

    def holds(self, term: Term, before: dict[Figure, Number]) -> bool:
        if term.figure not in self.values:
            return False
        new, old = self.values[term.figure], before.get(term.figure)
        match term.operator:
            case Operator.CROSSES_ABOVE:
                return old is not None and old <= term.threshold < new
            case Operator.CROSSES_BELOW:
                return old is not None and new < term.threshold <= old
            case operator:
                return holds(operator, new, term.threshold)

    def move(self, moves: dict[Figure, Number]) -> set[str]:
        before = dict(self.values)
        self.values |= moves
        return {key for key in self.waiting if self.met(key, before)}


steps = st.one_of(
    st.tuples(st.just("arm"), terms),
    st.tuples(st.just("move"), st.dictionaries(st.sampled_from(FIGURES), values, min_size=1)),
    st.tuples(st.just("move"), st.dictionaries(st.sampled_from(FIGURES), values, min_size=1)),
    st.tuples(st.just("remove"), st.integers(0, 30)),
)


@settings(max_examples=600, deadline=None)
@given(st.lists(steps, max_size=40))
def test_it_fires_what_evaluating_everything_fires(script: list[tuple[str, Any]]) -> None:
    index, naive = ConditionIndex(), Naive()

    def fire(fired: set[str]) -> None:
        for key in fired:
            del naive.waiting[key]
            for idle in index.remove(key):
                naive.values.pop(idle, None)  # nobody looks any more: what was seen is forgotten

    for number, (what, given_) in enumerate(script):
        if what == "arm":
            key = str(number)
            naive.waiting[key] = given_
            expected = naive.met(key, naive.values)
            assert index.add(key, given_) == expected
            if expected:
                fire({key})
        elif what == "remove":
            fire({str(given_)} & naive.waiting.keys())
        else:
            watched = {term.figure for found in naive.waiting.values() for term in found}
            moves = {figure: value for figure, value in given_.items() if figure in watched}
            expected_keys = naive.move(moves)
            ready = index.move(moves.items())
            assert {one.key for one in ready} == expected_keys
            assert len(ready) == len(expected_keys)
            fire(expected_keys)
        assert len(index) == len(naive.waiting)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(terms, min_size=1, max_size=8), st.lists(st.dictionaries(st.sampled_from(FIGURES), values), max_size=30)
)
def test_what_each_order_lacks_is_right_after_any_moves(
    orders: list[list[Term]], moves: list[dict[Figure, float]]
) -> None:
    index, naive = ConditionIndex(), Naive()
    for number, found in enumerate(orders):
        index.add(str(number), found)
        naive.waiting[str(number)] = found
    for together in moves:
        index.move(together.items())
        naive.move(dict(together))
        for key in naive.waiting:
            assert index.lacks_nothing(key) == naive.met(key, naive.values)


def test_a_figure_nobody_has_seen_holds_nothing() -> None:
    index = ConditionIndex()
    for number, operator in enumerate(Operator):
        assert not index.add(str(number), [Term(MARK, operator, 5.0)])
    assert [one.key for one in index.move([(MARK, 4.0)])] == ["2", "3"]


def test_the_first_value_is_no_crossing() -> None:
    index = ConditionIndex()
    index.add("up", [Term(MARK, Operator.CROSSES_ABOVE, 5.0)])
    assert not index.move([(MARK, 9.0)])


@pytest.mark.parametrize(
    ("old", "new", "above", "below"),
    [
        (4.0, 6.0, True, False),
        (5.0, 6.0, True, False),
        (4.0, 5.0, False, False),
        (6.0, 4.0, False, True),
        (5.0, 4.0, False, True),
        (6.0, 5.0, False, False),
    ],
)
def test_a_crossing_leaves_the_value_behind(old: float, new: float, above: bool, below: bool) -> None:
    index = ConditionIndex()
    index.add("above", [Term(MARK, Operator.CROSSES_ABOVE, 5.0)])
    index.add("below", [Term(MARK, Operator.CROSSES_BELOW, 5.0)])
    index.move([(MARK, old)])
    assert [one.key for one in index.move([(MARK, new)])] == ["above"] * above + ["below"] * below


def test_a_crossing_counts_with_what_else_holds_at_that_moment_only() -> None:
    index = ConditionIndex()
    index.add("order", [Term(MARK, Operator.CROSSES_ABOVE, 5.0), Term(LAST, Operator.ABOVE, 1.0)])
    index.move([(MARK, 4.0), (LAST, 0.0)])
    assert not index.move([(MARK, 6.0)])
    assert not index.move([(LAST, 2.0)])  # it crossed before
    index.move([(MARK, 4.0)])
    assert index.move([(MARK, 6.0)]) == [Ready("order", frozenset({0}))]


def test_figures_that_move_together_are_judged_together() -> None:
    """Mark and last go from 1 to 3 in one message: the moment of the new mark beside the old last never was."""
    index = ConditionIndex()
    index.add("order", [Term(MARK, Operator.ABOVE, 2.0), Term(LAST, Operator.BELOW, 2.0)])
    index.move([(MARK, 1.0), (LAST, 1.0)])
    assert not index.move([(MARK, 3.0), (LAST, 3.0)])
    assert index.move([(LAST, 1.0)]) == [Ready("order")]


def test_a_thousand_orders_at_one_price_fire_in_one_move_and_can_be_taken_out_while_they_are_told() -> None:
    index = ConditionIndex()
    for number in range(1000):
        index.add(str(number), [Term(MARK, Operator.ABOVE, 5.0)])
    index.move([(MARK, 5.0)])
    fired = index.move([(MARK, 5.5)])
    for one in fired:
        index.remove(one.key)
    assert len(fired) == 1000
    assert len(index) == 0


def test_when_the_last_order_goes_its_figures_are_idle() -> None:
    index = ConditionIndex()
    index.add("a", [Term(MARK, Operator.ABOVE, 5.0), Term(LAST, Operator.ABOVE, 5.0)])
    index.add("b", [Term(MARK, Operator.ABOVE, 6.0)])
    assert index.remove("a") == (LAST,)
    assert index.remove("b") == (MARK,)
    assert index.remove("b") == ()
    assert index.value(MARK) is None


def test_many_new_thresholds_are_sorted_in_before_they_are_needed() -> None:
    index = ConditionIndex()
    index.add("seen", [Term(MARK, Operator.ABOVE, 500.5)])
    index.move([(MARK, 0.0)])
    for number in range(1000, 0, -1):
        index.add(str(number), [Term(MARK, Operator.AT_LEAST, float(number))])
    assert {one.key for one in index.move([(MARK, 10.0)])} == {str(number) for number in range(1, 11)}
    assert index.next_change(MARK) == 11.0


def test_the_next_change_of_time_is_the_nearest_threshold_it_has_not_reached() -> None:
    index = ConditionIndex()
    for key, operator, threshold in (
        ("a", Operator.AT_LEAST, 20),
        ("b", Operator.BELOW, 15),
        ("c", Operator.ABOVE, 30),
    ):
        index.add(key, [Term(MARK, operator, threshold)])
    assert index.next_change(MARK) is None
    index.move([(MARK, 10)])
    assert index.next_change(MARK) == 15
    index.move([(MARK, 15)])
    assert index.next_change(MARK) == 20
    index.move([(MARK, 40)])
    assert index.next_change(MARK) is None


def test_one_key_waits_once() -> None:
    index = ConditionIndex()
    index.add("a", [Term(MARK, Operator.ABOVE, 5.0)])
    with pytest.raises(ValueError, match="a: expected a new waiter"):
        index.add("a", [Term(MARK, Operator.ABOVE, 5.0)])
