"""Orders that depend on each other, as their caller writes them down."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from actors.trading.errors import bad_field
from actors.trading.forms import Figure, OrderForm, order_form
from engine.model import LinkKind, OrderType, Side, TriggerFill

MAX_EXITS = 10
KINDS = {
    "oco": LinkKind.OCO,
    "oto": LinkKind.OTO,
    "bracket": LinkKind.OTOCO,
    "otoco": LinkKind.OTOCO,
    **{str(kind): kind for kind in LinkKind},
}
#: What describes how an entry itself leaves, and is not its exits' concern.
_OF_THE_ENTRY = (
    "price",
    "trigger_price",
    "order_type",
    "conditions",
    "delay",
    "expiration",
    "trail",
    "post_only",
    "time_in_force",
    "request_key",
    "execution",
    "execute_immediately",
    "auto_cancel_timeout",
)


class LinkedForm(msgspec.Struct, frozen=True):
    """A set of orders; an OCO has no `entry`."""

    kind: LinkKind
    exits: tuple[OrderForm, ...]
    entry: OrderForm | None
    releases_at: TriggerFill
    cancels_at: TriggerFill
    native: bool = True


def linked_form(
    kind: str,
    exits: Sequence[Mapping[str, Any] | OrderForm],
    entry: Mapping[str, Any] | OrderForm | None,
    releases_at: str,
    cancels_at: str,
    *,
    native: bool = True,
) -> LinkedForm:
    """A set from its parameters. Raises AdvancedOrderError naming the field."""
    if kind not in KINDS:
        raise bad_field("kind", f"one of {', '.join(KINDS)}", kind)
    for field, value in (("releases_at", releases_at), ("cancels_at", cancels_at)):
        if value not in list(TriggerFill):
            raise bad_field(field, f"one of {', '.join(TriggerFill)}", value)
    found = KINDS[kind]
    alone = found is LinkKind.OCO
    if (entry is None) is not alone:
        raise bad_field("entry", "none for an oco" if alone else f"an order that a {kind} begins with", entry)
    least = 1 if found is LinkKind.OTO else 2
    if isinstance(exits, (str, Mapping)) or not least <= len(exits) <= MAX_EXITS:
        raise bad_field("exits", f"a list of {least} to {MAX_EXITS} orders", exits)
    return LinkedForm(
        kind=found,
        exits=tuple(_one(form, f"exits[{number}]") for number, form in enumerate(exits)),
        entry=None if entry is None else _one(entry, "entry"),
        releases_at=TriggerFill(releases_at),
        cancels_at=TriggerFill(cancels_at),
        native=native,
    )


def bracket_form(
    entry: Mapping[str, Any], take_profit: Figure | None, stop_loss: Figure | None, trail: Mapping[str, Any] | None
) -> LinkedForm:
    """An entry with its two exits on the other side; both only reduce what the entry opened, and the one that is filled wholly
    ends the other: what a part leaves open stays guarded. Raises AdvancedOrderError.
    """
    if take_profit is None:
        raise bad_field("take_profit", "the price at which a profit is taken", "none")
    if (stop_loss is None) is (trail is None):
        raise bad_field("stop_loss", "a price, or a `trail` in its place", "neither" if trail is None else "both")
    first = order_form(entry, at="entry")
    other = Side.SELL if first.direction is Side.BUY else Side.BUY
    shared = {name: value for name, value in entry.items() if name not in _OF_THE_ENTRY}
    shared |= {"direction": str(other), "reduce_only": True}
    stop: dict[str, Any] = {"order_type": str(OrderType.STOP_MARKET), "trigger_price": stop_loss}
    if trail is not None:
        stop = {"order_type": str(OrderType.MARKET), "trail": trail}
    return LinkedForm(
        kind=LinkKind.OTOCO,
        exits=(
            order_form(shared | {"order_type": str(OrderType.LIMIT), "price": take_profit}, at="take_profit"),
            order_form(shared | stop, at="stop_loss"),
        ),
        entry=first,
        releases_at=TriggerFill.INCREMENTAL,
        cancels_at=TriggerFill.COMPLETE_FILL,
        native=first.native,
    )


def _one(form: Mapping[str, Any] | OrderForm, at: str) -> OrderForm:
    """A member of a set, which is one order at the venue."""
    made = order_form(form, at=at)
    if not made.immediate:
        raise bad_field(f"{at}.execution", "none: an order of a set is worked as one", made.execution)
    return made
