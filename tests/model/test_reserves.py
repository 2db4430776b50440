"""What our own resting orders keep of the free balance, in numbers."""

from decimal import Decimal
from typing import Any

import msgspec

from engine.model import Instrument, Order, OrderRequest, OrderState, Position, Side, new_order, reserves, to_submitting
from tests.support.adversary import PERPETUAL

D = Decimal
#: 1 coin at 100 is worth 100, and 10 of them are needed to hold it.
LINEAR = msgspec.structs.replace(
    PERPETUAL, instrument_id="sim:LIN", symbol="LIN", inverse=False, settlement="USD", lot_size=D(1), max_leverage=D(10)
)


def order(side: Side, amount: int, state: OrderState = OrderState.OPEN, **changes: Any) -> Order:
    request = OrderRequest(instrument=LINEAR.instrument_id, side=side, amount=D(amount), price=D(100))
    made = new_order(request, order_id="aaaa-1", account="sim:main", now_ms=1)
    return msgspec.structs.replace(to_submitting(made, valid_until_ms=9, now_ms=1), state=state, **changes)


def held(amount: int, mark: int = 100) -> Position:
    return Position(
        account="sim:main", instrument=LINEAR.instrument_id, amount=D(amount), mark_price=D(mark), updated_at_ms=1
    )


def kept(*orders: Order, position: int = 0, instrument: Instrument = LINEAR) -> tuple[Decimal, Decimal]:
    found = reserves(orders, [held(position)] if position else [], lambda _name: instrument)
    return found.held.get("USD", D(0)), found.coming.get("USD", D(0))


def test_a_resting_order_keeps_its_margin() -> None:
    assert kept(order(Side.BUY, 3)) == (30, 0)


def test_what_is_filled_keeps_no_more() -> None:
    """L8: of 10 at 100 3 are filled, so 7 keep 70."""
    assert kept(order(Side.BUY, 10, filled_amount=D(3))) == (70, 0)


def test_an_order_the_venue_may_not_know_of_yet_is_counted_apart() -> None:
    assert kept(order(Side.BUY, 3), order(Side.BUY, 2, OrderState.SUBMITTING)) == (30, 20)
    assert kept(order(Side.BUY, 2, OrderState.UNKNOWN)) == (0, 20)


def test_only_the_worse_side_counts_and_what_closes_keeps_nothing() -> None:
    assert kept(order(Side.BUY, 3), order(Side.SELL, 5)) == (50, 0)
    assert kept(order(Side.SELL, 4), position=4) == (0, 0)
    assert kept(order(Side.SELL, 10), position=4) == (20, 0)
    assert kept(order(Side.BUY, 3, reduce_only=True)) == (0, 0)


def test_orders_that_are_over_or_wait_keep_nothing() -> None:
    assert kept(order(Side.BUY, 3, OrderState.CANCELLED), order(Side.BUY, 3, OrderState.WAITING)) == (0, 0)


def test_an_inverse_contract_keeps_coins() -> None:
    inverse = msgspec.structs.replace(LINEAR, inverse=True, settlement="BTC")
    assert reserves([order(Side.BUY, 1000)], [], lambda _name: inverse).held == {"BTC": D(1)}


def test_a_venue_that_names_no_leverage_wants_the_whole_value() -> None:
    assert kept(order(Side.BUY, 3), instrument=msgspec.structs.replace(LINEAR, max_leverage=None)) == (300, 0)
