"""What is due among linked orders: plain functions from orders as they are stored to the orders they become.

Doing it again changes nothing: how much of an exit was released stands in the exit, and an order that is over or wanted
cancelled is left alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from engine.model.instruments import Instrument
from engine.model.money import ZERO, floor_to, plain
from engine.model.orders.linking import ExitPolicy, Link, LinkedRequest, LinkKind, LinkSettings
from engine.model.orders.order import MAX_TEXT, Order, OrderState, cancelled_unsent, new_order
from engine.model.orders.requests import OrderRequest
from engine.model.terms import ErrorPolicy, OrderType, Priority, TriggerFill

EXIT_GOOD_FOR_S = 86_400.0  # what protects a position is not stale while the position is there

# ── a set as it is stored ─────────────────────────────────────────────────────────────────────────────────────────────


def linked_orders(
    request: LinkedRequest, *, order_ids: Sequence[str], account: str, now_ms: int, exit_failed: ExitPolicy
) -> tuple[Order, ...]:
    """The stored form of an accepted set, one order for each of `order_ids`; the set is named after the first of them."""
    group, exit_ids = order_ids[0], tuple(order_ids[len(order_ids) - len(request.exits) :])
    common = Link(group=group, kind=request.kind, releases_at=request.releases_at, cancels_at=request.cancels_at)
    orders = []
    if request.entry is not None:
        entry = new_order(request.entry, order_id=group, account=account, now_ms=now_ms)
        orders.append(msgspec.structs.replace(entry, link=msgspec.structs.replace(common, exits=exit_ids)))
        common = msgspec.structs.replace(common, after=group, entry=group, per=request.entry.amount)
    for order_id, wanted in zip(exit_ids, request.exits, strict=True):
        asked = _exit(wanted, exit_failed) if request.entry is not None else wanted
        rivals = _others(exit_ids, order_id) if request.kind is not LinkKind.OTO else ()
        link = msgspec.structs.replace(common, rivals=rivals, share=wanted.amount)
        order = new_order(asked, order_id=order_id, account=account, now_ms=now_ms)
        orders.append(msgspec.structs.replace(order, link=link))
    return tuple(orders)


def _exit(wanted: OrderRequest, policy: ExitPolicy) -> OrderRequest:
    """What takes a position back waits for its chance as long as it takes, and longer than its first refusal if so told."""
    if not wanted.reduce_only:
        return wanted
    retry = policy is ExitPolicy.RETRY and wanted.on_error is None
    return msgspec.structs.replace(
        wanted,
        good_for_s=max(wanted.good_for_s, EXIT_GOOD_FOR_S),
        on_error=ErrorPolicy.RETRY if retry else wanted.on_error,
    )


def set_of(leader: Order) -> tuple[str, ...]:
    """The ids of the set whose first order this is, in the order they were asked for; empty if it leads none."""
    link = leader.link
    if link is None or link.group != leader.order_id:
        return ()
    return (leader.order_id, *(link.exits or link.rivals))


def _others(order_ids: Iterable[str], order_id: str) -> tuple[str, ...]:
    return tuple(other for other in order_ids if other != order_id)


# ── an entry releases its exits ───────────────────────────────────────────────────────────────────────────────────────


def waits_for_entry(order: Order) -> bool:
    return order.link is not None and bool(order.link.after) and not order.state.terminal


def due_exits(
    entry: Order,
    held: Sequence[Order],
    *,
    instruments: Mapping[str, Instrument],
    rules: LinkSettings,
    next_id: Callable[[], str],
    now_ms: int,
) -> tuple[Order, ...]:
    """All that changes, in one commit, now that `entry` is as it is: slices to be released, what is left of the held exits they
    are taken from, held exits that are released themselves or end with their entry. `instruments` has every one of theirs.
    """
    over, filled = entry.state.terminal, entry.filled_amount
    if not held or not (filled or over):
        return ()
    at = held[0].link.releases_at if held[0].link else TriggerFill.INCREMENTAL
    if filled and at is TriggerFill.FIRST_HIT:
        return tuple(_freed(order, order.amount, now_ms) for order in held)
    if over:
        return tuple(_last(entry, order, instruments[order.instrument], now_ms) for order in held)
    if at is TriggerFill.INCREMENTAL:
        return _slices(entry, held, instruments, rules, next_id, now_ms)
    return ()


def portion(entry: Order, exit_: Order, instrument: Instrument) -> Decimal:
    """How much of an exit its entry's fills justify by now, beyond what is released: a multiple of the lot."""
    link = _link(exit_)
    return floor_to(link.share * entry.filled_amount / link.per, instrument.lot_size) - link.released


