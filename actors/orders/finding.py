"""Finding out what became of an order that nobody answered for."""

from functools import partial

from actors.messages import (
    SyncSoon,
)
from actors.orders.sending import Sending
from engine.model import (
    CancelState,
    Inquiry,
    Instrument,
    Order,
    OrderReport,
    OrderState,
    Severity,
    amend_settled,
    cancelled_never_placed,
    to_unknown,
    to_waiting,
)
from engine.venues.base import (
    VenueError,
)


class Finding(Sending):
    """Ask until it is found, or until its absence is proved; an unanswered question changes nothing."""

    async def _look_for(self, order: Order, instrument: Instrument) -> None:
        asked_s = self.ctx.clock.monotonic_s()
        inquiry = self._inquiries.get(order.order_id)
        try:
            search = await self._ask("find", lambda rest: rest.find_order(order, instrument))
        except VenueError as error:
            self.log.info("{}: still not known: {}", order.client_order_id, error)
            search = None
        self._desk.point("inquiry.answered")
        if inquiry is not None:
            inquiry.plan(now_s=self.ctx.clock.monotonic_s(), pause_s=self._settings.ask_s)
        if search is None:
            return
        if search.report is not None:
            self._found(order, search.report)
        elif inquiry is not None:
            inquiry.missed(asked_s)
            self._missed(order, inquiry)
        else:  # read again after an amend, and not there
            self._inquire(order)

    def _found(self, order: Order, report: OrderReport) -> None:
        self._inquiries.pop(order.order_id, None)
        current = self._current(order)
        if current.amend is not None and current.amend.unsettled:
            self._save("order.amend_settled", amend_settled(current, now_ms=self._now_ms()))
        self._hear(report)
        after = self._current(order)
        if after.executed_amount < after.filled_amount:
            self._desk.account_sync.tell(SyncSoon(f"{order.order_id}: fills are missing"))

    def _missed(self, order: Order, inquiry: Inquiry) -> None:
        current = self._current(order)
        if current.state is OrderState.OPEN:
            lost = to_unknown(current, "open here, but no source of the venue knows it", now_ms=self._now_ms())
            self._save("order.unknown", lost)
        elif current.state is OrderState.UNKNOWN and inquiry.proved:
            self._desk.point("inquiry.proved")
            self._proved_absent(current, inquiry)
        elif current.state.terminal:
            self._inquiries.pop(order.order_id, None)

    def _proved_absent(self, order: Order, inquiry: Inquiry) -> None:
        now_ms = self._now_ms()
        if order.venue_order_id or order.filled_amount > 0:
            if inquiry.rules.forgets:
                self._inquiries.pop(order.order_id)
                self._expire(order, "the venue was started anew and does not know it any more")
                return
            self._needs_a_person(order, inquiry, "order.vanished", "the venue acknowledged it and now denies it")
            return
        if not inquiry.rules.may_resubmit:
            self._needs_a_person(order, inquiry, "order.review", "not found anywhere; a person must decide")
            return
        self._inquiries.pop(order.order_id)
        if order.cancel is CancelState.REQUESTED:
            self._save("order.cancelled", cancelled_never_placed(order, now_ms=now_ms))
        elif self._past_deadline(order):
            self._expire(order, "proved never placed; its deadline has passed")
        else:
            waiting = to_waiting(order, "proved never placed", now_ms=now_ms)
            self._save("order.not_placed", waiting, partial(self._requeue, waiting))

    def _needs_a_person(self, order: Order, inquiry: Inquiry, kind: str, text: str) -> None:
        """Say so once; the search goes on."""
        if not inquiry.reported:
            inquiry.reported = True
            self._notify(Severity.EMERGENCY, kind, text, order)
