"""What has been learned of one account, shared by its requests and its stream. All of it is bounded, and none of it is needed:
what is forgotten is asked for again.

A conditional order lives under an id of its own. When it is triggered it becomes a normal order with another id, and nobody
promises that this one carries our client id. The venue names it in the conditional order's own record; until that has been
read, the new order looks like a stranger's.
"""

from collections import OrderedDict
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from engine.model import Balance, Side, order_id_of

K = TypeVar("K")
V = TypeVar("V")

_MOST_ORDERS = 20_000
_MOST_CONDITIONAL = 2_000
_MOST_SYMBOLS = 1_000


class Bounded(Generic[K, V]):
    """A mapping of the newest entries."""

    def __init__(self, most: int) -> None:
        self._rows: OrderedDict[K, V] = OrderedDict()
        self._most = most

    def get(self, key: K) -> V | None:
        return self._rows.get(key)

    def put(self, key: K, value: V) -> None:
        self._rows[key] = value
        self._rows.move_to_end(key)
        if len(self._rows) > self._most:
            self._rows.popitem(last=False)

    def drop(self, key: K) -> None:
        self._rows.pop(key, None)

    def items(self) -> list[tuple[K, V]]:
        return list(self._rows.items())


class Condition(msgspec.Struct, frozen=True):
    """What an order of ours will be when it is triggered."""

    symbol: str
    side: Side
    amount: Decimal


class AccountMemory:
    """`hedge`: whether the account holds long and short positions side by side, as far as its answers have shown. `counting`: the
    symbols whose orders the venue is to cancel when it hears nothing of us."""

    def __init__(self) -> None:
        self.hedge = False
        self.counting: set[str] = set()
        self.balances: Bounded[str, Balance] = Bounded(_MOST_SYMBOLS)
        self._became: Bounded[tuple[str, int], str] = Bounded(_MOST_CONDITIONAL)  # order → client id of the condition
        self._becomes: Bounded[str, int] = Bounded(_MOST_CONDITIONAL)  # the other way round
        self._conditions: Bounded[str, Condition] = Bounded(_MOST_CONDITIONAL)  # ours, not triggered yet, by client id
        self._names: Bounded[tuple[str, int], str] = Bounded(_MOST_ORDERS)
        self._seen: Bounded[str, int] = Bounded(_MOST_SYMBOLS)

    # ── symbols ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def see(self, symbol: str, at_ms: int) -> None:
        """Something of ours was or may have been going on at `symbol` at that time."""
        self._seen.put(symbol, max(at_ms, self._seen.get(symbol) or 0))

    def seen_since(self, at_ms: int) -> set[str]:
        return {symbol for symbol, seen_ms in self._seen.items() if seen_ms >= at_ms}

    # ── client ids ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def name(self, symbol: str, order_id: int, said: str) -> str:
        """The client id an order goes by here: what it says, or the id of the conditional order it came from."""
        if said and self._conditions.get(said) is not None:
            self.link(symbol, order_id, said)
        client_id = self._became.get((symbol, order_id)) or said
        self._names.put((symbol, order_id), client_id)
        return client_id

    def name_of(self, symbol: str, order_id: int) -> str | None:
        return self._became.get((symbol, order_id)) or self._names.get((symbol, order_id))

    # ── conditional orders ─────────────────────────────────────────────────────────────────────────────────────────────

    def await_trigger(self, client_id: str, condition: Condition) -> None:
        if self._becomes.get(client_id) is None and order_id_of(client_id) is not None:
            self._conditions.put(client_id, condition)

    def end_condition(self, client_id: str) -> None:
        self._conditions.drop(client_id)

    def link(self, symbol: str, order_id: int, client_id: str) -> None:
        """The conditional order `client_id` became `order_id`."""
        self._became.put((symbol, order_id), client_id)
        self._becomes.put(client_id, order_id)
        self._conditions.drop(client_id)

    def became(self, client_id: str) -> int | None:
        """The order a conditional one became, if we know."""
        return self._becomes.get(client_id)

    def is_linked(self, symbol: str, order_id: int) -> bool:
        return self._became.get((symbol, order_id)) is not None

    def conditions(self, symbol: str) -> tuple[str, ...]:
        """Client ids of ours that have not been triggered, as far as we know."""
        return tuple(client_id for client_id, known in self._conditions.items() if known.symbol == symbol)

    def may_come_from_one(self, symbol: str, side: Side, amount: Decimal) -> bool:
        """Whether an order may be what a condition of ours became. One that only reduces may have become smaller."""
        return any(
            (known.symbol, known.side) == (symbol, side) and amount <= known.amount
            for _, known in self._conditions.items()
        )