def _last(entry: Order, order: Order, instrument: Instrument, now_ms: int) -> Order:
    """The entry is over: the held exit leaves with all that is due, and the rest of it ends here."""
    amount = portion(entry, order, instrument)
    if amount >= instrument.min_amount and amount > ZERO:
        return _freed(order, amount, now_ms)
    why = f"its entry ended with {plain(entry.remaining)} unfilled"
    link = msgspec.structs.replace(_link(order), after="")
    return msgspec.structs.replace(cancelled_unsent(order, now_ms=now_ms), reason=why[:MAX_TEXT], link=link)


def _freed(order: Order, amount: Decimal, now_ms: int) -> Order:
    link = _link(order)
    return msgspec.structs.replace(
        order,
        amount=amount,
        link=msgspec.structs.replace(link, after="", released=link.released + amount),
        deadline_ms=max(now_ms, order.due_at_ms) + int(order.good_for_s * 1000),
        updated_at_ms=now_ms,
    )


def _slices(
    entry: Order,
    held: Sequence[Order],
    instruments: Mapping[str, Instrument],
    rules: LinkSettings,
    next_id: Callable[[], str],
    now_ms: int,
) -> tuple[Order, ...]:
    parts = ((order, _slice_amount(entry, order, instruments[order.instrument], rules)) for order in held)
    ready = [(order, amount, next_id()) for order, amount in parts if amount]
    ids = [slice_id for _, _, slice_id in ready]
    changed: list[Order] = []
    for order, amount, slice_id in ready:
        rivals = _others(ids, slice_id) if _link(order).rivals else ()
        changed += _split(order, amount, slice_id, rivals, instruments[order.instrument], now_ms)
    return tuple(changed)


def _slice_amount(entry: Order, order: Order, instrument: Instrument, rules: LinkSettings) -> Decimal:
    """What is due of a held exit, zero if it is too little to be an order or to be worth one of the slices left.

    The first half of the slices go at once, however small; the others share what is left, so that a part which waits for
    more is never a large one. And what stays has to be enough for an order, too.
    """
    link, amount = _link(order), portion(entry, order, instrument)
    left = link.share - link.released
    if ZERO < left - amount < instrument.min_amount:
        amount = floor_to(left - instrument.min_amount, instrument.lot_size)
    slices_left = rules.max_slices - link.slices
    least = left / slices_left if 0 < slices_left <= rules.max_slices / 2 else ZERO
    return amount if slices_left > 0 and amount > ZERO and amount >= max(instrument.min_amount, least) else ZERO


def _split(
    order: Order, amount: Decimal, slice_id: str, rivals: tuple[str, ...], instrument: Instrument, now_ms: int
) -> tuple[Order, Order]:
    """A slice, free to leave, and the held exit without it. An entry that grew may need more than was asked for: then what
    is held stands for the least there may be.
    """
    link = _link(order)
    slice_ = msgspec.structs.replace(
        _freed(order, amount, now_ms),
        order_id=slice_id,
        request_key="",
        created_at_ms=now_ms,
        link=msgspec.structs.replace(link, after="", rivals=rivals, share=amount, released=amount),
    )
    rest = msgspec.structs.replace(
        order,
        amount=max(link.share - link.released - amount, instrument.min_amount),
        link=msgspec.structs.replace(link, released=link.released + amount, slices=link.slices + 1),
        updated_at_ms=now_ms,
    )
    return slice_, rest


def _link(order: Order) -> Link:
    if order.link is None:
        raise AssertionError(f"{order.order_id}: depends on no other order")
    return order.link


# ── rivals end each other ─────────────────────────────────────────────────────────────────────────────────────────────


def ends_rivals(order: Order) -> bool:
    """Whether enough of it is filled for its rivals to end."""
    if order.link is None or not order.link.rivals:
        return False
    if order.link.cancels_at is TriggerFill.FIRST_HIT:
        return order.filled_amount > ZERO
    return order.state is OrderState.FILLED


def overfilled(rivals: Sequence[Order]) -> bool:
    """Whether more was filled among rivals than one of them should have been: their fills crossed the cancels."""
    filled = [order for order in rivals if order.filled_amount > ZERO]
    if len(filled) < 2:
        return False
    asked = [order for order in rivals if not stands_in(order)]  # the others close what these leave
    hit = [order for order in asked if order.filled_amount > ZERO]
    if len(hit) > 1 and any(_link(order).cancels_at is TriggerFill.FIRST_HIT for order in hit):
        return True
    return sum(order.filled_amount for order in rivals) > max(order.amount for order in asked or rivals)


