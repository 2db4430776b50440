"""Cancelling and amending: stored first, then sent; a cancel until it is answered, an amend once."""

from decimal import Decimal
from functools import partial

from actors.messages import (
    Accepted,
    AmendOrder,
    CancelOrder,
)
from actors.orders.sending import CERTAINLY_NOT_EXECUTED, words
from actors.orders.together import Together
from engine.kernel import Reply, on
from engine.model import (
    Amend,
    CancelState,
    Denial,
    GateState,
    Instrument,
    ModelError,
    Order,
    OrderRequest,
    OrderState,
    Severity,
    amend_settled,
    amend_unsettled,
    bad_request,
    cancelled_unsent,
    check_shape,
    denied,
    is_native,
    plain,
    want_amend,
    want_cancel,
)
from engine.venues.base import (
    BadReply,
    NotAuthorised,
    OutcomeUnknown,
    Refused,
    VenueError,
)


class Changing(Together):
    """A cancel passes every gate.

    An amend carries absolute values, and after a lost answer the order is read before another.
    """

    @on(CancelOrder)
    def cancel(self, message: CancelOrder) -> Accepted | Denial | None:
        order = self._orders.get(message.order_id)
        if order is None or order.state.terminal:
            return self._not_live(message.order_id)
        reply = self.defer_reply()
        self._want_cancel(order, message.reason)
        self._ledger.after(partial(reply.send, Accepted(order.order_id)))
        return None

    def _want_cancel(self, order: Order, why: str = "") -> None:
        if order.cancel is CancelState.REQUESTED or order.state.terminal:
            return
        wanted = want_cancel(order, why, now_ms=self._now_ms())
        if order.state is OrderState.WAITING and not self._unsaved.get(order.order_id):
            self._save("order.cancelled", cancelled_unsent(wanted, now_ms=self._now_ms()))
        else:
            self._save("order.cancel_wanted", wanted, partial(self._desk.point, "cancel.durable"))

    async def _cancel_at_venue(self, order: Order, instrument: Instrument) -> None:
        self._not_before_s[order.order_id] = self.ctx.clock.monotonic_s() + self._settings.retry_s
        try:
            report = await self._ask("cancel", lambda rest: rest.cancel(order, instrument))
        except VenueError as error:
            self._log_of(order).warning("cancel not confirmed: {}", error)
            if isinstance(error, NotAuthorised):
                self._not_before_s[order.order_id] = self._shut_out(error, order)
            return  # committed: it is sent again until the venue answers
        self._desk.point("cancel.answered")
        if report is not None:
            self._hear(report)
        elif self._current(order).state is OrderState.OPEN and order.order_id not in self._inquiries:
            self._inquire(order)  # "no such live order" proves nothing: find out what it is

    @on(AmendOrder)
    def amend(self, message: AmendOrder) -> Accepted | Denial | None:
        order = self._orders.get(message.order_id)
        if order is None or order.state.terminal:
            return self._not_live(message.order_id)
        amend = self._amendment(order, message.amount, message.price)
        if isinstance(amend, Denial):
            return amend
        self._busy[order.order_id] = "amend"
        reply = self.defer_reply()
        wanted = want_amend(order, amend, now_ms=self._now_ms())
        self._save("order.amend_wanted", wanted, partial(self._amend_durable, wanted, reply))
        return None

    def _amendment(self, order: Order, amount: Decimal | None, price: Decimal | None) -> Amend | Denial:
        instrument = self._instrument(order.instrument)
        venue_ms = self._desk.venue.now_ms(self.ctx.clock.monotonic_s())
        if self._stopping or instrument is None or venue_ms is None or not self._synced:
            return denied("NOT_READY", "node", "a synchronised node that is not stopping", "not ready")
        if order.state is not OrderState.OPEN or order.cancel is not CancelState.NONE:
            return denied("NOT_AMENDABLE", "state", "an open order that is not being cancelled", order.state)
        if order.amend is not None or order.order_id in self._busy or not order.venue_order_id:
            return denied("REQUEST_PENDING", "order_id", "no other request under way for this order", order.order_id)
        if amount is not None and order.link is not None and order.link.native and order.link.exits:
            wanted = "none for an entry whose exits the venue keeps: they would stay as large as they are"
            return denied("NOT_AMENDABLE", "amount", wanted, plain(amount))
        if amount is None and price is None:
            return denied("BAD_REQUEST", "amount", "a new amount or a new price", "neither")
        amend = Amend(
            amount=amount if amount is not None else order.amount,
            price=price if price is not None else order.price,
            valid_until_ms=venue_ms + int(self._settings.ttl_s * 1000),
        )
        grows = amend.amount > order.amount
        if self._gate is GateState.HALTED or (self._gate is GateState.REDUCING and grows and not order.reduce_only):
            return denied(f"GATE_{self._gate.upper()}", "gate", "an amend that the gate allows", plain(amend.amount))
        return self._check_amend(order, amend, instrument) or amend

    def _check_amend(self, order: Order, amend: Amend, instrument: Instrument) -> Denial | None:
        if amend.amount <= order.filled_amount:
            return denied(
                "BAD_REQUEST", "amount", f"more than the filled {plain(order.filled_amount)}", plain(amend.amount)
            )
        request = _as_request(order, amend)
        try:
            request.check()
            check_shape(request, instrument)
        except ModelError as error:
            return bad_request(error)
        return self._deny_amend(order, request, instrument)

    def _amend_durable(self, order: Order, reply: Reply[Accepted | Denial]) -> None:
        self._desk.point("amend.durable")
        reply.send(Accepted(order.order_id))
        self._begin(self._amend_at_venue, order)

    async def _amend_at_venue(self, order: Order, instrument: Instrument) -> None:
        try:
            report, fills = await self._ask("amend", lambda rest: rest.amend(order, instrument))
        except (*CERTAINLY_NOT_EXECUTED, Refused) as error:
            self._notify(Severity.WARNING, "order.amend_refused", words(error), order)
            current = self._current(order)
            self._save_if_new("order.amend_settled", current, amend_settled(current, now_ms=self._now_ms()))
        except (OutcomeUnknown, BadReply) as error:
            self._log_of(order).warning("amend not answered: {}", error)
            current = self._current(order)
            self._save_if_new("order.amend_unsettled", current, amend_unsettled(current, now_ms=self._now_ms()))
        else:
            self._desk.point("amend.answered")
            settle = amend_settled if report.client_order_id == order.client_order_id else amend_unsettled
            current = self._current(order)
            self._save_if_new(f"order.{settle.__name__}", current, settle(current, now_ms=self._now_ms()))
            self._hear(report)
            self._hear_fills(fills)
            if is_native(order):
                self._look_at_set(order)

    def _not_live(self, order_id: str) -> Denial:
        stored = self._stored(order_id)
        if stored is None:
            return denied("ORDER_NOT_FOUND", "order_id", "an order of this account", order_id)
        return denied("NOT_LIVE", "state", "an order that is not over", stored.state)


def _as_request(order: Order, amend: Amend) -> OrderRequest:
    """The amended order as if it were asked for now, to be checked like one."""
    return OrderRequest(
        instrument=order.instrument,
        side=order.side,
        amount=amend.amount,
        order_type=order.order_type,
        price=amend.price,
        trigger_price=order.trigger_price,
        trigger_by=order.trigger_by,
        time_in_force=order.time_in_force,
        post_only=order.post_only,
        reduce_only=order.reduce_only,
    )
