"""The order queue of one account: nothing lost, nothing twice, nothing invented.

The whole protocol rests on two habits. First, every decision is committed before anyone can see its effect: an order is on disk before its
caller hears "accepted", an attempt's client id is on disk before its first byte leaves, a cancel is on disk before it is sent. Second,
silence is never an answer: a request that brought no usable reply makes the order `unknown`, and only the venue's word, or proof that the
order was never placed (`engine.model.inquiry`), makes it anything else.

So this actor may be killed between any two instructions. Its next incarnation reads the store: what was `waiting` is still to be sent, what was
`submitting` may or may not have reached the venue and becomes `unknown`, what was to be cancelled is still to be cancelled. There is no
other recovery path.

Two designs were rejected because a model with real kills and an adversarial venue broke them. Storing the order after the venue's reply
duplicated one order in three. Storing it before, but resending as soon as one query did not find it, duplicated nearly as many: the request
was still on its way.

Memory runs ahead of the disk by at most the commits under way, which is safe because effects wait for them (`actors._ledger`) and because a
failed commit ends the process. Handlers are plain functions; only requests to the venue wait, in the actor's own tasks, at most one per
order. While the fate of an order is unknown nothing new is sent for its instrument: its gate is closed.
"""

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

import msgspec

from actors._ledger import Ledger
from actors.messages import (
    Accepted,
    AmendOrder,
    CancelAll,
    CancelOrder,
    FillUpdate,
    GetOrder,
    GetOrdersStatus,
    Notify,
    OrdersStatus,
    OrderUpdate,
    QuiesceOrders,
    Reconcile,
    SetGate,
    SubmitOrder,
    SyncSoon,
    Unsynced,
    VenueReachable,
    VenueWord,
    ask_venue,
)
from actors.recorder import Record
from engine.kernel import Actor, Message, Overflow, Ref, Reply, on
from engine.model import (
    Amend,
    CancelState,
    DataClass,
    Denial,
    Fill,
    Gate,
    GateState,
    Inquiry,
    Instrument,
    ModelError,
    Notice,
    Order,
    OrderLimits,
    OrderReport,
    OrderRequest,
    OrderState,
    ProofRules,
    Severity,
    VenueState,
    amend_settled,
    amend_unsettled,
    cancelled_never_placed,
    cancelled_unsent,
    check_shape,
    denied,
    deny_order,
    executed,
    new_order,
    order_id_of,
    plain,
    reported,
    split_instrument,
    to_expired,
    to_rejected,
    to_submitting,
    to_unknown,
    to_waiting,
    want_amend,
    want_cancel,
)
from engine.store import Change, Commit, Put, Store
from engine.venues.base import (
    BadReply,
    NotAuthorised,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    VenueError,
)

#: Where a crash drill may kill the process; every one of them is covered by the crash test.
POINTS = (
    "accept.decided",
    "accept.durable",
    "submit.decided",
    "submit.durable",
    "submit.answered",
    "cancel.durable",
    "cancel.answered",
    "amend.durable",
    "amend.answered",
    "fill.decided",
    "fill.durable",
    "answer.durable",
    "inquiry.answered",
    "inquiry.proved",
)

CERTAINLY_NOT_EXECUTED = (NotSent, RateLimited, Unavailable, NotAuthorised)
MAX_SEEN_FILLS = 10_000


class OrdersSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one account's queue behaves. `ttl_s`: the venue must not start an attempt later than this after it was made."""

    limits: OrderLimits = OrderLimits()
    ttl_s: float = 5.0
    request_timeout_s: float = 8.0
    max_in_flight: int = 16
    tick_s: float = 0.25
    retry_s: float = 1.0  # between attempts that were certainly not executed, and between resent cancels
    ask_s: float = 2.0  # between queries for an order whose fate is unknown
    proof: ProofRules | None = None  # None: the venue's own


