"""What the callers of the crash drill ask for: every kind of order that has durable steps of its own.

The same key asks for the same order in every life. What is asked for beside the basic three depends on the life's own
point of death, which an order of that kind must come by.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from engine.kernel import Entropy
from engine.model import (
    Condition,
    ConditionType,
    ErrorPolicy,
    ExecutionRequest,
    ExecutionStyle,
    LinkedRequest,
    LinkKind,
    Operator,
    OrderRequest,
    OrderType,
    Side,
    TimeInForce,
    Trail,
    TriggerFill,
    Twap,
    bracket,
)
from scripts.drills._crash_venues import Ground

BASIC = ("cancelled", "amended", "crossing")
MORE = ("delayed", "timed", "stop", "pair", "bracket", "rivals", "kept", "trail", "manual", "plan")
NEEDED = {
    "linked.": "bracket",
    "release.": "bracket",
    "set.": "kept",
    "trigger.": "timed",
    "review.": "manual",
    "resolve.": "manual",
    "plan.": "plan",
}

Asked = OrderRequest | LinkedRequest | ExecutionRequest | tuple[OrderRequest, ...]


class Prices(msgspec.Struct, frozen=True):
    """The best bid when the first life began, and when that was: a later life must ask for the very same orders."""

    bid: Decimal
    at_ms: int

    def at(self, factor: str) -> Decimal:
        return Decimal(int(self.bid * Decimal(factor)))


def kinds(seed: int, turn: int, point: str) -> tuple[str, ...]:
    """What the callers of one life ask for: what the life's point needs, the basic three, one more."""
    needed = tuple(kind for prefix, kind in NEEDED.items() if point.startswith(prefix))
    more = Entropy(seed).fork(f"more {turn}").choice(MORE)
    return (*needed, *BASIC) if more in needed else (*needed, *BASIC, more)


def asked_for(key: str, ground: Ground, prices: Prices, seed: int) -> Asked:
    """What `key` asks for."""
    kind = key.partition(".")[2]
    rest = _rest(ground, prices, key)
    if kind == "crossing":
        return _crossing(rest, prices, market=Entropy(seed).fork(key).random() < 0.5)
    if kind == "delayed":
        return msgspec.structs.replace(rest, delay_s=0.3)
    if kind == "timed":
        due = Condition(type=ConditionType.TIME, operator=Operator.AT_LEAST, value=prices.at_ms + 200)
        return msgspec.structs.replace(rest, conditions=(due,))
    if kind == "manual":
        return msgspec.structs.replace(rest, on_error=ErrorPolicy.MANUAL)
    if kind == "stop":
        return msgspec.structs.replace(
            rest, order_type=OrderType.STOP_MARKET, price=None, trigger_price=prices.at("1.2")
        )
    if kind == "pair":
        return tuple(msgspec.structs.replace(rest, request_key=f"{key}/{number}") for number in range(2))
    if kind == "plan":
        market = _crossing(rest, prices, market=True)
        whole = msgspec.structs.replace(market, amount=4 * rest.amount, time_in_force=TimeInForce.GTC, on_error=None)
        return ExecutionRequest(order=whole, style=ExecutionStyle.TWAP, twap=Twap(duration_s=2.0, interval_s=0.5))
    if kind == "trail":
        far = Trail(percent=Decimal(5)) if ground.follows_percents else Trail(distance=prices.at("0.05"))
        return msgspec.structs.replace(rest, order_type=OrderType.MARKET, price=None, trail=far)
    return _set(kind, rest, prices, crosses=Entropy(seed).fork(key).random() < 0.5) or rest


def _set(kind: str, rest: OrderRequest, prices: Prices, *, crosses: bool) -> LinkedRequest | None:
    """Those of several orders that depend on each other."""
    if kind == "bracket":
        entry = _crossing(rest, prices, market=False)
        return bracket(entry, take_profit=prices.at("1.04"), stop=prices.at("0.85"))
    if kind == "kept":
        return _kept(rest, prices, crosses=crosses)
    if kind == "rivals":
        other = msgspec.structs.replace(_crossing(rest, prices, market=False), request_key="")
        return LinkedRequest(kind=LinkKind.OCO, exits=(rest, other))
    return None


def answer_keys(key: str, asked: Asked) -> Iterator[str]:
    """What the accepted orders of `key` are noted under, in the order of the answer."""
    count = len(asked.orders) if isinstance(asked, LinkedRequest) else len(asked) if isinstance(asked, tuple) else 1
    return iter([key, *(f"{key}/{number}" for number in range(1, count))])


def _rest(ground: Ground, prices: Prices, key: str) -> OrderRequest:
    return OrderRequest(
        instrument=ground.instrument,
        side=Side.BUY,
        amount=ground.amount,
        price=prices.at("0.97"),
        good_for_s=3600.0,
        request_key=key,
        on_error=ErrorPolicy.RETRY,
    )


def _kept(rest: OrderRequest, prices: Prices, *, crosses: bool) -> LinkedRequest:
    """A set whose venue keeps it, where it keeps any: the entry trades at once, or rests."""
    entry = _crossing(rest, prices, market=True) if crosses else rest
    made = bracket(entry, take_profit=prices.at("1.04"), stop=prices.at("0.85"))
    if crosses:
        return made
    return msgspec.structs.replace(made, releases_at=TriggerFill.FIRST_HIT, cancels_at=TriggerFill.FIRST_HIT)


def _crossing(rest: OrderRequest, prices: Prices, *, market: bool) -> OrderRequest:
    return msgspec.structs.replace(
        rest,
        order_type=OrderType.MARKET if market else OrderType.LIMIT,
        price=None if market else prices.at("1.02"),
        time_in_force=TimeInForce.IOC if market else TimeInForce.GTC,
    )
