"""What an order queue may and must do, said once more and simply: the judge of the orders drill.

It knows what people asked for and were told, what they did to the gate and the stream, and nothing of how the queue
works. Where an answer was lost it allows both. Times are the node's milliseconds.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from engine.model import CancelState, Fill, GateState, Order, OrderRequest, OrderState
from tests.support.adversary import PlacedOrder

S = OrderState
SLACK_MS = 2  # between a decision and the moment its order is seen at the venue


class Wish(msgspec.Struct):
    """One order that somebody asked for, perhaps several times with the same key."""

    request: OrderRequest
    asked_ms: int
    latest_ms: int | None = None  # when its last asker had an answer; None while one waits, or for ever without one
    order_id: str = ""
    cancelled: bool = False  # somebody was told that it will be


class Model:
    """Facts, and what follows from them."""

    def __init__(self) -> None:
        self.wishes: dict[str, Wish] = {}  # by request key
        self.gates: set[GateState] = {GateState.ACTIVE}  # those it may be in
        self.sent: dict[str, int] = {}  # client id → when it left
        self.wrong: list[str] = []
        self._ends: dict[str, OrderState] = {}
        self._filled: dict[str, Decimal] = {}

    def told(self) -> dict[str, Wish]:
        return {wish.order_id: wish for wish in self.wishes.values() if wish.order_id}

    # ── at the moment an order reaches the venue ──────────────────────────────────────────────────────────────────────

    def leaves(self, order: Order, now_ms: int, *, synced: bool, others: Mapping[str, Order]) -> None:
        """Note it, and what is wrong with it."""
        self.wrong += [
            f"illegal: {order.client_order_id} left although {why}" for why in self._why_not(order, now_ms, others)
        ]
        if not synced:
            self.wrong.append(f"illegal: {order.client_order_id} left although the account is not in step")
        self.sent[order.client_order_id] = now_ms

    def _why_not(self, order: Order, now_ms: int, others: Mapping[str, Order]) -> Iterator[str]:
        if order.client_order_id in self.sent:
            yield "its client id was used before"
        if self.gates == {GateState.HALTED}:
            yield "the gate is halted"
        if GateState.ACTIVE not in self.gates and not order.reduce_only:
            yield "the gate lets only reduce-only orders pass"
        wish = self.wishes.get(order.request_key)
        if wish is None:
            yield "nobody asked for it"
            return
        if wish.cancelled:
            yield "its cancel was accepted"
        if wish.latest_ms is not None and now_ms > wish.latest_ms + wish.request.good_for_s * 1000 + SLACK_MS:
            yield "its deadline is over"
        for other in others.values():
            if other.state is S.UNKNOWN and other.updated_at_ms < now_ms - SLACK_MS:
                yield f"the fate of {other.order_id} is not known"

    # ── at any moment ─────────────────────────────────────────────────────────────────────────────────────────────────

    def compare(self, orders: Mapping[str, Order], fills: Mapping[str, Fill], truth: list[PlacedOrder]) -> list[str]:
        """What is wrong now, whatever is under way."""
        found = list(self.wrong)
        placed: dict[str, PlacedOrder] = {}
        for held in truth:
            order_id = held.client_order_id.rpartition("-")[0]
            if order_id in placed:
                found.append(f"doubled: {order_id} was placed as {placed[order_id]} and {held}")
            placed[order_id] = held
        found += [f"lost: {order_id} is not in the store" for order_id in {*placed, *self.told()} - orders.keys()]
        keys = [order.request_key for order in orders.values()]
        found += [f"doubled: two orders for {key}" for key in {key for key in keys if keys.count(key) > 1}]
        true_fills = {fill.trade_id for held in truth for fill in held.fills}
        found += [f"invented: fill {trade_id}" for trade_id in fills.keys() - true_fills]
        for order in orders.values():
            found += self._one(order, placed.get(order.order_id))
        return found

    def _one(self, order: Order, held: PlacedOrder | None) -> Iterator[str]:
        """What can never be of one order, and what it may not turn into."""
        if held is None and order.filled_amount:
            yield f"invented: {order.order_id} filled {order.filled_amount} and was never placed"
        if held is not None and order.filled_amount > held.filled:
            yield f"invented: {order.order_id} filled {order.filled_amount} of {held.filled}"
        if order.filled_amount < self._filled.get(order.order_id, Decimal(0)):
            yield f"forgotten: {order.order_id} had filled more than {order.filled_amount}"
        self._filled[order.order_id] = order.filled_amount
        end = self._ends.get(order.order_id)
        if end is not None and order.state not in (end, S.FILLED):
            yield f"revived: {order.order_id} was {end} and is {order.state}"
        if not order.state.terminal:
            return
        self._ends[order.order_id] = order.state
        if held is not None and held.state is S.OPEN:
            yield f"diverged: {order.order_id} is {order.state} ({order.reason}) and lives at the venue"

    # ── when all is quiet ─────────────────────────────────────────────────────────────────────────────────────────────

    def undecided(self, orders: Mapping[str, Order]) -> list[Order]:
        """Those that must still come to something."""
        return [order for order in orders.values() if _undecided(order)]

    def compare_settled(
        self, orders: Mapping[str, Order], fills: Mapping[str, Fill], truth: list[PlacedOrder], refused: set[str]
    ) -> list[str]:
        """What differs between the store and the venue when nothing is under way."""
        placed = {held.client_order_id.rpartition("-")[0]: held for held in truth}
        found = self.compare(orders, fills, truth)
        found += [
            f"missing: fill {fill.trade_id}" for held in truth for fill in held.fills if fill.trade_id not in fills
        ]
        for order in orders.values():
            held = placed.get(order.order_id)
            if not _agree(order, held, refused):
                found.append(f"diverged: {order} {held}")
            wish = self.wishes[order.request_key]
            if wish.cancelled and not order.state.terminal:
                found.append(f"lost: the cancel of {order.order_id}")
        return found


def _undecided(order: Order) -> bool:
    wanted = order.cancel is not CancelState.NONE or order.amend is not None
    return order.state in (S.WAITING, S.SUBMITTING, S.UNKNOWN) or (wanted and not order.state.terminal)


def _agree(order: Order, held: PlacedOrder | None, refused: set[str]) -> bool:
    """Whether the store says of an order what the venue does."""
    if held is None:
        by_word = order.state is S.REJECTED and order.client_order_id in refused
        return order.filled_amount == 0 and (by_word or order.state in (S.CANCELLED, S.EXPIRED))
    if (order.filled_amount, order.executed_amount) != (held.filled, held.filled):
        return False
    if held.meddled_with and order.state.terminal and held.state.terminal:
        return True  # amended elsewhere, and no word of that came before it was over
    return (order.state, order.amount) == (held.state, held.amount)
