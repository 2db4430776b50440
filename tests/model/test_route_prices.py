"""What an amount of a coin costs at a venue, whatever unit the venue counts in."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.model import InstrumentKind, Level, ModelError, Side, walk
from tests.support.adversary import PERPETUAL

D = Decimal
LINEAR = msgspec.structs.replace(PERPETUAL, inverse=False, lot_size=D("0.001"), min_amount=D("0.001"))
ASKS: tuple[Level, ...] = ((100.0, 1.0), (101.0, 1.0), (102.0, 8.0))


def test_it_takes_level_by_level_and_pays_the_fee() -> None:
    found = walk(LINEAR, ASKS, side=Side.BUY, base_amount=D("1.5"), taker_fee=D("0.001"))
    assert found.amount == D("1.5")
    assert found.price == D("150.5") / D("1.5")
    assert found.net_price == found.price * D("1.001")


def test_a_sale_brings_less_by_its_fee() -> None:
    bids = ((99.0, 5.0),)
    assert walk(LINEAR, bids, side=Side.SELL, base_amount=D(2), taker_fee=D("0.001")).net_price == D("98.901")


def test_the_levels_of_an_inverse_contract_are_dollars() -> None:
    asks = ((50_000.0, 50_000.0), (60_000.0, 60_000.0))  # a coin each
    found = walk(PERPETUAL, asks, side=Side.BUY, base_amount=D("1.5"), taker_fee=D(0))
    assert found.price == D(80_000) / D("1.5")
    assert found.amount == D(80_000)


def test_quote_currencies_are_made_comparable() -> None:
    found = walk(LINEAR, ASKS, side=Side.BUY, base_amount=D(1), taker_fee=D(0), rate=D("0.9"))
    assert (found.price, found.net_price) == (D(100), D(90))


@pytest.mark.parametrize(
    ("changes", "amount", "field"),
    [({}, "11", "book"), ({}, "0.0001", "amount"), ({"kind": InstrumentKind.OPTION}, "1", "instrument")],
)
def test_what_cannot_serve_says_why(changes: dict[str, InstrumentKind], amount: str, field: str) -> None:
    instrument = msgspec.structs.replace(LINEAR, **changes)
    with pytest.raises(ModelError) as caught:
        walk(instrument, ASKS, side=Side.BUY, base_amount=D(amount), taker_fee=D(0))
    assert caught.value.field == field


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 50)), min_size=1, max_size=8),
    st.integers(1, 20),
    st.booleans(),
)
def test_the_average_lies_between_the_best_and_the_worst_level_taken(
    raw: list[tuple[int, int]], amount: int, inverse: bool
) -> None:
    asks = tuple(sorted({float(price): float(size * (price if inverse else 1)) for price, size in raw}.items()))
    instrument = PERPETUAL if inverse else LINEAR
    coins = sum(size / price if inverse else size for price, size in asks)
    assume(coins >= amount * 1.001 and asks[0][0] * amount >= 20)
    found = walk(instrument, asks, side=Side.BUY, base_amount=D(amount), taker_fee=D(0))
    assert float(asks[0][0]) * (1 - 1e-12) <= float(found.price) <= float(asks[-1][0]) * (1 + 1e-12)
    assert instrument.notional(found.amount, found.price) <= D(amount) * found.price + D("1e-15")
