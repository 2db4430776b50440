"""The judge of the crash drill: the store against what the venue holds, and against what linked orders promise."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from engine.model import (
    TERMINAL,
    ZERO,
    CancelState,
    Order,
    OrderState,
    Plan,
    PlanState,
    is_native,
    order_id_of,
    waits_for_entry,
)
from engine.store import Store
from scripts.drills._books import unrecorded
from scripts.drills._crash_venues import Held
from scripts.drills._finding import Finding

__all__ = ["KINDS", "compare", "follows_here", "stated"]

KINDS = ("lost", "doubled", "diverged", "unrecorded", "unlinked", "unsettled", "broken")
ENDED = (OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED)


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """One store beside its venue. `executed` by order, of its fills; `placed` by order, what the venue holds of it."""

    orders: dict[str, Order]
    plans: dict[str, Plan]
    executed: dict[str, Decimal]
    placed: dict[str, list[Held]]


def compare(directory: Path, told: Mapping[str, str], held: Iterable[Held]) -> list[Finding]:
    """What is wrong with the store there. `told`: what callers were told is accepted, by their key; `held`: by the venue."""
    with Store.open(directory, read_only=True) as store:
        orders = {order.order_id: order for _, order in store.table("orders").iterate()}
        sight = Sight(
            orders=orders,
            plans={plan.plan_id: plan for plan in store.plans_in(PlanState)},
            executed={order_id: sum((fill.amount for fill in store.fills_of(order_id)), ZERO) for order_id in orders},
            placed=_placed(held, store.node_part),
        )
        books = [Finding("unrecorded", text) for text in unrecorded(store)]
    return [*_lost(sight, told), *_doubled(sight), *_diverged(sight), *books, *_unlinked(sight)]


def _placed(held: Iterable[Held], node_part: str) -> dict[str, list[Held]]:
    """What the venue holds under this store's ids."""
    placed: dict[str, list[Held]] = {}
    for one in held:
        if one.client_id.startswith(f"{node_part}-") and one.state is not OrderState.REJECTED:
            placed.setdefault(order_id_of(one.client_id) or one.client_id, []).append(one)
    return placed


# ── in words ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def stated(order: Order) -> str:
    """What the store says of an order."""
    more = {
        "cancel": order.cancel if order.cancel is not CancelState.NONE else "",
        "amend": order.amend,
        "review": order.review,
        "reason": order.reason,
        "plan": order.plan,
    }
    words = "".join(f", {name} {value}" for name, value in more.items() if value)
    kind = f"{order.order_type} {order.side}, id {order.client_order_id}"
    return f"{order.order_id} ({kind}) store: {order.state} {order.filled_amount} of {order.amount}{words}"


def _beside(order: Order, sight: Sight) -> str:
    return f"{stated(order)}; fills: {sight.executed[order.order_id]}; {_of_venue(sight, order.order_id)}"


def _of_venue(sight: Sight, order_id: str) -> str:
    held = sight.placed.get(order_id, [])
    return "venue: " + (", ".join(f"{one.client_id} {one.state} {one.filled}" for one in held) or "nothing")


# ── what may be wrong ─────────────────────────────────────────────────────────────────────────────────────────────────


def _lost(sight: Sight, told: Mapping[str, str]) -> Iterator[Finding]:
    keys = {told_id: key for key, told_id in told.items()}
    for told_id in sorted(set(keys) - set(sight.orders) - set(sight.plans)):
        text = f"{told_id} was accepted for {keys[told_id]}; store: nothing; {_of_venue(sight, told_id)}"
        yield Finding("lost", text)
    for order_id in sorted(set(sight.placed) - set(sight.orders)):
        yield Finding("lost", f"{order_id} store: nothing; {_of_venue(sight, order_id)}")


def _doubled(sight: Sight) -> Iterator[Finding]:
    worked: Counter[str] = Counter()
    by_key: dict[str, list[str]] = {}
    for order in sight.orders.values():
        worked[order.plan] += order.filled_amount
        if order.request_key:
            by_key.setdefault(order.request_key, []).append(order.order_id)
    for plan_id, plan in sight.plans.items():
        if worked[plan_id] > plan.request.order.amount:
            yield Finding("doubled", f"plan {plan_id} filled {worked[plan_id]} of {plan.request.order.amount}")
    for order_id, held in sight.placed.items():
        if len(held) > 1:
            yield Finding("doubled", f"{order_id} {_of_venue(sight, order_id)}")
    for key, made in by_key.items():
        if len(made) > 1:
            yield Finding("doubled", f"key {key} made {', '.join(made)}")


def _diverged(sight: Sight) -> Iterator[Finding]:
    for order in sight.orders.values():
        if _differs(order, sight.executed[order.order_id], sight.placed):
            yield Finding("diverged", _beside(order, sight))


def _differs(order: Order, executed: Decimal, placed: Mapping[str, list[Held]]) -> bool:
    held = placed.get(order.order_id, [])
    if len(held) == 1:
        return not (held[0].state is order.state and held[0].filled == order.filled_amount == executed)
    return not held and order.state not in ENDED and not waits_for_entry(order) and not follows_here(order)


def follows_here(order: Order) -> bool:
    """Whether it waits for a price to turn that the node follows: its venue refused to."""
    return order.state is OrderState.WAITING and order.conditional and order.trail is not None


def _unlinked(sight: Sight) -> Iterator[Finding]:
    for order in sight.orders.values():
        if order.link is not None and _is_broken(order, sight.orders):
            partners = [sight.orders[name] for name in (*order.link.rivals, *order.link.exits) if name in sight.orders]
            yield Finding("unlinked", " | ".join(_beside(each, sight) for each in (order, *partners)))


def _is_broken(order: Order, orders: Mapping[str, Order]) -> bool:
    """Whether an entry that is over has not released as much of each exit as it was filled, or an order that should have
    ended its rivals did not.
    """
    if order.link is None:
        return False
    if order.state is OrderState.FILLED and order.link.rivals:
        return any(orders[rival].state not in TERMINAL for rival in order.link.rivals)
    owes = _owes_native if is_native(order) else _owes
    return any(owes(order, orders[exit_], orders) for exit_ in order.link.exits)


def _owes_native(entry: Order, exit_: Order, _orders: Mapping[str, Order]) -> bool:
    """Of a set that the venue keeps: an exit goes with an entry that was not filled, and is as large as what was."""
    if waits_for_entry(exit_):
        return entry.state is not OrderState.WAITING
    if entry.state in TERMINAL and not entry.filled_amount:
        return exit_.state not in TERMINAL
    return exit_.state is OrderState.OPEN and entry.state in TERMINAL and exit_.amount != entry.filled_amount


def _owes(entry: Order, exit_: Order, orders: Mapping[str, Order]) -> bool:
    if entry.state not in TERMINAL:
        return not waits_for_entry(exit_)
    leg = (exit_.order_type, exit_.price)
    parts = [o for o in orders.values() if o.link and o.link.entry == entry.order_id and (o.order_type, o.price) == leg]
    released = sum((o.amount for o in parts if o is not exit_), ZERO)
    assert exit_.link is not None
    if exit_.link.released > released:
        released += exit_.amount
    return waits_for_entry(exit_) or not released == exit_.link.released == entry.filled_amount
