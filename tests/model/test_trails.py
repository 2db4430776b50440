"""Stops that follow a price together behave as each would alone."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.conditions.terms import Trail
from engine.model.conditions.trails import Hit, Trails, trigger_of
from engine.model.terms import Side


class Alone:
    """One stop by its definition."""

    def __init__(self, trail: Trail, side: Side, best: Decimal | None) -> None:
        self.trail, self.sign, self.best = trail, -side.sign, best

    def move(self, price: Decimal) -> bool:
        activation = self.trail.activation_price
        if self.best is None:
            if activation is not None and self.sign * price < self.sign * activation:
                return False
            self.best = price
        if self.sign * price > self.sign * self.best:
            self.best = price
        return self.sign * price <= self.sign * trigger_of(self.trail, self.best, self.sign)


prices = st.integers(20, 40).map(float)
trails = st.one_of(
    st.builds(Trail, distance=st.integers(1, 8).map(Decimal), activation_price=st.none() | prices.map(Decimal)),
    st.builds(Trail, percent=st.integers(1, 40).map(Decimal), activation_price=st.none() | prices.map(Decimal)),
)
steps = st.one_of(
    st.tuples(st.just("add"), st.tuples(trails, st.none() | prices.map(Decimal))),
    st.tuples(st.just("move"), prices),
    st.tuples(st.just("move"), prices),
    st.tuples(st.just("remove"), st.integers(0, 40)),
    st.tuples(st.just("take"), st.integers(1, 3)),
)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(Side), st.lists(steps, max_size=50))
def test_each_stop_is_hit_when_it_would_be_alone(side: Side, script: list[tuple[str, Any]]) -> None:
    together, alone, stored = Trails(side), dict[str, Alone](), dict[str, Decimal]()
    for number, (what, given_) in enumerate(script):
        if what == "add":
            trail, best = given_
            together.add(str(number), trail, best)
            alone[str(number)] = Alone(trail, side, best)
        elif what == "remove":
            together.remove(str(given_))
            alone.pop(str(given_), None)
        elif what == "take":
            stored |= together.take_moved(given_)
        else:
            hits = together.move(given_)
            expected = {key for key, one in alone.items() if one.move(Decimal(given_))}
            assert {hit.key for hit in hits} == expected
            assert len(hits) == len(expected)
            for hit in hits:
                one = alone.pop(hit.key)
                assert hit == Hit(hit.key, one.best, trigger_of(one.trail, one.best, one.sign))  # type: ignore[arg-type]
        assert len(together) == len(alone)
        for key, one in alone.items():
            assert together.best(key) == one.best
    for _ in range(len(alone)):
        stored |= together.take_moved(1)
    following = {key: one for key, one in alone.items() if one.best is not None}
    assert all(stored.get(key, one.best) == one.best for key, one in following.items())


def test_a_selling_stop_follows_up_and_is_hit_on_the_way_down() -> None:
    stops = Trails(Side.SELL)
    stops.add("a", Trail(distance=Decimal("0.3")), None)
    for price in (1.0, 1.1, 0.9):
        assert stops.move(price) == ()
    assert stops.trigger("a") == Decimal("0.8")
    assert stops.move(0.8) == (Hit("a", Decimal("1.1"), Decimal("0.8")),)  # in floats 1.1 - 0.3 is above 0.8
    assert "a" not in stops


def test_a_buying_stop_is_its_mirror() -> None:
    stops = Trails(Side.BUY)
    stops.add("a", Trail(percent=Decimal(10)), None)
    assert stops.move(100.0) == ()
    assert stops.move(90.0) == ()
    assert stops.move(98.9) == ()
    assert stops.move(99.0) == (Hit("a", Decimal("90.0"), Decimal("99")),)


def test_it_sleeps_until_its_activation() -> None:
    stops = Trails(Side.SELL)
    stops.add("a", Trail(distance=Decimal(5), activation_price=Decimal(110)), None)
    assert stops.move(109.0) == ()
    assert stops.move(90.0) == ()
    assert stops.best("a") is None
    assert stops.move(112.0) == ()
    assert stops.move(107.0)[0].best == 112


def test_it_goes_on_from_the_best_price_it_had() -> None:
    stops = Trails(Side.SELL)
    stops.add("a", Trail(distance=Decimal(5)), Decimal(120))
    assert stops.move(115.5) == ()
    assert stops.move(114.0) == (Hit("a", Decimal(120), Decimal(115)),)


def test_only_what_moved_is_taken_and_all_have_their_turn() -> None:
    stops = Trails(Side.SELL)
    for number in range(5):
        stops.add(str(number), Trail(distance=Decimal(5)), None)
    stops.move(100.0)
    assert list(stops.take_moved(3)) == ["0", "1", "2"]
    stops.move(101.0)
    assert list(stops.take_moved(3)) == ["3", "4", "0"]
    assert stops.take_moved(5) == {"1": Decimal(101), "2": Decimal(101)}
    assert stops.take_moved(5) == {}


def test_one_key_follows_once() -> None:
    stops = Trails(Side.SELL)
    stops.add("a", Trail(distance=Decimal(5)), None)
    with pytest.raises(ValueError, match="a: expected a new stop"):
        stops.add("a", Trail(distance=Decimal(5)), None)
