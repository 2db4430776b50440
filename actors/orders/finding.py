"""Finding out what became of an order that nobody answered for."""

from actors.messages import (
    SyncSoon,
)
from actors.orders.sending import KNOCK, Sending
from engine.model import (
    Amend,
    CancelState,
    Inquiry,
    Instrument,
    Order,
    OrderReport,
    OrderState,
    amend_settled,
    cancelled_never_placed,
    to_unknown,
    to_waiting,
    up_for_review,
)
from engine.venues.base import (
    NotAuthorised,
    VenueError,
)


class Finding(Sending):
    """Ask until it is found, or until its absence is proved; an unanswered question changes nothing."""

    async def _look_for(self, order: Order, instrument: Instrument) -> None:
        asked_s = self.ctx.clock.monotonic_s()
        inquiry = self._inquiries.get(order.order_id)
        if inquiry is not None:  # the venue's clock may be known better now than when the search began
            inquiry.window_ends_s = max(inquiry.window_ends_s, self._window_ends_s(order))
        pause_s = self._settings.ask_s
        try:
            search = await self._ask("find", lambda rest: rest.find_order(order, instrument))
        except VenueError as error:
            self._log_of(order).info("still not known: {}", error)
            search = None
            if isinstance(error, NotAuthorised) and inquiry is not None:
                pause_s = KNOCK.delay_s(inquiry.asked + 1, self.ctx.entropy)
        self._desk.point("inquiry.answered")
        if inquiry is not None:
            inquiry.plan(now_s=self.ctx.clock.monotonic_s(), pause_s=pause_s)
        if search is None:
            return
        if search.report is not None:
            self._found(order, search.report, asked_s)
        elif inquiry is not None:
            inquiry.missed(asked_s)
            self._missed(order, inquiry)
        else:  # read again after an amend, and not there
            self._inquire(order)

    def _found(self, order: Order, report: OrderReport, asked_s: float) -> None:
        self._hear(report)
        current = self._current(order)
        if current.state is not OrderState.UNKNOWN:  # else the answer was stale or absurd, and is no end of the search
            self._inquiries.pop(order.order_id, None)
        if current.amend is not None and current.amend.unsettled and self._settles(report, current.amend, asked_s):
            self._save("order.amend_settled", amend_settled(current, now_ms=self._now_ms()))
        if current.executed_amount < current.filled_amount:
            self._desk.account_sync.tell(SyncSoon(f"{order.order_id}: fills are missing"))

    def _settles(self, report: OrderReport, amend: Amend, asked_s: float) -> bool:
        """Whether the answer shows the amend at work, or was asked for when it could not come into effect any more."""
        if report.amount == amend.amount and amend.price in (None, report.price):
            return True
        asked_ms = self._desk.venue.now_ms(asked_s)
        return asked_ms is not None and asked_ms >= amend.valid_until_ms + int(self._rules.margin_s * 1000)

    def _missed(self, order: Order, inquiry: Inquiry) -> None:
        current = self._current(order)
        if current.state is OrderState.OPEN and current == order:  # else there was word of it meanwhile: ask again
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
            self._needs_a_person(order, "order.vanished", "the venue acknowledged it and now denies it")
            return
        by_itself = inquiry.rules.may_resubmit and self._is_of_this_store(order)
        if order.cancel is CancelState.REQUESTED:
            self._inquiries.pop(order.order_id)
            self._save("order.cancelled", cancelled_never_placed(order, now_ms=now_ms))
        elif not by_itself:
            self._needs_a_person(order, "order.review", "not found anywhere; cancel it, or resolve it")
        elif self._past_deadline(order):
            self._inquiries.pop(order.order_id)
            self._expire(order, "proved never placed; its deadline has passed")
        else:
            self._inquiries.pop(order.order_id)
            self._save("order.not_placed", to_waiting(order, "proved never placed", now_ms=now_ms))

    def _needs_a_person(self, order: Order, kind: str, text: str) -> None:
        """Say so once; the search goes on."""
        if not order.review:
            self._put_up(up_for_review(order, text, now_ms=self._now_ms()), kind, f"{order.instrument}: {text}")
