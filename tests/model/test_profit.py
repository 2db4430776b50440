"""Profit and average prices against tables computed by hand from the venues' formulas."""

from decimal import Decimal

import pytest

from engine.model import averaged, profit
from engine.model.accounts.profit import explaining

D = Decimal


@pytest.mark.parametrize(
    ("amount", "entry", "leave", "made"),
    [
        ("1", "5000", "5500", "500"),  # Binance's own example: 1 BTC from 5,000 to 5,500
        ("-1", "5000", "4500", "500"),  # and a short from 5,000 to 4,500
        ("6.645", "221.230", "221.470", "1.5948"),
        ("-0.002", "91739.90", "91839.90", "-0.2"),
        ("0.3", "100", "100", "0"),
    ],
)
def test_a_linear_contract_makes_amount_times_the_difference(amount: str, entry: str, leave: str, made: str) -> None:
    assert profit(D(amount), D(entry), D(leave), inverse=False) == D(made)


@pytest.mark.parametrize(
    ("amount", "entry", "leave", "made"),
    [
        ("10000", "5000", "10000", "1"),  # 2 BTC worth of dollars, of which 1 BTC buys back the doubled price
        ("-10000", "5000", "10000", "-1"),
        ("50000", "10000", "8000", "-1.25"),
        ("50000", "10000", "12500", "1"),
        ("50000", "10000", "11000", "0.454545454545454545"),  # the quotient has no end: 18 decimals
        ("10", "40000", "50000", "0.00005"),
    ],
)
def test_an_inverse_contract_makes_dollars_by_the_difference_of_the_reciprocals(
    amount: str, entry: str, leave: str, made: str
) -> None:
    assert profit(D(amount), D(entry), D(leave), inverse=True) == D(made)


def test_an_average_is_weighted_by_amount_and_of_inverse_contracts_harmonic() -> None:
    assert averaged(D(1), D(100), D(3), D(200), inverse=False) == D(175)
    # 10,000 USD at 5,000 are 2 BTC, 10,000 at 10,000 are 1: 20,000 / 3
    assert averaged(D(10_000), D(5000), D(10_000), D(10_000), inverse=True) == D("6666.666666666666666666666667")
    assert averaged(D(-1), D(100), D(-1), D(101), inverse=False) == D("100.5")


def test_the_price_of_what_was_not_told_explains_the_average() -> None:
    assert explaining(D(1), D(100), D(4), D(175), inverse=False) == D(200)
    assert explaining(D(0), None, D(4), D(175), inverse=False) == D(175)
    assert explaining(D(5), D(100), D(-4), D(175), inverse=False) == D(175)  # all of what is held now is new
    assert explaining(D(5), D(100), D(4), D(100), inverse=False) is None  # a close leaves the average
    assert explaining(D(1), D(100), D(2), D(10), inverse=False) is None  # no price above zero does that
    found = explaining(D(10_000), D(5000), D(20_000), D("6666.666666666666666666666667"), inverse=True)
    assert found is not None
    assert abs(found - 10_000) < D("1e-15")
