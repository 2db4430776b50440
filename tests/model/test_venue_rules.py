"""What a venue is known to refuse is refused before it is asked, by the name of what is wrong."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.model import VENUE_RULE, OrderRequest, OrderType, PriceBand, Side, deny_by_venue
from tests.support.binance_account import BTC

D = Decimal
MARK = D(60_000)
RULED = msgspec.structs.replace(
    BTC, max_amount=D(100), max_market_amount=D(10), min_notional=D(50), price_band=PriceBand(D("1.05"), D("0.95"))
)
STOP = {"order_type": OrderType.STOP_MARKET, "trigger_price": D(50_000)}


def field(mark: Decimal | None = MARK, rules: Any = RULED, **fields: Any) -> str:
    """What is wrong with an order, empty when nothing is."""
    request = OrderRequest(
        **{"instrument": BTC.instrument_id, "side": Side.BUY, "amount": D("0.01"), "price": MARK} | fields
    )
    if not request.order_type.has_price:
        request = msgspec.structs.replace(request, price=None)
    denial = deny_by_venue(request, rules, mark)
    assert denial is None or denial.code == VENUE_RULE
    return denial.field if denial else ""


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, ""),
        ({"amount": D(100)}, ""),
        ({"amount": D("100.001")}, "amount"),
        ({"amount": D(10), "order_type": OrderType.MARKET}, ""),
        ({"amount": D("10.001"), "order_type": OrderType.MARKET}, "amount"),
        ({"amount": D("10.001"), **STOP}, "amount"),
        ({"amount": D("0.001"), "price": D(50_000)}, ""),
        ({"amount": D("0.001"), "price": D(49_999), "side": Side.BUY}, "notional"),
        ({"amount": D("0.001"), "price": D(49_999), "reduce_only": True}, ""),
        ({"amount": D("0.001"), **STOP}, ""),
        ({"amount": D("0.001"), **STOP, "trigger_price": D(40_000)}, "notional"),
        ({"price": D(63_000)}, ""),
        ({"price": D("63000.1")}, "price"),
        ({"price": D(1_000)}, "notional"),
        ({"price": D(10_000)}, ""),
        ({"price": D(57_000), "side": Side.SELL}, ""),
        ({"price": D("56999.9"), "side": Side.SELL}, "price"),
        ({"price": D(200_000), "side": Side.SELL}, ""),
        ({"price": D(90_000), **STOP, "order_type": OrderType.STOP_LIMIT}, ""),
    ],
)
def test_an_order_meets_the_rules_of_its_kind(fields: dict[str, Any], wrong: str) -> None:
    assert field(**fields) == wrong


def test_a_market_order_is_valued_at_the_mark() -> None:
    small = {"amount": D("0.001"), "order_type": OrderType.MARKET}
    assert field(MARK, **small) == ""
    assert field(D(49_999), **small) == "notional"


def test_without_a_mark_the_venue_itself_will_say() -> None:
    assert field(None, order_type=OrderType.MARKET, amount=D("0.001")) == ""
    assert field(None, price=D(90_000)) == ""


def test_what_the_venue_does_not_say_is_no_rule() -> None:
    assert field(rules=BTC, amount=D(10_000), price=D(900_000)) == ""
