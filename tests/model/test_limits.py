"""What an order must satisfy, and what must always be possible."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.model import GateState, OrderLimits, OrderRequest, OrderType, Side, deny_order
from tests.support.adversary import PERPETUAL

D = Decimal
MARK = D(50_000)
LINEAR = msgspec.structs.replace(PERPETUAL, inverse=False)


def code(limits: OrderLimits, *, mark: Decimal | None = MARK, waiting: int = 0, live: int = 0, **fields: Any) -> str:
    """Of the first reason to refuse, empty when there is none."""
    request = OrderRequest(
        **{"instrument": "sim:PERP", "side": Side.BUY, "amount": D(100), "price": D(50_000)} | fields
    )
    denial = deny_order(request, LINEAR, limits=limits, gate=GateState.ACTIVE, waiting=waiting, live=live, mark=mark)
    return denial.code if denial else ""


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        (OrderLimits(max_order_amount=D(90)), "AMOUNT_LIMIT"),
        (OrderLimits(max_order_notional=D(4_000_000)), "NOTIONAL_LIMIT"),
    ],
)
def test_a_reduce_only_order_is_never_too_large(limits: OrderLimits, refusal: str) -> None:
    assert code(limits) == refusal
    assert code(limits, reduce_only=True) == ""


def test_a_reduce_only_market_order_needs_no_mark() -> None:
    limits = OrderLimits(max_order_notional=D(1))
    market: dict[str, Any] = {"order_type": OrderType.MARKET, "price": None, "mark": None}
    assert code(limits, **market) == "NO_MARK"
    assert code(limits, **market, reduce_only=True) == ""


def test_a_full_queue_has_room_left_for_reduce_only_orders_and_not_without_end() -> None:
    limits = OrderLimits(max_waiting=3, max_live_orders=5)
    assert code(limits, waiting=3) == "QUEUE_FULL"
    assert code(limits, live=5) == "TOO_MANY_ORDERS"
    assert code(limits, waiting=5, live=9, reduce_only=True) == ""
    assert code(limits, waiting=6, reduce_only=True) == "QUEUE_FULL"
    assert code(limits, live=10, reduce_only=True) == "TOO_MANY_ORDERS"


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 55_001), (Side.SELL, 44_999)])
def test_nobody_gives_money_away_by_a_slip_not_even_to_reduce(side: Side, price: int) -> None:
    for reduce_only in (False, True):
        assert code(OrderLimits(), side=side, price=D(price), reduce_only=reduce_only) == "PRICE_DEVIATION"
    assert code(OrderLimits(), side=side, price=D(price), mark=None) == ""
    assert code(OrderLimits(), side=side, price=D(price) - side.sign) == ""
