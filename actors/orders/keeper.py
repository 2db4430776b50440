"""What the queue remembers, and how a decision gets to disk before anyone sees it."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pykka

from actors._ledger import Ledger
from actors.messages import (
    FillUpdate,
    Notify,
    OrderUpdate,
    ask_venue,
)
from actors.orders.desk import OrdersDesk
from engine.kernel import Actor, Reply
from engine.model import (
    Alarms,
    CancelState,
    Denial,
    Fill,
    GateState,
    Inquiry,
    Instrument,
    Moment,
    Notice,
    Order,
    OrderRequest,
    OrderState,
    ProofRules,
    ReadyQueue,
    Severity,
    client_order_id,
    moments,
    order_id_of,
    split_instrument,
)
from engine.store import Change, Commit, Put

MAX_SAID = 1000


if TYPE_CHECKING:
    import loguru


class Keeper(Actor):
    """Memory and disk of one incarnation. The layers above decide; every decision goes through `_save`."""

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
        """Remember `order`, commit it, and when it is durable tell its owner, run `then`, and start what it
        needs next.
        """
        self._remember(order)
        commit = self._commit(kind, (Put("orders", order.order_id, order), *extra))
        self._ledger.write(commit, partial(self._saved, order, then, told))

    def _save_all(
        self,
        kind: str,
        orders: Sequence[Order],
        then: Callable[[], None] | None = None,
        *,
        extra: tuple[Change, ...] = (),
    ) -> None:
        """As `_save`, for orders that change together: one commit has all of them or none."""
        for order in orders:
            self._remember(order)
        puts = (Put("orders", order.order_id, order) for order in orders)
        self._ledger.write(self._commit(kind, (*puts, *extra)), partial(self._saved_all, tuple(orders), then))

    def _put_up(self, order: Order, kind: str, text: str) -> None:
        """Save an order that is up for review, with what people must hear of it: one is not on disk without the other."""
        notice = self._notice(Severity.EMERGENCY, kind, text, order)

        def told() -> None:
            self._desk.point("review.durable")
            self._desk.notifier.tell(Notify(notice))

        self._save("order.review", order, told, extra=(Put("notices", notice.notice_id, notice),))

    def _saved_all(self, orders: tuple[Order, ...], then: Callable[[], None] | None, seq: int) -> None:
        for order in orders:
            self._saved(order, None, None, seq)
        if then is not None:
            then()

    def _saved(
        self, order: Order, then: Callable[[], None] | None, told: Callable[[int], None] | None, seq: int
    ) -> None:
        order_id = order.order_id
        self._unsaved[order_id] -= 1
        if not self._unsaved[order_id]:
            del self._unsaved[order_id]
        if order.state not in (OrderState.WAITING, OrderState.SUBMITTING):
            self._desk.point("answer.durable")
        self._tell_owner(order, OrderUpdate(order, seq))
        if told is not None:
            told(seq)
        if then is not None:
            then()
        self._durable(order)
        if self._current(order).state.terminal and order_id not in self._unsaved:
            self._forget(order)
        else:
            self._proceed(order_id)
        self._pump()

    def _remember(self, order: Order) -> None:
        """A decision: `order` is what is known of it from here on. Its commit follows."""
        before = self._orders.get(order.order_id) or (self._stored(order.order_id) if order.attempt else None)
        self._follow(before, order)
        self._desk.figures.follow(self._orders.get(order.order_id), order)
        self._note(order)
        self._unsaved[order.order_id] = self._unsaved.get(order.order_id, 0) + 1

    def _recall(self, order: Order) -> None:
        """What an earlier incarnation left."""
        self._follow(None, order)
        self._note(order)

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

    def _commit(self, kind: str, changes: tuple[Change, ...]) -> Commit:
        return Commit(kind, changes, actor=self.ctx.path)

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

    async def _ask(self, what: str, do: Callable[[Any], Any]) -> Any:
        return await ask_venue(
            self._desk.session,
            what,
            do,
            account=self._desk.account,
            timeout_s=self._settings.request_timeout_s,
            urgent=what != "find",
        )

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
        return Notice(
            notice_id=self.ctx.entropy.token(12),
            at_ms=self._now_ms(),
            severity=severity,
            kind=kind,
            text=text,
            actor=self.ctx.path,
            order_id=order.order_id if order else "",
        )

    def _notify_once(self, topic: str, severity: Severity, kind: str, text: str, order: Order | None) -> None:
        """What a venue repeats with every message, people hear once."""
        if topic not in self._said:
            self._said[topic] = None
            if len(self._said) > MAX_SAID:
                del self._said[next(iter(self._said))]
            self._notify(severity, kind, text, order)

    # ── what the layers above do with it ──────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _proceed(self, order_id: str) -> None:
        """Start the request this order needs next, if it needs one and none is under way."""

    @abstractmethod
    def _durable(self, order: Order) -> None:
        """`order` is on disk as it is now: see what that means for others."""

    @abstractmethod
    def _follow(self, before: Order | None, after: Order) -> None:
        """What is resting and held changes with every order's change. No `before`: it is followed from here on."""

    @abstractmethod
    def _filled_elsewhere(self, fill: Fill) -> None:
        """An execution that belongs to no order's present attempt."""

    @abstractmethod
    def _may_leave(self, order: Order) -> Denial | None:
        """The limits' last word before an attempt. What is in `PASSING` passes with time: it waits."""

    @abstractmethod
    def _deny_amend(self, order: Order, amended: OrderRequest, instrument: Instrument) -> Denial | None:
        """The first reason of the limits not to make `order` what `amended` describes."""

    @abstractmethod
    def _may_cancel(self) -> bool:
        """Whether the rate allows one more cancel now; asking takes it. If not, it waits: a cancel is never refused."""

    @abstractmethod
    def _pump(self) -> None:
        """Send what may be sent, in order."""

    @abstractmethod
    def _check_quiet(self) -> None:
        """Nothing may be in flight any more: whoever waits for that may have to be told."""


def unfinished(order: Order) -> bool:
    """Whether the venue still has to settle a cancel or an amend of it."""
    return order.cancel is CancelState.REQUESTED or (order.amend is not None and order.amend.unsettled)
