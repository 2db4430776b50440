"""What one incarnation of the queue remembers of its orders, and whom it tells of them."""

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pykka

from actors._ledger import Ledger
from actors.messages import (
    FillUpdate,
    Notify,
    OrderUpdate,
    notice_by,
)
from actors.orders.desk import OrdersDesk
from engine.kernel import Actor, Reply
from engine.model import (
    Alarms,
    CancelState,
    GateState,
    Inquiry,
    Instrument,
    Moment,
    Notice,
    Order,
    OrderState,
    ProofRules,
    ReadyQueue,
    Severity,
    client_order_id,
    moments,
    order_id_of,
    split_instrument,
)

MAX_SAID = 1000


if TYPE_CHECKING:
    import loguru


class Memory(Actor):
    """All that is derived from orders follows each change of one, so that nothing ever has to go through all of them."""

    mailbox_capacity = 10_000

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__()
        self._desk = desk
        self._settings = desk.settings
        self._ledger = Ledger(desk.recorder)
        self._gate = GateState.ACTIVE
        self._synced = False
        self._stopping = False
        self._store_full = False
        self._quiesced: Reply[Any] | None = None
        self._orders: dict[str, Order] = {}  # all that are not over, and those whose end is not on disk yet
        self._unsaved: dict[str, int] = {}  # commits under way, by order id
        self._busy: dict[str, str] = {}  # the one request to the venue under way, by order id
        self._ready = ReadyQueue(desk.settings.queue_management.patience_ms)
        self._alarms = Alarms()
        self._counts: Counter[OrderState] = Counter()  # of `_orders`
        self._unfinished: dict[str, None] = {}  # order ids with a cancel or an amend the venue has not settled
        self._unknown: dict[str, set[str]] = {}  # order ids that keep the gate closed, by instrument
        self._inquiries: dict[str, Inquiry] = {}
        self._heard_s: dict[
            str, float
        ] = {}  # of open orders: when one was last heard of or asked for, the longest ago first
        self._not_before_s: dict[str, float] = {}  # earliest next request, by order id
        self._keys: dict[str, str] = {}  # request key → order id of orders that are not over
        self._owners: dict[str, pykka.ActorRef[Any]] = {}
        self._unsaved_fills: set[str] = set()  # keys of fills whose commit is under way
        self._said: dict[str, None] = {}  # what people were told once, the newest last

    def _note(self, order: Order) -> None:
        """All that is derived from orders follows each change, so that nothing has to go through all of them."""
        before = self._orders.get(order.order_id)
        if before is not None:
            self._counts[before.state] -= 1
        self._orders[order.order_id] = order
        self._counts[order.state] += 1
        if unfinished(order):
            self._unfinished[order.order_id] = None
        elif before is not None:
            self._unfinished.pop(order.order_id, None)
        if order.state is OrderState.OPEN:
            self._heard_s.setdefault(order.order_id, self.ctx.clock.monotonic_s())
        elif before is not None:
            self._heard_s.pop(order.order_id, None)
        if not order.state.terminal:
            now_ms, now_s = self._now_ms(), self.ctx.clock.monotonic_s()
            for what, at_ms in moments(order, self._settings.order_lifecycle):
                self._alarms.set(order.order_id, what, at_ms, now_ms=now_ms, now_s=now_s)
        self._mark_gate(order)

    def _heard_of(self, order_id: str) -> None:
        if self._heard_s.pop(order_id, None) is not None:
            self._heard_s[order_id] = self.ctx.clock.monotonic_s()

    def _forget(self, order: Order) -> None:
        order_id = order.order_id
        known = self._orders.pop(order_id, None)
        if known is not None:
            self._counts[known.state] -= 1
        for memory in (self._inquiries, self._heard_s, self._not_before_s, self._owners, self._unfinished):
            memory.pop(order_id, None)
        self._ready.drop(order_id)
        self._alarms.forget(order_id)
        self._keys.pop(order.request_key, None)

    def _mark_gate(self, order: Order) -> None:
        closed = self._unknown.get(order.instrument)
        if order.state is OrderState.UNKNOWN:
            self._unknown.setdefault(order.instrument, set()).add(order.order_id)
        elif closed is not None:
            closed.discard(order.order_id)
            if not closed:
                del self._unknown[order.instrument]
                self._ready.reopen(order.instrument)

    def _find(self, client_id: str) -> Order | None:
        """Our order behind a client id, over or not; None for an order placed elsewhere."""
        order_id = order_id_of(client_id)
        if order_id is None:
            return None
        order = self._orders.get(order_id) or self._stored(order_id)
        return order if order and order.account == self._desk.account else None

    def _stored(self, order_id: str) -> Order | None:
        if order_id_of(client_order_id(order_id, 0)) is None:
            return None  # not of our form, and perhaps not even a key
        order: Order | None = self._desk.store.table("orders").get(order_id)
        return order

    def _current(self, order: Order) -> Order:
        return self._orders.get(order.order_id) or self._stored(order.order_id) or order

    def _inquire(self, order: Order) -> None:
        self._inquiries[order.order_id] = Inquiry(
            self._rules, window_ends_s=self._window_ends_s(order), now_s=self.ctx.clock.monotonic_s()
        )

    @property
    def _rules(self) -> ProofRules:
        return self._settings.proof or self._desk.proof

    def _window_ends_s(self, order: Order) -> float:
        """When the venue stops starting the order's attempt, on our monotonic clock."""
        now_s = self.ctx.clock.monotonic_s()
        venue_ms = self._desk.venue.now_ms(now_s)
        if order.valid_until_ms is None or venue_ms is None:
            return now_s + self._settings.ttl_s
        return now_s + (order.valid_until_ms - venue_ms) / 1000

    def _is_of_this_store(self, order: Order) -> bool:
        """False for what a restored backup brought along: the life after that backup may have sent it."""
        return order.order_id.startswith(f"{self._desk.store.node_part}-")

    def _tell_owner(self, order: Order, message: OrderUpdate | FillUpdate) -> None:
        """The one who submitted it; who works its plan; or the strategy it names.

        An owner that is gone is forgotten: the journal has it all.
        """
        owner = self._owners.get(order.order_id)
        if owner is None:
            owner = self._desk.execution if order.plan else self._desk.owner_of(order.strategy)
        if owner is None:
            return
        try:
            owner.tell(message)
        except pykka.ActorDeadError as error:
            self._log_of(order).warning("its owner is gone: {}", error)
            self._owners.pop(order.order_id, None)

    def _instrument(self, name: str) -> Instrument | None:
        venue, symbol = split_instrument(name, self._desk.venue.name)
        return self._desk.venue.instruments.get(symbol) if venue == self._desk.venue.name else None

    def _mark(self, name: str) -> Decimal | None:
        """A fresh mark price, None when there is none."""
        market = self._desk.venue.markets.get(split_instrument(name, self._desk.venue.name)[1])
        mark_age = market.mark_fresh if market else None
        if market is None or market.ticker.mark is None or mark_age is None:
            return None
        if mark_age.stale(self.ctx.clock.monotonic_s()) or not 0 < market.ticker.mark < float("inf"):
            return None
        return Decimal(repr(market.ticker.mark))

    def _log_of(self, order: Order) -> "loguru.Logger":
        """The actor's log with the order's id bound, so that one order's lines can be found."""
        return self.log.bind(order_id=order.order_id)

    def _past_deadline(self, order: Order) -> bool:
        deadline_s = self._alarms.at_s(order.order_id, Moment.DEADLINE)
        if deadline_s is None:  # it was held, or sent by an earlier incarnation, when it was first seen here
            now_ms, now_s = self._now_ms(), self.ctx.clock.monotonic_s()
            self._alarms.set(order.order_id, Moment.DEADLINE, order.deadline_ms, now_ms=now_ms, now_s=now_s)
            deadline_s = now_s + (order.deadline_ms - now_ms) / 1000
        return self.ctx.clock.monotonic_s() > deadline_s

    def _now_ms(self) -> int:
        return self.ctx.clock.wall_ms()

    def _notify(self, severity: Severity, kind: str, text: str, order: Order | None) -> None:
        self._desk.notifier.tell(Notify(self._notice(severity, kind, text, order)))

    def _notice(self, severity: Severity, kind: str, text: str, order: Order | None) -> Notice:
        return notice_by(self.ctx, severity, kind, text, order_id=order.order_id if order else "")

    def _notify_once(self, topic: str, severity: Severity, kind: str, text: str, order: Order | None) -> None:
        """What a venue repeats with every message, people hear once."""
        if topic not in self._said:
            self._said[topic] = None
            if len(self._said) > MAX_SAID:
                del self._said[next(iter(self._said))]
            self._notify(severity, kind, text, order)


def unfinished(order: Order) -> bool:
    """Whether the venue still has to settle a cancel or an amend of it."""
    return order.cancel is CancelState.REQUESTED or (order.amend is not None and order.amend.unsettled)