class OrderNumbers:
    """Order ids of one node: its node part and a number that grows. Shared by all queues of the process."""

    def __init__(self, node_part: str, last_number: int) -> None:
        self._node_part = node_part
        self._last = last_number

    def next_id(self) -> str:
        self._last += 1
        return f"{self._node_part}-{self._last}"


class OrdersDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue works with. It outlives incarnations."""

    account: str
    venue: VenueState
    store: Store
    numbers: OrderNumbers
    settings: OrdersSettings
    proof: ProofRules
    session: Ref
    recorder: Ref
    notifier: Ref
    account_sync: Ref
    owner_of: Callable[[str], Ref | None]  # strategy name → whom to tell
    point: Callable[[str], None] = lambda _label: None


class Tick(Message, frozen=True):
    """Time passed: deadlines, resends and queries may be due."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Orders(Actor):
    """See the module's page. One incarnation's memory: the orders that are not over, and who waits for what."""

    mailbox_capacity = 10_000

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__()
        self._desk = desk
        self._settings = desk.settings
        self._ledger = Ledger(desk.recorder)
        self._gate = GateState.ACTIVE
        self._synced = False
        self._stopping = False
        self._quiesced: Reply[Any] | None = None
        self._orders: dict[str, Order] = {}  # all that are not over, and those whose end is not on disk yet
        self._unsaved: dict[str, int] = {}  # commits under way, by order id
        self._busy: dict[str, str] = {}  # the one request to the venue under way, by order id
        self._queues: dict[str, deque[str]] = {}  # order ids ready to send, by instrument
        self._unknown: dict[str, set[str]] = {}  # order ids that keep the gate closed, by instrument
        self._inquiries: dict[str, Inquiry] = {}
        self._not_before_s: dict[str, float] = {}  # earliest next request, by order id
        self._keys: dict[str, str] = {}  # request key → order id of orders that are not over
        self._owners: dict[str, Ref] = {}
        self._seen_fills: dict[str, None] = {}  # newest fill keys, whether on disk yet or not

    async def on_start(self) -> None:
        """Read what the last incarnation left, after its last commit is on disk."""
        await self._desk.recorder.call(Record(()), timeout_s=30.0)
        self.spawn(self._ledger.run, name="ledger")
        gate: Gate | None = self._desk.store.meta(f"gate:{self._desk.account}", Gate)
        self._gate = gate.state if gate else GateState.ACTIVE
        for order in self._desk.store.live_orders():
            if order.account == self._desk.account:
                self._recover(order)
        self.every(self._settings.tick_s, Tick())

    def _recover(self, order: Order) -> None:
        self._orders[order.order_id] = order
        if order.request_key:
            self._keys[order.request_key] = order.order_id
        self._mark_gate(order)
        if order.state is OrderState.WAITING and order.cancel is CancelState.REQUESTED:
            self._save("order.cancelled", cancelled_unsent(order, now_ms=self._now_ms()))
        elif order.state is OrderState.WAITING:
            self._queue(order)
        elif order.state is OrderState.SUBMITTING:
            lost = to_unknown(order, "the node stopped while it was being sent", now_ms=self._now_ms())
            self._save("order.unknown", lost)
        elif order.amend is not None and not order.amend.unsettled:
            self._save("order.amend_unsettled", amend_unsettled(order, now_ms=self._now_ms()))
        if order.state in (OrderState.SUBMITTING, OrderState.UNKNOWN):
            self._inquire(order)

    # ── accepting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(SubmitOrder)
    def submit(self, message: SubmitOrder) -> Accepted | Denial | None:
        request = message.request
        known = request.request_key and self._known_key(request.request_key)
        if known:
            reply = self.defer_reply()
            self._ledger.after(partial(reply.send, Accepted(known)))
            return None
        instrument = self._instrument(request.instrument)
        refusal = self._stopping_denial() or deny_order(
            request,
            instrument,
            limits=self._settings.limits,
            gate=self._gate,
            waiting=sum(map(len, self._queues.values())),
            live=len(self._orders),
            mark=self._mark(request.instrument),
        )
        if refusal is not None or instrument is None:
            return refusal
        order = new_order(
            msgspec.structs.replace(request, instrument=instrument.instrument_id),
            order_id=self._desk.numbers.next_id(),
            account=self._desk.account,
            now_ms=self._now_ms(),
        )
        if message.owner is not None:
            self._owners[order.order_id] = message.owner
        if order.request_key:
            self._keys[order.request_key] = order.order_id
        self._desk.point("accept.decided")
        self._save("order.accepted", order, partial(self._accepted, order, self.defer_reply()))
        return None

    def _accepted(self, order: Order, reply: Reply[Accepted | Denial]) -> None:
        self._desk.point("accept.durable")
        reply.send(Accepted(order.order_id))
        self._queue(self._orders.get(order.order_id, order))
        self._pump(order.instrument)

    def _known_key(self, key: str) -> str | None:
        if key in self._keys:
            return self._keys[key]
        stored = next(self._desk.store.index("orders_by_request").iterate(prefix=(key,), limit=1), None)
        return stored[-1] if stored else None

    def _stopping_denial(self) -> Denial | None:
        return denied("STOPPING", "node", "a node that is not stopping", "stopping") if self._stopping else None

    # ── releasing and sending ──────────────────────────────────────────────────────────────────────────────────────────

    def _queue(self, order: Order, *, first: bool = False) -> None:
        if order.state is OrderState.WAITING:
            queue = self._queues.setdefault(order.instrument, deque())
            queue.appendleft(order.order_id) if first else queue.append(order.order_id)

    def _pump(self, instrument: str) -> None:
        """Send what may be sent for one instrument, in order."""
        queue = self._queues.get(instrument)
        now_s = self.ctx.clock.monotonic_s()
        while queue and self._may_send(instrument) and self._instrument(instrument) is not None:
            order = self._orders.get(queue[0])
            if order is None or order.state is not OrderState.WAITING:
                queue.popleft()  # it ended while it waited
            elif self._past_deadline(order):
                queue.popleft()
                self._expire(order, "not sent before its deadline")
            elif (
                (self._gate is GateState.REDUCING and not order.reduce_only)
                or self._unsaved.get(order.order_id)
                or self._not_before_s.get(order.order_id, 0.0) > now_s
            ):
                return
            else:
                queue.popleft()
                self._attempt(order)
        if not queue:
            self._queues.pop(instrument, None)

    def _may_send(self, instrument: str) -> bool:
        return (
            self._synced
            and not self._stopping
            and self._gate is not GateState.HALTED
            and instrument not in self._unknown
            and len(self._busy) < self._settings.max_in_flight
        )

    def _attempt(self, order: Order) -> None:
        venue_ms = self._desk.venue.now_ms(self.ctx.clock.monotonic_s())
        if venue_ms is None:  # synced implies that the venue's clock is known
            raise AssertionError(f"{order.order_id}: sending without the venue's time")
        valid_until_ms = venue_ms + int(self._settings.ttl_s * 1000)
        attempt = to_submitting(order, valid_until_ms=valid_until_ms, now_ms=self._now_ms())
        self._busy[order.order_id] = "submit"
        self._desk.point("submit.decided")
        self._save("order.submitting", attempt, partial(self._begin, self._send, attempt))

    def _begin(self, request: Callable[[Order, Instrument], Any], order: Order) -> None:
        """The intent is on disk: run `request`, the order's one request under way."""
        instrument = self._instrument(order.instrument)
        if (
            instrument is None
        ):  # instruments are never forgotten while the process lives; after a restart they may not be loaded yet
            self._busy.pop(order.order_id, None)
            return
        self.spawn(self._occupied, request, order, instrument, name=order.client_order_id)

    async def _occupied(
        self, request: Callable[[Order, Instrument], Any], order: Order, instrument: Instrument
    ) -> None:
        try:
            await request(order, instrument)
        finally:
            self._busy.pop(order.order_id, None)
        self._proceed(order.order_id)
        self._pump(order.instrument)
        self._check_quiet()

    async def _send(self, order: Order, instrument: Instrument) -> None:
        self._desk.point("submit.durable")
        try:
            report, fills = await self._ask("submit", lambda rest: rest.submit(order, instrument))
        except CERTAINLY_NOT_EXECUTED as error:
            self._not_placed(order, error)
        except Refused as error:
            current = self._current(order)
            self._save_if_new("order.rejected", current, to_rejected(current, _words(error), now_ms=self._now_ms()))
        except (OutcomeUnknown, BadReply) as error:
            self._lost(order, error)
        else:
            self._desk.point("submit.answered")
            self._hear(report)
            self._hear_fills(fills)

    def _not_placed(self, order: Order, error: VenueError) -> None:
        current = self._current(order)
        if current.state is not OrderState.SUBMITTING or current.venue_order_id:
            return  # the private stream knows better
        pause_s = error.retry_after_s if isinstance(error, RateLimited) else self._settings.retry_s
        self._not_before_s[order.order_id] = self.ctx.clock.monotonic_s() + pause_s
        waiting = to_waiting(current, _words(error), now_ms=self._now_ms())
        self._save("order.not_placed", waiting, partial(self._requeue, waiting))

    def _requeue(self, order: Order) -> None:
        current = self._current(order)
        if current.cancel is CancelState.REQUESTED and current.state is OrderState.WAITING:
            self._save("order.cancelled", cancelled_unsent(current, now_ms=self._now_ms()))
        else:
            self._queue(current, first=True)
            self._pump(current.instrument)

    def _lost(self, order: Order, error: VenueError) -> None:
        current = self._current(order)
        if current.state is not OrderState.SUBMITTING:
            return
        self._save("order.unknown", to_unknown(current, _words(error), now_ms=self._now_ms()))
        self._inquire(current)
        self._notify(
            Severity.WARNING, "order.unknown", f"{order.instrument}: no answer to {order.side} {order.amount}", order
        )

    def _expire(self, order: Order, why: str) -> None:
        self._save("order.expired", to_expired(order, why, now_ms=self._now_ms()))

    # ── hearing the venue ──────────────────────────────────────────────────────────────────────────────────────────────

    @on(VenueWord)
    def venue_word(self, message: VenueWord) -> None:
        for report in message.reports:
            self._hear(report)
        self._hear_fills(message.fills)

    def _hear(self, report: OrderReport) -> None:
        order = self._find(report.client_order_id)
        if order is None or order.attempt == 0:
            return  # placed elsewhere
        if report.client_order_id != order.client_order_id:
            self._stray(order, report)
            return
        try:
            after = reported(order, report, now_ms=self._now_ms())
        except ModelError as error:
            self._notify(Severity.ERROR, "venue.absurd", f"{report.client_order_id}: {error}", order)
            return
        self._save_if_new(f"order.{after.state}", order, after)

    def _stray(self, order: Order, report: OrderReport) -> None:
        """An attempt we proved absent exists after all: two orders may be live for one. A person must know at once."""
        if report.state is OrderState.OPEN or report.filled_amount > 0:
            text = f"{report.client_order_id} is {report.state} at the venue although it was proved absent; now at {order.client_order_id}"
            self._notify(Severity.EMERGENCY, "order.stray", text, order)

    def _hear_fills(self, fills: Iterable[Fill]) -> None:
        for fill in fills:
            if fill.key not in self._seen_fills and self._desk.store.table("fills").get(fill.key) is None:
                self._take_fill(fill)

    def _take_fill(self, fill: Fill) -> None:
        try:
            fill.check()
        except ModelError as error:
            self._notify(Severity.ERROR, "venue.absurd", f"fill {fill.key}: {error}", None)
            return
        self._seen_fills[fill.key] = None
        if len(self._seen_fills) > MAX_SEEN_FILLS:
            del self._seen_fills[next(iter(self._seen_fills))]
        order = self._find(fill.client_order_id)
        fill = msgspec.structs.replace(fill, order_id=order.order_id if order else "")
        self._desk.point("fill.decided")
        put = Put("fills", fill.key, fill)
        if order is None:
            self._ledger.write(self._commit("fill.external", (put,)), partial(self._told_fill, fill, None))
            return
        after = executed(order, price=fill.price, amount=fill.amount, now_ms=self._now_ms())
        self._save("order.fill", after, extra=(put,), told=partial(self._told_fill, fill, after))

    def _told_fill(self, fill: Fill, order: Order | None, seq: int) -> None:
        self._desk.point("fill.durable")
        owner = self._owner(order) if order else None
        if owner is not None:
            owner.tell(FillUpdate(fill, order, seq))

    @on(Reconcile)
    def reconcile(self, message: Reconcile) -> None:
        """The account's pass: take its word, look for what the venue's list of live orders lacks, send what waits."""
        for report in message.reports:
            self._hear(report)
        self._hear_fills(message.fills)
        live = {report.client_order_id for report in message.reports}
        for order in list(self._orders.values()):
            quiet = order.state is OrderState.OPEN and order.updated_at_ms < message.asked_at_ms
            if quiet and order.client_order_id not in live and order.order_id not in self._inquiries:
                self._inquire(order)
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

    # ── finding out ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _inquire(self, order: Order) -> None:
        now_s = self.ctx.clock.monotonic_s()
        venue_ms = self._desk.venue.now_ms(now_s)
        known = order.valid_until_ms is not None and venue_ms is not None
        left_s = (order.valid_until_ms - venue_ms) / 1000 if known else self._settings.ttl_s  # type: ignore[operator]
        rules = self._settings.proof or self._desk.proof
        self._inquiries[order.order_id] = Inquiry(rules, window_ends_s=now_s + left_s, now_s=now_s)

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
            if inquiry.misses == inquiry.rules.passes:  # once; the search goes on
                self._notify(Severity.EMERGENCY, "order.vanished", "the venue acknowledged it and now denies it", order)
            return
        if not inquiry.rules.may_resubmit:
            if inquiry.misses == inquiry.rules.passes:
                self._notify(Severity.EMERGENCY, "order.review", "not found anywhere; a person must decide", order)
            return
        self._inquiries.pop(order.order_id)
        if order.cancel is CancelState.REQUESTED:
            self._save("order.cancelled", cancelled_never_placed(order, now_ms=now_ms))
        elif self._past_deadline(order):
            self._expire(order, "proved never placed; its deadline has passed")
        else:
            waiting = to_waiting(order, "proved never placed", now_ms=now_ms)
            self._save("order.not_placed", waiting, partial(self._requeue, waiting))

    # ── cancel and amend ───────────────────────────────────────────────────────────────────────────────────────────────

    @on(CancelOrder)
    def cancel(self, message: CancelOrder) -> Accepted | Denial | None:
        order = self._orders.get(message.order_id)
        if order is None or order.state.terminal:
            return self._not_live(message.order_id)
        reply = self.defer_reply()
        self._want_cancel(order)
        self._ledger.after(partial(reply.send, Accepted(order.order_id)))
        return None

    def _want_cancel(self, order: Order) -> None:
        if order.cancel is CancelState.REQUESTED or order.state.terminal:
            return
        if order.state is OrderState.WAITING and not self._unsaved.get(order.order_id):
            self._save("order.cancelled", cancelled_unsent(order, now_ms=self._now_ms()))
        else:
            self._save(
                "order.cancel_wanted", want_cancel(order, now_ms=self._now_ms()), partial(self._cancel_durable, order)
            )

    def _cancel_durable(self, order: Order) -> None:
        self._desk.point("cancel.durable")
        current = self._current(order)
        if current.state is OrderState.WAITING and not self._unsaved.get(order.order_id):
            self._save("order.cancelled", cancelled_unsent(current, now_ms=self._now_ms()))

    async def _cancel_at_venue(self, order: Order, instrument: Instrument) -> None:
        self._not_before_s[order.order_id] = self.ctx.clock.monotonic_s() + self._settings.retry_s
        try:
            report = await self._ask("cancel", lambda rest: rest.cancel(order, instrument))
        except VenueError as error:
            self.log.warning("{}: cancel not confirmed: {}", order.client_order_id, error)
            return  # committed: it is sent again until the venue answers
        self._desk.point("cancel.answered")
        if report is not None:
            self._hear(report)
        elif self._current(order).state is OrderState.OPEN and order.order_id not in self._inquiries:
            self._inquire(order)  # "no such live order" proves nothing: find out what it is

    @on(CancelAll)
    def cancel_all(self, message: CancelAll) -> int | None:
        chosen = [
            order
            for order in self._orders.values()
            if not order.state.terminal
            and message.instrument in ("", order.instrument)
            and message.strategy in ("", order.strategy)
        ]
        for order in chosen:
            self._want_cancel(order)
        reply = self.defer_reply()
        self._ledger.after(partial(reply.send, len(chosen)))
        return None

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
        if order.amend is not None or order.order_id in self._busy:
            return denied("REQUEST_PENDING", "order_id", "no other request under way for this order", order.order_id)
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
            return Denial("BAD_REQUEST", str(error), error.field, error.expected, error.got)
        return deny_order(
            request,
            instrument,
            limits=self._settings.limits,
            gate=GateState.ACTIVE,
            waiting=0,
            live=0,
            mark=self._mark(order.instrument),
        )

    def _amend_durable(self, order: Order, reply: Reply[Accepted | Denial]) -> None:
        self._desk.point("amend.durable")
        reply.send(Accepted(order.order_id))
        self._begin(self._amend_at_venue, order)

    async def _amend_at_venue(self, order: Order, instrument: Instrument) -> None:
        try:
            report, fills = await self._ask("amend", lambda rest: rest.amend(order, instrument))
        except (*CERTAINLY_NOT_EXECUTED, Refused) as error:
            self._notify(Severity.WARNING, "order.amend_refused", _words(error), order)
            current = self._current(order)
            self._save_if_new("order.amend_settled", current, amend_settled(current, now_ms=self._now_ms()))
        except (OutcomeUnknown, BadReply) as error:
            self.log.warning("{}: amend not answered: {}", order.client_order_id, error)
            current = self._current(order)
            self._save_if_new("order.amend_unsettled", current, amend_unsettled(current, now_ms=self._now_ms()))
        else:
            self._desk.point("amend.answered")
            current = self._current(order)
            self._save_if_new("order.amend_settled", current, amend_settled(current, now_ms=self._now_ms()))
            self._hear(report)
            self._hear_fills(fills)

    # ── time ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Tick)
    def tick(self, _message: Tick) -> None:
        self._expire_waiting()
        for order_id in [*self._inquiries, *(o.order_id for o in self._orders.values() if _unfinished(o))]:
            self._proceed(order_id)
        self._pump_all()
        self._check_quiet()

    def _expire_waiting(self) -> None:
        for queue in list(self._queues.values()):
            for order_id in list(queue):
                order = self._orders.get(order_id)
                if (
                    order
                    and order.state is OrderState.WAITING
                    and self._past_deadline(order)
                    and not self._unsaved.get(order_id)
                ):
                    queue.remove(order_id)
                    self._expire(order, "not sent before its deadline")

    def _proceed(self, order_id: str) -> None:
        """Start the request this order needs next, if it needs one and none is under way."""
        order = self._orders.get(order_id)
        if order is None or order.state.terminal:
            self._inquiries.pop(order_id, None)
            return
        if order_id in self._busy or self._unsaved.get(order_id) or len(self._busy) >= self._settings.max_in_flight:
            return
        now_s = self.ctx.clock.monotonic_s()
        inquiry = self._inquiries.get(order_id)
        if order.cancel is CancelState.REQUESTED and order.state.may_be_live and self._due(order_id, now_s):
            self._occupy("cancel", self._cancel_at_venue, order)
        elif inquiry is not None and inquiry.next_ask_s <= now_s:
            self._occupy("find", self._look_for, order)
        elif order.amend is not None and order.amend.unsettled and self._due(order_id, now_s):
            self._not_before_s[order_id] = now_s + self._settings.ask_s
            self._occupy("find", self._look_for, order)

    def _occupy(self, what: str, request: Callable[[Order, Instrument], Any], order: Order) -> None:
        self._busy[order.order_id] = what
        self._begin(request, order)

    def _due(self, order_id: str, now_s: float) -> bool:
        return self._not_before_s.get(order_id, 0.0) <= now_s

    def _pump_all(self) -> None:
        for instrument in list(self._queues):
            self._pump(instrument)

    # ── gate, stop, questions ──────────────────────────────────────────────────────────────────────────────────────────

    @on(SetGate)
    def set_gate(self, message: SetGate) -> None:
        gate = Gate(message.state, message.reason, self._now_ms())
        self._gate = message.state  # effective at once, durable before it is answered
        reply = self.defer_reply()
        put = Put("meta", f"gate:{self._desk.account}", gate)
        self._ledger.write(self._commit(f"gate.{message.state}", (put,)), lambda _seq: reply.send(message.state))
        self._pump_all()

    @on(QuiesceOrders)
    def quiesce(self, message: QuiesceOrders) -> None:
        self._stopping = True
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

    @on(GetOrder)
    def get_order(self, message: GetOrder) -> Order | None:
        return self._orders.get(message.order_id) or self._stored(message.order_id)

    @on(GetOrdersStatus)
    def get_status(self, _message: GetOrdersStatus) -> OrdersStatus:
        states = [order.state for order in self._orders.values()]
        return OrdersStatus(
            account=self._desk.account,
            gate=self._gate,
            synced=self._synced,
            waiting=states.count(OrderState.WAITING),
            submitting=states.count(OrderState.SUBMITTING),
            open=states.count(OrderState.OPEN),
            unknown=states.count(OrderState.UNKNOWN),
            closed_instruments=tuple(sorted(self._unknown)),
        )

    # ── memory and disk ────────────────────────────────────────────────────────────────────────────────────────────────

    def _save_if_new(self, kind: str, before: Order, after: Order) -> None:
        if msgspec.structs.replace(after, updated_at_ms=before.updated_at_ms) != before:
            self._save(kind, after)

    def _save(
        self,
        kind: str,
        order: Order,
        then: Callable[[], None] | None = None,
        *,
        extra: tuple[Change, ...] = (),
        told: Callable[[int], None] | None = None,
    ) -> None:
        """Remember `order`, commit it, and when it is durable tell its owner, run `then`, and start what it needs next."""
        order_id = order.order_id
        self._orders[order_id] = order
        self._mark_gate(order)
        self._unsaved[order_id] = self._unsaved.get(order_id, 0) + 1
        commit = self._commit(kind, (Put("orders", order_id, order), *extra))
        self._ledger.write(commit, partial(self._saved, order, then, told))

    def _saved(
        self, order: Order, then: Callable[[], None] | None, told: Callable[[int], None] | None, seq: int
    ) -> None:
        order_id = order.order_id
        self._unsaved[order_id] -= 1
        if not self._unsaved[order_id]:
            del self._unsaved[order_id]
        if order.state not in (OrderState.WAITING, OrderState.SUBMITTING):
            self._desk.point("answer.durable")
        owner = self._owner(order)
        if owner is not None:
            owner.tell(OrderUpdate(order, seq))
        if told is not None:
            told(seq)
        if then is not None:
            then()
        if self._current(order).state.terminal and order_id not in self._unsaved:
            self._forget(order)
        else:
            self._proceed(order_id)
        self._pump(order.instrument)

    def _forget(self, order: Order) -> None:
        for memory in (self._orders, self._inquiries, self._not_before_s, self._owners):
            memory.pop(order.order_id, None)
        self._keys.pop(order.request_key, None)

    def _mark_gate(self, order: Order) -> None:
        closed = self._unknown.setdefault(order.instrument, set())
        closed.add(order.order_id) if order.state is OrderState.UNKNOWN else closed.discard(order.order_id)
        if not closed:
            del self._unknown[order.instrument]

    def _commit(self, kind: str, changes: tuple[Change, ...]) -> Commit:
        return Commit(kind, changes, actor=self.ctx.path)

    def _find(self, client_order_id: str) -> Order | None:
        """Our order behind a client id, over or not; None for an order placed elsewhere."""
        order_id = order_id_of(client_order_id)
        if order_id is None:
            return None
        order = self._orders.get(order_id) or self._stored(order_id)
        return order if order and order.account == self._desk.account else None

    def _stored(self, order_id: str) -> Order | None:
        order: Order | None = self._desk.store.table("orders").get(order_id)
        return order

    def _current(self, order: Order) -> Order:
        return self._orders.get(order.order_id) or self._stored(order.order_id) or order

    def _owner(self, order: Order) -> Ref | None:
        return self._owners.get(order.order_id) or self._desk.owner_of(order.strategy)

    def _instrument(self, name: str) -> Instrument | None:
        return self._desk.venue.instruments.get(split_instrument(name, self._desk.venue.name)[1])

    def _mark(self, name: str) -> Decimal | None:
        """A fresh mark price, None when there is none."""
        market = self._desk.venue.markets.get(split_instrument(name, self._desk.venue.name)[1])
        ticker_age = market.fresh.get(DataClass.TICKER) if market else None
        if market is None or market.ticker.mark is None or ticker_age is None:
            return None
        return None if ticker_age.stale(self.ctx.clock.monotonic_s()) else Decimal(repr(market.ticker.mark))

    def _not_live(self, order_id: str) -> Denial:
        stored = self._stored(order_id)
        if stored is None:
            return denied("ORDER_NOT_FOUND", "order_id", "an order of this account", order_id)
        return denied("NOT_LIVE", "state", "an order that is not over", stored.state)

    async def _ask(self, what: str, do: Callable[[Any], Any]) -> Any:
        return await ask_venue(
            self._desk.session, what, do, account=self._desk.account, timeout_s=self._settings.request_timeout_s
        )

    def _past_deadline(self, order: Order) -> bool:
        return self._now_ms() > order.deadline_ms

    def _now_ms(self) -> int:
        return self.ctx.clock.wall_ms()

    def _notify(self, severity: Severity, kind: str, text: str, order: Order | None) -> None:
        notice = Notice(
            notice_id=self.ctx.entropy.token(12),
            at_ms=self._now_ms(),
            severity=severity,
            kind=kind,
            text=text,
            actor=self.ctx.path,
            order_id=order.order_id if order else "",
        )
        self._desk.notifier.tell(Notify(notice))


def _unfinished(order: Order) -> bool:
    return order.cancel is CancelState.REQUESTED or (order.amend is not None and order.amend.unsettled)


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


def _words(error: VenueError) -> str:
    return f"{type(error).__name__} {error.code}: {error}" if error.code else f"{type(error).__name__}: {error}"
