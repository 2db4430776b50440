"""What an order queue may and must do, said once more and simply: the judge of the orders drill.

It knows what people asked for and were told, what they did to the gate and the stream, and nothing of how the queue
works. Where an answer was lost it allows both. Times are the node's milliseconds.
"""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from engine.model import (
    CancelState,
    Fill,
    GateState,
    Order,
    OrderRequest,
    OrderState,
    PartialFill,
    Priority,
    TriggerFill,
)
from scripts.drills._orders_figures import Series, may_be_hit, may_hold, must_hold
from tests.support.adversary import PlacedOrder

S = OrderState
SLACK_MS = 2  # between a decision and the moment its order is seen at the venue
TICK_MS = 250  # how late a delay may end
SOON_MS = 60_000  # within which what has come due is done, when nothing is in the way
PATIENCE_MS = {Priority.HIGH: 0, Priority.NORMAL: 5000, Priority.LOW: 30_000}


class Wish(msgspec.Struct):
    """One order that somebody asked for, or the first of a set; perhaps several times with the same key."""

    request: OrderRequest
    asked_ms: int
    latest_ms: int | None = None  # when its last asker had an answer; None while one waits, or for ever without one
    order_id: str = ""
    cancelled: bool = False  # somebody was told that it will be


class Model:
    """Facts, and what follows from them."""

    def __init__(self, fresh_ms: int, custom_ms: int) -> None:
        self.wishes: dict[str, Wish] = {}  # by request key
        self.gates: set[GateState] = {GateState.ACTIVE}  # those it may be in
        self.figures = {"mark": Series(fresh_ms), "custom": Series(custom_ms)}
        self.sent: dict[str, int] = {}  # client id → when it left
        self.wrong: list[str] = []
        self._ends: dict[str, OrderState] = {}
        self._filled: dict[str, Decimal] = {}

    def told(self) -> dict[str, Wish]:
        return {wish.order_id: wish for wish in self.wishes.values() if wish.order_id}

    # ── at the moment an order reaches the venue ──────────────────────────────────────────────────────────────────────

    def leaves(
        self, order: Order, now_ms: int, *, synced: bool, others: Mapping[str, Order], truth: list[PlacedOrder]
    ) -> None:
        """Note it, and what is wrong with it."""
        reasons = [*self._closed(order, synced), *self._held(order, now_ms, others, truth), *_unknown(now_ms, others)]
        self.wrong += [f"illegal: {order.client_order_id} left although {why}" for why in reasons]
        self.wrong += [f"starved: {other} by {order.client_order_id}" for other in _overtaken(order, now_ms, others)]
        self.sent[order.client_order_id] = now_ms

    def _closed(self, order: Order, synced: bool) -> Iterator[str]:
        if order.client_order_id in self.sent:
            yield "its client id was used before"
        if self.gates == {GateState.HALTED}:
            yield "the gate is halted"
        if GateState.ACTIVE not in self.gates and not order.reduce_only:
            yield "the gate lets only reduce-only orders pass"
        if not synced:
            yield "the account is not in step"

    def _held(self, order: Order, now_ms: int, others: Mapping[str, Order], truth: list[PlacedOrder]) -> Iterator[str]:
        if order.link is not None:
            yield from _linked(order, now_ms, others, truth)
        if order.link is not None and order.link.entry:
            return
        wish = self.wishes.get(order.request_key or _leader_key(order, others))
        if wish is None:
            yield "nobody asked for it"
        elif order.request_key:
            yield from self._wished(order, wish, now_ms)

    def _wished(self, order: Order, wish: Wish, now_ms: int) -> Iterator[str]:
        request, latest_ms = wish.request, wish.latest_ms
        if wish.cancelled:
            yield "its cancel was accepted"
        if now_ms < wish.asked_ms + request.delay_s * 1000 - SLACK_MS:
            yield "its delay is not over"
        life_s = math.inf if request.expires_after_s is None else request.expires_after_s
        if latest_ms is not None and now_ms > latest_ms + life_s * 1000 + SLACK_MS:
            yield "its life is over"
        free_ms = None if latest_ms is None else latest_ms + int(request.delay_s * 1000)
        if request.conditions or request.any_of or (request.trail and not order.native_trail):
            yield from self._met(order, wish)
            due_ms = free_ms if request.delay_s else 0  # when it was taken matters only where the delay begins then
            free_ms = None if order.met_at_ms is None or due_ms is None else max(order.met_at_ms, due_ms)
        if free_ms is not None and now_ms > free_ms + request.good_for_s * 1000 + SLACK_MS and not order.refusals:
            yield "its deadline is over"

    def _met(self, order: Order, wish: Wish) -> Iterator[str]:
        at_ms = order.met_at_ms
        if at_ms is None:
            yield "what it waits for was not met"
        elif at_ms < wish.asked_ms:
            yield "what it waits for was met before it was asked for"
        elif wish.request.trail is not None:
            if not may_be_hit(wish.request, self.figures["mark"], wish.asked_ms, at_ms):
                yield f"its trail was not hit at {at_ms}: {order.evidence}"
        elif not may_hold(wish.request, self.figures, at_ms):
            yield f"its conditions did not hold at {at_ms}: {order.evidence}"

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
        keys = [order.request_key for order in orders.values() if order.request_key]
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

    def undecided(self, orders: Mapping[str, Order], now_ms: int) -> list[Order]:
        """Those that must still come to something, when nothing is in their way."""
        return [order for order in orders.values() if self._undecided(order, orders, now_ms)]

    def _undecided(self, order: Order, orders: Mapping[str, Order], now_ms: int) -> bool:
        if order.state.terminal:
            return False
        if order.cancel is not CancelState.NONE or order.amend is not None:
            return True
        if order.expires_at_ms is not None and now_ms > order.expires_at_ms + SOON_MS:
            return True
        if order.state is S.OPEN:
            return _rests_too_long(order, now_ms) or _is_to_be_given_up(order)
        if order.state is not S.WAITING:
            return True
        if order.review:
            return False
        if order.link is not None and order.link.after:
            return orders[order.link.after].state.terminal
        if order.met_at_ms is None and order.trail is not None and not order.native_trail:
            return False
        if order.met_at_ms is None and (order.conditions or order.any_of):
            return must_hold(self.wishes[order.request_key].request, self.figures, now_ms)
        return True

    def compare_settled(
        self, orders: Mapping[str, Order], fills: Mapping[str, Fill], truth: list[PlacedOrder], turned_away: set[str]
    ) -> list[str]:
        """What differs between the store and the venue when nothing is under way."""
        placed = {held.client_order_id.rpartition("-")[0]: held for held in truth}
        found = self.compare(orders, fills, truth)
        found += [
            f"missing: fill {fill.trade_id}" for held in truth for fill in held.fills if fill.trade_id not in fills
        ]
        told = self.told()
        for order in orders.values():
            held = placed.get(order.order_id)
            if not self._agree(order, held, turned_away):
                found.append(f"diverged: {order} {held}")
            if order.order_id in told and told[order.order_id].cancelled and not order.state.terminal:
                found.append(f"lost: the cancel of {order.order_id}")
            found += _rivals(order, orders)
        return found

    def _agree(self, order: Order, held: PlacedOrder | None, turned_away: set[str]) -> bool:
        """Whether the store says of an order what the venue does."""
        if held is None:
            by_word = order.client_order_id in turned_away or order.client_order_id not in self.sent
            if order.state in (S.REJECTED, S.WAITING):
                return order.filled_amount == 0 and by_word
            return order.filled_amount == 0 and order.state in (S.CANCELLED, S.EXPIRED)
        if (order.filled_amount, order.executed_amount) != (held.filled, held.filled):
            return False
        if held.meddled_with and order.state.terminal and held.state.terminal:
            return True  # amended elsewhere, and no word of that came before it was over
        return (order.state, order.amount) == (held.state, held.amount)


