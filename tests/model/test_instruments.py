"""Tick and lot rules: prices move only when the caller says how."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import ModelError, Snap, TickStep, floor_to, split_instrument
from tests.support.instruments import perpetual

STEPS = (TickStep(Decimal(100_000), Decimal(1)), TickStep(Decimal(200_000), Decimal(5)))
BTC = perpetual("BTC-PERPETUAL", venue="deribit", tick_steps=STEPS)
prices = st.decimals("0.6", "500000", places=3)


@given(prices, st.booleans())
def test_a_passive_price_is_on_the_grid_and_never_better_for_the_other_side(price: Decimal, buying: bool) -> None:
    snapped = BTC.snap_price(price, buying=buying, how=Snap.PASSIVE)
    tick = BTC.tick_at(price)
    assert floor_to(snapped, tick) == snapped
    assert (snapped <= price) if buying else (snapped >= price)
    assert abs(snapped - price) < tick


@given(prices, st.booleans())
def test_refusing_accepts_exactly_what_snapping_would_not_move(price: Decimal, buying: bool) -> None:
    moved = BTC.snap_price(price, buying=buying, how=Snap.NEAREST) != price
    try:
        BTC.snap_price(price, buying=buying, how=Snap.REFUSE)
    except ModelError:
        assert moved
    else:
        assert not moved


def test_the_tick_is_that_of_the_highest_step_below_the_price() -> None:
    ticks = [BTC.tick_at(Decimal(price)) for price in (50_000, 100_000, 100_001, 200_001)]
    assert ticks == [Decimal("0.5"), Decimal("0.5"), Decimal(1), Decimal(5)]


@pytest.mark.parametrize("amount", ["0", "-10", "5", "15", "NaN", "Infinity"])
def test_an_amount_the_venue_would_refuse_is_refused_here(amount: str) -> None:
    with pytest.raises(ModelError) as caught:
        BTC.check_amount(Decimal(amount))
    assert caught.value.field == "amount"


def test_an_inverse_amount_is_its_own_notional() -> None:
    assert BTC.notional(Decimal(30), Decimal(60_000)) == Decimal(30)


def test_a_bare_symbol_belongs_to_the_default_venue() -> None:
    assert split_instrument("BTC-PERPETUAL", "deribit") == ("deribit", "BTC-PERPETUAL")
    assert split_instrument("binance:BTCUSDT", "deribit") == ("binance", "BTCUSDT")
