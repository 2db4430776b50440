"""The filters of a symbol: what an order must satisfy before the exchange sees it."""

from decimal import Decimal

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.digits import decimals_of
from engine.simulator.binance_usdm.errors import ApiError

__all__ = ["check_notional", "check_price", "check_quantity"]


def check_quantity(desk: Desk, quantity: Decimal, *, market: bool) -> None:
    if quantity <= 0:
        raise ApiError(400, -4003, "Quantity less than or equal to zero.")
    if decimals_of(quantity.normalize()) > desk.amount_decimals:
        raise ApiError(400, -1111, "Precision is over the maximum defined for this asset.")
    if quantity > (desk.spec.max_market_amount if market else desk.spec.max_amount):
        raise ApiError(400, -4005, "Quantity greater than max quantity.")


def check_price(desk: Desk, price: Decimal) -> None:
    spec = desk.spec
    if price <= 0:
        raise ApiError(400, -4001, "Price less than or equal to zero.")
    if decimals_of(price.normalize()) > desk.price_decimals:
        raise ApiError(400, -1111, "Precision is over the maximum defined for this asset.")
    if price > spec.max_price:
        raise ApiError(400, -4002, "Price greater than max price.")
    if price < spec.min_price:
        raise ApiError(400, -4013, "Price less than min price.")
    if price % spec.tick:
        raise ApiError(400, -4014, "Price not increased by tick size.")


def check_notional(desk: Desk, quantity: Decimal, price: Decimal) -> None:
    """Orders that reduce a position need not pass this one."""
    least = desk.spec.min_notional
    if quantity * price < least:
        text = f"Order's notional must be no smaller than {least} (unless you choose reduce only)."
        raise ApiError(400, -4164, text)
