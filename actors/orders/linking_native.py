"""Sets that the venue keeps, once they are there: the venue is asked, and people hear when it does not protect what it should.

Nothing is decided here of such a set; each order of it is what the venue says it is. When one is over the venue is asked for
the others, for what it did with one may have changed them. What waits of a set that left without it is the node's to keep.
"""

from collections.abc import Sequence
from decimal import Decimal

from actors.orders.linking import Linking
from engine.model import (
    ZERO,
    ExitPolicy,
    Notice,
    Order,
    OrderState,
    Severity,
    bare,
    closing,
    ended_by_link,
    failed_exit,
    floor_to,
    is_native,
    plain,
    waits_for_entry,
)


class LinkingNative(Linking):
    """As the node's own sets, with the venue's word in place of the rules."""

    def _durable(self, order: Order) -> None:
        super()._durable(order)
        if is_native(order):
            self._native_moved(self._current(order))

    def _recover_links(self) -> None:
        super()._recover_links()
        for order in [order for order in self._orders.values() if is_native(order)]:
            self._native_moved(order)

    def _native_moved(self, order: Order) -> None:
        if order.state.terminal:
            self._look_at_set(order)
        leader = self._leader(order)
        if leader is None or leader.state in (OrderState.WAITING, OrderState.SUBMITTING):
            return
        behind = [one for one in self._members(leader) if one.state is OrderState.WAITING and not waits_for_entry(one)]
        self._keep_here(behind, "its first order is not waiting any more")

    def _entry_moved(self, entry: Order) -> None:
        """Exits that are still here while their entry lives elsewhere, or was filled, are released by the node."""
        gone = entry.state is not OrderState.WAITING and (not entry.state.terminal or entry.filled_amount > ZERO)
        behind = [order for order in self._exits(entry) if waits_for_entry(order) and is_native(order)]
        if gone and behind:
            self._keep_here(behind, "its entry is not waiting any more")
            self._look_again[entry.order_id] = None
        else:
            super()._entry_moved(entry)

    def _want_cancel(self, order: Order, why: str = "") -> None:
        """That somebody wanted one of a native set to end is told from the order ever after."""
        super()._want_cancel(order, why or ("cancelled on request" if is_native(order) else ""))

    # ── alarms ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _alarms_of(self, before: Order | None, order: Order, substitute: Order | None) -> list[Notice]:
        if not is_native(order):
            return super()._alarms_of(before, order, substitute)
        return [*self._bared(before, order, substitute), *self._crossed(before, order)]

    def _bared(self, before: Order | None, order: Order, substitute: Order | None) -> list[Notice]:
        """The venue does not protect any more, or never did, what it was to protect."""
        amount = self._newly_bare(before, order)
        if amount > ZERO:
            doing = f"; {substitute.order_id} closes it at the market" if substitute else ""
            text = f"{order.instrument}: nothing protects {plain(amount)} of the position, and the venue was to do it"
            text = f"{text}: {order.order_id} is {order.state} ({order.reason}){doing}"
            return [self._notice(Severity.EMERGENCY, "link.unprotected", text, order)]
        done = any(one.state is OrderState.FILLED for one in self._rivals(order))
        if before is None or done or not _lost(before, order):
            return []
        what = f"{order.instrument}: the exit {order.side} {plain(order.amount)} ended {order.state} ({order.reason})"
        return [self._notice(Severity.ERROR, "link.exit_failed", what, order)]

    def _substitute(self, before: Order | None, order: Order) -> Order | None:
        """Of an exit that failed, also before its entry was filled."""
        if not is_native(order):
            return super()._substitute(before, order)
        failed = next(filter(failed_exit, self._with(order)), None)
        instrument = self._instrument(order.instrument)
        if self._settings.links.exit_failed is not ExitPolicy.CLOSE or failed is None or instrument is None:
            return None
        amount = floor_to(self._newly_bare(before, order), instrument.lot_size)
        if amount <= ZERO:
            return None
        order_id = self._desk.numbers.next_id()
        return closing(failed, self._rivals(failed), amount, order_id=order_id, now_ms=self._now_ms())

    def _newly_bare(self, before: Order | None, order: Order) -> Decimal:
        """How much a change of one of a set leaves bare that was not before; nothing in a set without an entry."""
        link = order.link
        entry = order if link is None or link.exits else self._known(link.entry) if link.entry else None
        if before is None or entry is None:
            return ZERO
        was = bare(before if entry is order else entry, self._with(before))
        return max(ZERO, bare(entry, self._with(order)) - was)

    def _with(self, order: Order) -> Sequence[Order]:
        """The exits of its set, where it is one of them as it is here."""
        entry = self._known(order.link.entry) if order.link is not None and order.link.entry else order
        exits = self._exits(entry) if entry is not None else []
        return [order if one.order_id == order.order_id else one for one in exits]


def _lost(before: Order, order: Order) -> bool:
    """Whether an exit ended otherwise than by its fills, by somebody's wish, or because another of its set was over."""
    link = order.link
    if link is None or not link.entry or link.after or before.state.terminal or not order.state.terminal:
        return False
    return order.remaining > ZERO and not order.cancel_reason and not ended_by_link(order)
