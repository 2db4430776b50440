"""The queue itself: taking orders, following the account, time, the gate and the stop."""

from functools import partial
from typing import ClassVar

from actors.messages import (
    QuiesceOrders,
    Reconcile,
    SetGate,
    SyncSoon,
    Unsynced,
    VenueReachable,
)
from actors.orders.telling import Telling
from actors.recorder import Observe, Record
from engine.kernel import Message, Overflow, on
from engine.model import (
    CancelState,
    Order,
    OrderState,
    amend_unsettled,
    cancelled_unsent,
    to_unknown,
)


class Tick(Message, frozen=True):
    """Time passed: deadlines, resends and queries may be due."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class LookAgain(Message, frozen=True):
    """Whatever was told or not: see what may leave, and what nothing was heard of."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Orders(Telling):
    """See the package's page. The layers below keep, hear, send, find out and change; this one is asked and told."""

    async def on_start(self) -> None:
        """Read what the last incarnation left, after its last commit is on disk."""
        await self._desk.recorder.call(Record(()), timeout_s=30.0)
        self.spawn(self._ledger.run, name="ledger")
        self._desk.recorder.tell(Observe(self.ctx.self_ref, commits=False))
        self._recover_books()
        self._recover_guard()
        mine = [order for order in self._desk.store.live_orders() if order.account == self._desk.account]
        for order in mine:
            self._recall(order)
        for order in mine:
            self._recover(self._orders[order.order_id])  # what became of an earlier one may have changed it
        self._recover_links()
        self.every(self._settings.tick_s, Tick())
        self.every(self._settings.queue_management.processing_interval_s, LookAgain())
        self._desk.account_sync.tell(SyncSoon("the order queue began anew: what was told before is not known here"))

    def _recover(self, order: Order) -> None:
        if order.request_key:
            self._keys[order.request_key] = order.order_id
        if order.state.terminal:
            return
        if order.state is OrderState.WAITING and order.cancel is CancelState.REQUESTED:
            self._save("order.cancelled", cancelled_unsent(order, now_ms=self._now_ms()))
        elif order.state is OrderState.WAITING and not self._is_of_this_store(order):
            self._expire(order, "it came with a restored backup, and may have been sent since that was made")
        elif order.state is OrderState.WAITING:
            self._wait_again(order)
        elif order.state is OrderState.SUBMITTING:
            lost = to_unknown(order, "the node stopped while it was being sent", now_ms=self._now_ms())
            self._save("order.unknown", lost)
        elif order.amend is not None and not order.amend.unsettled:
            self._save("order.amend_unsettled", amend_unsettled(order, now_ms=self._now_ms()))
        else:
            self._give_up_rest(order)
        if order.state in (OrderState.SUBMITTING, OrderState.UNKNOWN):
            self._inquire(order)

    @on(Reconcile)
    def reconcile(self, message: Reconcile) -> None:
        """The account's pass: take its word, look for what the venue's list of live orders lacks, send what waits."""
        self._compare(message.reports, message.asked_at_ms, message.fills, message.told)
        self._square(message)
        self._synced = self._synced or message.listening
        self._pump_all()
        reply = self.defer_reply()
        self._ledger.after(partial(reply.send, True))

    @on(Unsynced)
    def unsynced(self, message: Unsynced) -> None:
        self._synced = False
        self.log.warning("orders wait: {}", message.reason)

    @on(VenueReachable)
    def venue_reachable(self, _message: VenueReachable) -> None:
        for order_id in list(self._orders):
            self._proceed(order_id)
        self._pump_all()

    @on(Tick)
    def tick(self, _message: Tick) -> None:
        self._ring()
        self._look_at_entries()
        for order_id in [*self._inquiries, *self._unfinished]:
            self._proceed(order_id)
        self._pump()
        self._check_quiet()

    @on(LookAgain)
    def look_again(self, _message: LookAgain) -> None:
        self._monitor()
        self._pump_all()

    def _proceed(self, order_id: str) -> None:
        """Start the request this order needs next, if it needs one and none is under way."""
        order = self._orders.get(order_id)
        if order is None or order.state.terminal:
            self._inquiries.pop(order_id, None)
            return
        if order_id in self._busy or self._unsaved.get(order_id):
            return
        now_s = self.ctx.clock.monotonic_s()
        inquiry = self._inquiries.get(order_id)
        cancelled = order.cancel is CancelState.REQUESTED
        if cancelled and order.state is OrderState.WAITING:
            self._save("order.cancelled", cancelled_unsent(order, now_ms=self._now_ms()))
        elif order.state is OrderState.WAITING:
            self._release(order)
        elif cancelled and self._due(order_id, now_s) and self._has_room("cancel") and self._may_cancel():
            self._occupy("cancel", self._cancel_at_venue, order)
        elif not self._has_room("find"):
            return
        elif inquiry is not None and inquiry.next_ask_s <= now_s:
            self._occupy("find", self._look_for, order)
        elif order.amend is not None and order.amend.unsettled and self._due(order_id, now_s):
            self._not_before_s[order_id] = now_s + self._settings.ask_s
            self._occupy("find", self._look_for, order)

    def _due(self, order_id: str, now_s: float) -> bool:
        return self._not_before_s.get(order_id, 0.0) <= now_s

    @on(SetGate)
    def set_gate(self, message: SetGate) -> None:
        self._move_gate(message.state, message.reason)
        self._ledger.after(partial(self.defer_reply().send, message.state))
        self._pump_all()

    @on(QuiesceOrders)
    def quiesce(self, message: QuiesceOrders) -> None:
        self._stopping = True
        if not self._behind:
            self._record_batch()
        if message.cancel:
            for order in list(self._orders.values()):
                self._want_cancel(order)
        self._quiesced = self.defer_reply()
        self._check_quiet()

    def _check_quiet(self) -> None:
        if self._quiesced is None or self._busy or any(self._unsaved.values()):
            return
        if any(order.cancel is CancelState.REQUESTED for order in self._orders.values()):
            return
        self._quiesced.send(sum(order.state.may_be_live for order in self._orders.values()))
        self._quiesced = None
