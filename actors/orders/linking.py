"""Orders that depend on each other: what a fill or an end of one means for the others.

What is due follows from the stored orders alone (`engine.model.orders.linked`), so it is done again after a crash and changes
nothing then. What people must hear is stored with the change that makes it true.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial

from actors.messages import Notify
from actors.orders.closing import Closing
from actors.orders.desk import OrdersDesk
from engine.model import (
    ZERO,
    CancelState,
    ExitPolicy,
    Instrument,
    Notice,
    Order,
    OrderState,
    Severity,
    closing,
    due_exits,
    exposed,
    failed_exit,
    floor_to,
    is_native,
    joined,
    overfilled,
    overfilled_together,
    plain,
    protects,
    stands_in,
    uncovered,
    waits_for_entry,
)
from engine.store import Change, Put


class Linking(Closing):
    """Entries release their exits, rivals end each other, and nobody is left unprotected in silence."""

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        self._look_again: dict[str, None] = {}  # entries whose exits could not be released when it was due
        self._slice_from_s: dict[str, float] = {}  # earliest next slice, by entry

    def _save(
        self,
        kind: str,
        order: Order,
        then: Callable[[], None] | None = None,
        *,
        extra: tuple[Change, ...] = (),
        told: Callable[[int], None] | None = None,
        note: str = "",
    ) -> None:
        """With the order goes what its change means at once: an alarm, an order that closes what it should have protected."""
        if order.link is None:
            super()._save(kind, order, then, extra=extra, told=told, note=note)
            return
        before = self._known(order.order_id)
        substitute = self._substitute(before, order)
        notices = self._alarms_of(before, order, substitute)
        order, others = (order, ()) if substitute is None else self._joined(order, substitute)
        for one in others:
            self._remember(one)
        puts = [Put("notices", notice.notice_id, notice) for notice in notices]
        puts += [Put("orders", one.order_id, one) for one in others]
        after = partial(self._saved_with, told, others, notices)
        super()._save(kind, order, then, extra=(*extra, *puts), told=after, note=note)

    def _joined(self, order: Order, substitute: Order) -> tuple[Order, tuple[Order, ...]]:
        """`order` as it is to be saved, and with it the substitute and its rivals, which are to end with it as it with them."""
        rivals = [order if one.order_id == order.order_id else one for one in self._rivals(substitute)]
        changed = {one.order_id: one for one in joined(rivals, substitute, now_ms=self._now_ms())}
        order = changed.pop(order.order_id, order)
        return order, (substitute, *changed.values())

    def _saved_with(
        self, told: Callable[[int], None] | None, others: Sequence[Order], notices: Sequence[Notice], seq: int
    ) -> None:
        if told is not None:
            told(seq)
        for notice in notices:
            self._desk.notifier.tell(Notify(notice))
        for one in others:
            self._saved(one, None, None, seq)

    def _durable(self, order: Order) -> None:
        """`order` is on disk as it is now: see what that means for others."""
        if order.link is None:
            return
        order = self._current(order)
        if order.link is not None and order.link.exits:
            self._entry_moved(order)
        rivals = self._rivals(order)
        for rival in rivals:
            if self._ends(order, rival):
                self._want_cancel(rival)
        if any(self._ends(rival, order) for rival in rivals):
            self._want_cancel(order)

    def _forget(self, order: Order) -> None:
        super()._forget(order)
        self._slice_from_s.pop(order.order_id, None)

    def _recover_links(self) -> None:
        """Every order that is not over is in memory: do what was due when the last incarnation ended."""
        for order in list(self._orders.values()):
            if stands_in(order) and not order.state.terminal:
                self._join(order)
        entries = []
        for order in list(self._orders.values()):
            if waits_for_entry(order) and order.link is not None:
                entries.append(order.link.after)
            elif any(self._ends(rival, order) for rival in self._rivals(order)):
                self._want_cancel(order)
        self._look_again = dict.fromkeys(entries)
        self._look_at_entries()

    def _look_at_entries(self) -> None:
        """Time passed, or the venue's instruments came: what could not be released may be."""
        again, self._look_again = self._look_again, {}
        for order_id in again:
            entry = self._known(order_id)
            if entry is not None:
                self._entry_moved(entry)

    # ── an entry and its exits ────────────────────────────────────────────────────────────────────────────────────────

    def _entry_moved(self, entry: Order) -> None:
        held = [order for order in self._exits(entry) if waits_for_entry(order)]
        instruments = {order.instrument: self._instrument(order.instrument) for order in held}
        known = {name: instrument for name, instrument in instruments.items() if instrument is not None}
        if held and (len(known) < len(instruments) or self._sliced_lately(entry)):
            self._look_again[entry.order_id] = None
            return
        changed = due_exits(
            entry,
            held,
            instruments=known,
            rules=self._settings.links,
            next_id=self._desk.numbers.next_id,
            now_ms=self._now_ms(),
        )
        if changed:
            self._change_exits(entry, changed)

    def _sliced_lately(self, entry: Order) -> bool:
        """Fills that come at once are released together; those of an entry that is over at once."""
        return not entry.state.terminal and self.ctx.clock.monotonic_s() < self._slice_from_s.get(entry.order_id, 0.0)

    def _change_exits(self, entry: Order, changed: Sequence[Order]) -> None:
        if not entry.state.terminal:
            self._slice_from_s[entry.order_id] = self.ctx.clock.monotonic_s() + self._settings.links.slice_s
        owner = self._owners.get(entry.order_id)
        if owner is not None:
            self._owners.update(dict.fromkeys((order.order_id for order in changed), owner))
        self._desk.point("release.decided")
        now = {order.order_id: order for order in changed}
        exits = [now.get(order.order_id, order) for order in self._exits(entry)]
        notices = self._unguarded(entry, exits, ZERO)
        puts = tuple(Put("notices", notice.notice_id, notice) for notice in notices)
        self._save_all("order.released", changed, partial(self._exits_changed, changed, notices), extra=puts)

    def _exits_changed(self, changed: Sequence[Order], notices: Sequence[Notice]) -> None:
        self._desk.point("release.durable")
        for notice in notices:
            self._desk.notifier.tell(Notify(notice))
        for order in changed:
            if not waits_for_entry(order):
                self._let_go(order)

    def _let_go(self, order: Order) -> None:
        current = self._current(order)
        if current.state is OrderState.WAITING:
            self._release(current)
            self._pump()

    def _exits(self, entry: Order) -> list[Order]:
        return self._all(entry.link.exits if entry.link else ())

    # ── alarms ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _alarms_of(self, before: Order | None, order: Order, substitute: Order | None) -> list[Notice]:
        """What people must hear of a change."""
        failed = self._failure(before, order, substitute)
        return [*failed, *self._crossed(before, order), *self._late(before, order)]

    def _failure(self, before: Order | None, order: Order, substitute: Order | None) -> list[Notice]:
        """An exit could not be placed."""
        if not _fails_now(before, order) and not _taken_away(before, order):
            return []
        what = f"{order.instrument}: the exit {order.side} {plain(order.amount)} ended {order.state} ({order.reason})"
        amount = self._exposed(order)
        if amount > ZERO:
            doing = f"; {substitute.order_id} closes it at the market" if substitute else ""
            text = f"{what}, and nothing protects {plain(amount)} of the position{doing}"
            return [self._notice(Severity.EMERGENCY, "link.unprotected", text, order)]
        if any(rival.filled_amount >= order.remaining for rival in self._rivals(order)):
            return []  # its work is done
        return [self._notice(Severity.ERROR, "link.exit_failed", what, order)]

    def _substitute(self, before: Order | None, order: Order) -> Order | None:
        """What the settings have done about an exit that failed; what stands in for another has no substitute itself."""
        close = self._settings.links.exit_failed is ExitPolicy.CLOSE
        if not close or not _fails_now(before, order) or stands_in(order):
            return None
        instrument = self._instrument(order.instrument)
        amount = self._exposed(order)
        amount = floor_to(amount, instrument.lot_size) if instrument is not None else amount
        if amount <= ZERO:
            return None
        order_id = self._desk.numbers.next_id()
        return closing(order, self._rivals(order), amount, order_id=order_id, now_ms=self._now_ms())

    def _exposed(self, order: Order) -> Decimal:
        entry = self._known(order.link.entry) if order.link else None
        return exposed(order, self._rivals(order)) if entry is not None and protects(order, entry) else ZERO

    def _crossed(self, before: Order | None, order: Order) -> list[Notice]:
        """A fill of one crossed the cancel that a fill of another caused."""
        rivals = self._rivals(order)
        too_much = overfilled_together if is_native(order) else overfilled
        if not too_much([order, *rivals]) or (before is not None and too_much([before, *rivals])):
            return []
        filled = ", ".join(f"{plain(one.filled_amount)} of {one.order_id}" for one in (order, *rivals))
        text = f"{order.instrument}: orders that should have ended each other were filled: {filled}"
        return [self._notice(Severity.ERROR, "link.both_filled", text, order)]

    def _late(self, before: Order | None, entry: Order) -> list[Notice]:
        """An entry is filled further when its exits are over."""
        if before is None or not entry.link or not entry.link.exits:
            return []
        exits = self._exits(entry)
        return self._unguarded(entry, exits, uncovered(before, exits))

    def _unguarded(self, entry: Order, exits: Sequence[Order], known: Decimal) -> list[Notice]:
        amount = uncovered(entry, exits)
        if amount <= known:
            return []
        given_up = all(order.link is not None and order.link.after for order in exits)  # by a person
        small = _too_small(amount, self._instrument(entry.instrument))
        text = f"{entry.instrument}: {plain(amount)} that the entry {entry.order_id} was filled has no exit: " + (
            "they were cancelled" if given_up else "less than an order may be" if small else "they were over"
        )
        severity = Severity.WARNING if given_up or small else Severity.EMERGENCY
        return [self._notice(severity, "link.unprotected", text, entry)]


def _fails_now(before: Order | None, order: Order) -> bool:
    return failed_exit(order) and not (before is not None and before.state.terminal)


def _taken_away(before: Order | None, order: Order) -> bool:
    """Whether the venue cancelled a released exit and nobody here asked for that: somebody else may have, so only people act."""
    if before is None or not before.state.may_be_live or before.cancel is not CancelState.NONE:
        return False
    link = order.link
    released = link is not None and bool(link.entry) and not link.after
    return released and order.state is OrderState.CANCELLED and not order.vouched and order.remaining > ZERO


def _too_small(amount: Decimal, instrument: Instrument | None) -> bool:
    return instrument is not None and amount < instrument.min_amount
