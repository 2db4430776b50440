"""What can be asked of a store, from inside the node or from another process."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from engine.model import TERMINAL, Fill, Gate, Order, OrderState, Plan, PlanState
from engine.store.environment import Environment
from engine.store.journal import Head, JournalEntry
from engine.store.reading import Begin, Index, Journal, Table
from engine.store.tables import JOURNAL

__all__ = ["Reader", "Snapshot"]

LIVE_STATES = tuple(state for state in OrderState if state not in TERMINAL)


class Reader:
    """Everything that can be read, through transactions that `begin` gives."""

    def __init__(self, environment: Environment, begin: Begin) -> None:
        self._environment = environment
        self._begin = begin

    def table(self, name: str) -> Table[Any, Any]:
        spec = self._environment.schema.table(name)
        return Table(self._begin, self._environment.databases[name], spec, self._environment.path)

    def index(self, name: str) -> Index:
        """An index such as `orders_by_state`: tuples that end in the row's key."""
        spec = self._environment.schema.indexes[name]
        return Index(self._begin, self._environment.databases[name], spec, self._environment.path)

    def journal(self, from_seq: int = 1, limit: int | None = None) -> Iterator[JournalEntry]:
        """Entries from `from_seq` on; those past retention are not here any more (see `first_seq`)."""
        env = self._environment
        return Journal(self._begin, env.databases[JOURNAL], env.schema, env.path).entries(from_seq, limit)

    def _head(self) -> Head:
        with self._begin() as txn:
            return self._environment.head_in(txn)

    @property
    def last_seq(self) -> int:
        """The newest durable entry."""
        return self._head().seq

    @property
    def first_seq(self) -> int:
        """The oldest entry still in the journal; one more than `last_seq` when it is empty."""
        return self._head().first_seq

    def counters(self) -> dict[str, int]:
        """Orders `accepted` and `fills` over the store's whole life, and orders by the state they are in or ended in."""
        totals = self._head().totals
        return {str(name): totals.get(name, 0) for name in ("accepted", *OrderState, "fills")}

    def last_order_number(self) -> int:
        """The highest number among all order ids ever stored, `<node part>-<number>`; 0 before the first."""
        return self._head().totals.get("last_order_number", 0)

    def meta(self, key: str, value_type: Any) -> Any:
        """The row of `meta` under `key` as a `value_type`, or None."""
        value = self.table("meta").get(key)
        return None if value is None else msgspec.convert(value, value_type)

    def gate(self, account: str) -> Gate | None:
        """The account's order gate as it was last stored."""
        gate: Gate | None = self.meta(f"gate:{account}", Gate)
        return gate

    def order(self, order_id: str) -> Order | None:
        order: Order | None = self.table("orders").get(order_id)
        return order

    def orders_in(
        self, states: Iterable[OrderState], reverse: bool = False, limit: int | None = None
    ) -> Iterator[Order]:
        """Orders in these states, oldest (or newest) first, found through the index: others cost nothing."""
        index, orders = self.index("orders_by_state"), self.table("orders")
        runs = [index.iterate((str(state),), reverse=reverse, limit=limit) for state in states]
        found = heapq.merge(*runs, key=lambda key: key[1:], reverse=reverse)
        for count, (*_, order_id) in enumerate(found):
            if limit is not None and count >= limit:
                return
            order = orders.get(order_id)
            if order is not None:  # gone since the index was read
                yield order

    def live_orders(self, account: str | None = None) -> Iterator[Order]:
        """All orders that have not ended (of one account), oldest first: what a start needs, whatever the history."""
        return (order for order in self.orders_in(LIVE_STATES) if account in (None, order.account))

    def fill(self, key: str) -> Fill | None:
        fill: Fill | None = self.table("fills").get(key)
        return fill

    def fills_of(self, order_id: str) -> Iterator[Fill]:
        """The fills of one order."""
        for _, key in self.index("fills_by_order").iterate((order_id,)):
            fill = self.fill(key)
            if fill is not None:
                yield fill

    def plan(self, plan_id: str) -> Plan | None:
        plan: Plan | None = self.table("plans").get(plan_id)
        return plan

    def plans_in(self, states: Iterable[PlanState], reverse: bool = False, limit: int | None = None) -> Iterator[Plan]:
        """Plans in these states, the longest (or shortest) unchanged first."""
        index = self.index("plans_by_state")
        runs = [index.iterate((str(state),), reverse=reverse, limit=limit) for state in states]
        for count, (*_, plan_id) in enumerate(heapq.merge(*runs, key=lambda key: key[1:], reverse=reverse)):
            if limit is not None and count >= limit:
                return
            plan = self.plan(plan_id)
            if plan is not None:
                yield plan


class Snapshot(Reader):
    """Reads that agree with each other. Keep it short: it pins every page it can see."""
