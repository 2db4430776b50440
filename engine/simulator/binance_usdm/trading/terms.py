"""What this venue remembers of an order beside what the exchange does, and the words for its state."""

from decimal import Decimal

import msgspec

from engine.simulator.orders import Kind, Order, State

__all__ = ["Change", "Terms", "expiry_reason", "status_of", "terms_of"]

CANCEL_REASONS = ("user_request", "countdown", "amended_below_filled", "edit_post_only_reject")
_EXPIRY_REASONS = {"self_trade": "1", "risk_mitigation": "4", "autoliquidation": "5"}


class Change(msgspec.Struct, frozen=True):
    """One amendment of an order: price and quantity before and after."""

    change_id: int
    at_ms: int
    price: tuple[Decimal, Decimal]
    quantity: tuple[Decimal, Decimal]


class Terms(msgspec.Struct, kw_only=True, eq=False):
    """`told`, `told_end` and `amended` are about the account's stream: whether it knows of the order and of its end, and
    whether a change is still to be told."""

    client_id: str
    type: str
    original_type: str
    lifetime: str = "GTC"
    prevention: str = "EXPIRE_MAKER"
    price_match: str = "NONE"
    good_till_ms: int = 0
    working: str = "CONTRACT_PRICE"
    protect: bool = False
    close: bool = False
    stop_price: Decimal = Decimal(0)
    algo_id: int | None = None
    changes: list[Change] = msgspec.field(default_factory=list)
    told: bool = False
    told_end: bool = False
    amended: bool = False


def terms_of(order: Order) -> Terms:
    """An order's terms; one that the venue itself placed, to liquidate, gets its own when it is first looked at."""
    terms = order.terms
    if isinstance(terms, Terms):
        return terms
    assert order.is_liquidation, "orders of clients have terms"
    made = order.terms = Terms(
        client_id=f"autoclose-{order.order_id}", type="LIMIT", original_type="LIMIT", lifetime="IOC"
    )
    return made


def status_of(order: Order) -> str:
    if order.state is State.FILLED:
        return "FILLED"
    if order.state is State.OPEN:
        return "PARTIALLY_FILLED" if order.filled else "NEW"
    if order.cancel_reason == "self_trade":
        return "EXPIRED_IN_MATCH"
    return "CANCELED" if order.cancel_reason in CANCEL_REASONS else "EXPIRED"


def expiry_reason(order: Order) -> str:
    """`er` of an order that expired; "0" for any other."""
    if status_of(order) not in ("EXPIRED", "EXPIRED_IN_MATCH"):
        return "0"
    if order.cancel_reason is None:
        return "9" if order.kind is Kind.MARKET else "2"
    return _EXPIRY_REASONS.get(order.cancel_reason, "0")