# ── what was to be protected and is not ───────────────────────────────────────────────────────────────────────────────


def protects(exit_: Order, entry: Order) -> bool:
    """Whether the exit takes back what the entry builds up."""
    return exit_.instrument == entry.instrument and exit_.side is not entry.side


def failed_exit(order: Order) -> bool:
    """A released exit that is over and was never what it should have been: refused, or not sent in time."""
    link = order.link
    if link is None or not link.entry or link.after or order.remaining <= ZERO:
        return False
    if order.state is OrderState.EXPIRED:
        return order.expires_at_ms is None or order.updated_at_ms < order.expires_at_ms  # else it was meant to end
    return order.state is OrderState.REJECTED


def exposed(order: Order, rivals: Sequence[Order]) -> Decimal:
    """How much of what the failed exit was to protect nothing protects: zero while a rival that is no stop's substitute lives.

    A failed stop leaves everything unprotected that was not closed yet, and that nothing closes: a profit that may be taken
    protects nobody.
    """
    left = order.remaining - sum((rival.filled_amount for rival in rivals), ZERO) - being_closed(rivals)
    waits = order.order_type.has_trigger or order.trail is not None or bool(order.conditions or order.any_of)
    stop = waits or bool(_link(order).closes)
    guarded = not stop and any(not rival.state.terminal for rival in rivals)
    return ZERO if guarded else max(left, ZERO)


def being_closed(orders: Sequence[Order]) -> Decimal:
    """How much those of them have still to close that stand in for failed exits."""
    return sum((order.remaining for order in orders if stands_in(order) and not order.state.terminal), ZERO)


def stands_in(order: Order) -> bool:
    """Whether it closes for a failed exit."""
    return order.link is not None and bool(order.link.closes)


def still_open(order: Order, failed: Order, entry: Order, others: Sequence[Order]) -> Decimal:
    """How much of what `failed` was to protect nobody took yet; `order` stands in for it, and `others` guard the same.

    Zero or less: there is nothing left to close.
    """
    link = _link(failed)
    guarded = link.share * entry.filled_amount / link.per if link.native else failed.amount
    return guarded - sum((one.filled_amount for one in (order, failed, *others)), ZERO)


def cut(order: Order, amount: Decimal, *, now_ms: int) -> Order:
    """What stands in for a failed exit, not sent yet, with less to close: another one took some of it."""
    link = msgspec.structs.replace(_link(order), share=amount, released=amount)
    return msgspec.structs.replace(order, amount=amount, link=link, updated_at_ms=now_ms)


def closing(order: Order, rivals: Sequence[Order], amount: Decimal, *, order_id: str, now_ms: int) -> Order:
    """An order at the market that does what the failed exit cannot; its fills end the exit's rivals."""
    request = OrderRequest(
        instrument=order.instrument,
        side=order.side,
        amount=amount,
        order_type=OrderType.MARKET,
        reduce_only=True,
        good_for_s=EXIT_GOOD_FOR_S,
        strategy=order.strategy,
        priority=Priority.HIGH,
        metadata=order.metadata,
    )
    link = msgspec.structs.replace(
        _link(order),
        rivals=tuple(rival.order_id for rival in rivals if not rival.state.terminal),
        cancels_at=TriggerFill.FIRST_HIT,
        share=amount,
        released=amount,
        closes=order.order_id,
        native=False,
    )
    return msgspec.structs.replace(
        new_order(request, order_id=order_id, account=order.account, now_ms=now_ms), link=link
    )


def joined(rivals: Sequence[Order], newcomer: Order, *, now_ms: int) -> tuple[Order, ...]:
    """Those that are not over, with one more rival: what stands in for a failed exit ends when another one did its work."""
    return tuple(
        msgspec.structs.replace(
            rival,
            link=msgspec.structs.replace(_link(rival), rivals=(*_link(rival).rivals, newcomer.order_id)),
            updated_at_ms=now_ms,
        )
        for rival in rivals
        if not rival.state.terminal
    )


def uncovered(entry: Order, exits: Sequence[Order]) -> Decimal:
    """How much the entry is filled beyond what its exits were released for, when none of them is held any more.

    Each rival covers all of it, so the least released one counts; other exits cover their shares.
    """
    guards = [order for order in exits if protects(order, entry)]
    if not guards or any(map(waits_for_entry, guards)):
        return ZERO
    missing = [link.share * entry.filled_amount / link.per - link.released for link in map(_link, guards)]
    together = sum(missing, ZERO) if _link(entry).kind is LinkKind.OTO else max(missing)
    return max(together, ZERO)