def _leader_key(order: Order, others: Mapping[str, Order]) -> str:
    """The key its set was asked for with."""
    leader = others.get(order.link.group) if order.link is not None else None
    return leader.request_key if leader is not None else ""


def _unknown(now_ms: int, others: Mapping[str, Order]) -> Iterator[str]:
    for other in others.values():
        if other.state is S.UNKNOWN and other.updated_at_ms < now_ms - SLACK_MS:
            yield f"the fate of {other.order_id} is not known"


def _linked(order: Order, now_ms: int, others: Mapping[str, Order], truth: list[PlacedOrder]) -> Iterator[str]:
    assert order.link is not None, "only asked of members of a set"
    if order.link.entry and not order.link.native:  # else it leaves with its entry, and the venue holds it
        entries = [held for held in truth if held.client_order_id.startswith(f"{order.link.entry}-")]
        if not any(held.filled for held in entries):
            yield "nothing of its entry is filled"
        if order.link.releases_at is TriggerFill.COMPLETE_FILL and any(held.state is S.OPEN for held in entries):
            yield "its entry is not filled wholly"
    for other in map(others.get, order.link.rivals):
        if other is not None and other.updated_at_ms < now_ms - SLACK_MS and _ends_rivals(other):
            yield f"its rival {other.order_id} was filled"


def _ends_rivals(order: Order) -> bool:
    at_once = order.link is not None and order.link.cancels_at is TriggerFill.FIRST_HIT
    return order.filled_amount > 0 if at_once else order.state is S.FILLED


def _rivals(order: Order, orders: Mapping[str, Order]) -> Iterator[str]:
    if order.link is not None and _ends_rivals(order):
        for rival_id in order.link.rivals:
            if not orders[rival_id].state.terminal:
                yield f"lost: {rival_id} is {orders[rival_id].state} and its rival {order.order_id} was filled"


def _overtaken(order: Order, now_ms: int, others: Mapping[str, Order]) -> Iterator[str]:
    """Orders that were free to leave, and whose turn was before."""
    if not _simple(order) or order.attempt > 1:
        return
    for other in others.values():
        ready = _simple(other) and other.state is S.WAITING and other.attempt == 0 and other.cancel is CancelState.NONE
        here = other.updated_at_ms < now_ms - SLACK_MS and other.due_at_ms <= now_ms - TICK_MS - SLACK_MS
        if ready and here and other.reduce_only == order.reduce_only and _turn(other) < _turn(order):
            yield other.order_id


def _simple(order: Order) -> bool:
    return order.link is None and order.met_at_ms is None and not (order.conditions or order.any_of or order.trail)


def _turn(order: Order) -> int:
    return max(order.created_at_ms, order.due_at_ms) + PATIENCE_MS[order.priority]


def _rests_too_long(order: Order, now_ms: int) -> bool:
    if order.opened_at_ms is None or order.auto_cancel_s is None:
        return False
    return now_ms > order.opened_at_ms + order.auto_cancel_s * 1000 + SOON_MS


def _is_to_be_given_up(order: Order) -> bool:
    return order.partial_fill is PartialFill.CANCEL_REMAINING and 0 < order.filled_amount < order.amount
