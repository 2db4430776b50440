"""Figures: sane or refused, on the grid or beside it."""

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import ModelError, ceil_to, checked, floor_to, nearest_to, on_grid, plain, rounded

anything = st.decimals(allow_nan=True, allow_infinity=True)
figures = st.decimals("-1e15", "1e15", places=6)
steps = st.sampled_from([Decimal(step) for step in ("0.0001", "0.05", "0.5", "1", "2.5", "10")])


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e19",
        "1e-19",
        "0." + "1" * 19,
        "12345678901.1234567890123456789",
    ],
)
def test_what_nobody_meant_is_refused_by_field(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        checked(Decimal(text), "amount")
    assert caught.value.field == "amount"


@given(figures)
def test_a_sane_figure_passes_unchanged(value: Decimal) -> None:
    assert checked(value, "amount") is value


@given(figures, steps)
def test_the_grid_neighbours_enclose_the_value_and_lie_on_the_grid(value: Decimal, step: Decimal) -> None:
    low, high = floor_to(value, step), ceil_to(value, step)
    assert low <= value <= high < low + 2 * step
    assert on_grid(low, step)
    assert on_grid(high, step)
    assert on_grid(value, step) == (low == high)
    assert nearest_to(value, step) in (low, high)


@given(figures)
def test_the_plain_form_has_no_exponent_and_means_the_same(value: Decimal) -> None:
    assert "E" not in plain(value)
    assert Decimal(plain(value)) == value


@given(anything | st.decimals("-1e18", "1e18", places=30))
def test_any_figure_is_sane_or_refused(value: Decimal) -> None:
    for rule in (checked, rounded):
        with suppress(ModelError):
            assert abs(rule(value, "amount") - value) <= Decimal("1e-9")


@given(st.floats(-1e6, 1e6, allow_nan=False))
def test_no_figure_a_venue_computed_in_floating_point_is_refused_for_its_decimals(value: float) -> None:
    assert abs(float(rounded(Decimal(repr(value)), "average_price")) - value) <= 1e-15


def test_the_dust_of_a_sum_in_floating_point_is_rounded_away() -> None:
    assert rounded(Decimal(repr(0.1 + 0.2)), "filled_amount", 12) == Decimal("0.3")
    assert str(rounded(Decimal("10.50"), "amount", 12)) == "10.50"


@given(
    st.decimals("-1e18", "1e18", places=18),
    st.sampled_from([Decimal(step) for step in ("1e-18", "1e-10", "0.5", "10")]),
)
def test_the_grid_has_an_answer_for_every_sane_figure(value: Decimal, step: Decimal) -> None:
    assert on_grid(value, step) in (True, False)
