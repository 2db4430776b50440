"""What the execution remembers of its plans, and how a decision gets to disk before anything comes of it."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pykka

from actors._ledger import Ledger
from actors.execution.desk import ExecutionDesk
from actors.messages import FillUpdate, Notify, OrderUpdate, PlanUpdate, notice_by
from engine.kernel import Actor, Message
from engine.model import (
    DataClass,
    Instrument,
    Order,
    Plan,
    PlanState,
    Quote,
    Severity,
    Worked,
    child_key,
    part_of,
    split_instrument,
    together,
)
from engine.store import Commit, Put


class Keeping(Actor):
    """Memory and disk of one incarnation. The layers above decide."""

    mailbox_capacity = 10_000

    def __init__(self, desk: ExecutionDesk) -> None:
        super().__init__()
        self._desk = desk
        self._settings = desk.settings
        self._ledger = Ledger(desk.recorder)
        self._plans: dict[str, Plan] = {}  # at work, and those whose end is not on disk yet
        self._parts: dict[str, dict[str, Worked]] = {}  # what their orders filled, by plan and order id
        self._sums: dict[str, Worked] = {}  # the same of a whole plan, as long as nothing changes
        self._busy: set[str] = set()  # plans with a commit or a request under way
        self._unresolved: set[str] = set()  # plans whose newest child may have been taken, or not
        self._waits: dict[str, str] = {}  # what each waits for
        self._pauses: dict[str, tuple[float, float]] = {}  # no look before, and how long the pause was
        self._keys: dict[str, str] = {}  # request key → plan id, of plans at work
        self._owners: dict[str, pykka.ActorRef[Any]] = {}
        self._store_full = False
        self._began = (self.ctx.clock.wall_ms(), self.ctx.clock.monotonic_s())

    def _now_ms(self) -> int:
        """Wall time as it was when this incarnation began, and what passed since: a clock that is put forward or back in between
        must neither hurry plans nor hold them up."""
        wall_ms, began_s = self._began
        return wall_ms + round((self.ctx.clock.monotonic_s() - began_s) * 1000)

    def _save(self, kind: str, plan: Plan, then: Callable[[], None]) -> None:
        """Remember the plan, commit it, and when that is durable tell its owner and run `then`."""
        plan = self._plans[plan.plan_id] = msgspec.structs.replace(plan, updated_at_ms=self._now_ms())
        self._desk.point("plan.decided")
        commit = Commit(kind, (Put("plans", plan.plan_id, plan),), actor=self.ctx.path)
        self._ledger.write(commit, partial(self._saved, plan, then))

    def _saved(self, plan: Plan, then: Callable[[], None], seq: int) -> None:
        self._desk.point("plan.durable")
        owner = self._owners.get(plan.plan_id) or self._desk.owner_of(plan.request.order.strategy)
        self._tell(owner, PlanUpdate(plan, seq))
        then()

    def _note(self, order: Order) -> None:
        """What an order of a plan has filled, as it is on disk."""
        self._parts.setdefault(order.plan, {})[order.order_id] = part_of(order)
        self._sums.pop(order.plan, None)

    def _worked(self, plan_id: str) -> Worked:
        """Of all orders of the plan together."""
        if plan_id not in self._sums:
            self._sums[plan_id] = together(self._parts.get(plan_id, {}).values())
        return self._sums[plan_id]

    def _children(self, plan: Plan) -> Iterator[Order]:
        """Every order the plan ever had, as stored: found by their keys."""
        index = self._desk.store.index("orders_by_request")
        for number in range(1, plan.children + 1):
            for _, order_id in index.iterate((child_key(plan.plan_id, number),)):
                order = self._desk.store.order(order_id)
                if order is not None and order.account == plan.account:
                    yield order

    def _forget(self, plan: Plan) -> None:
        for memory in (self._plans, self._parts, self._sums, self._waits, self._pauses, self._owners):
            memory.pop(plan.plan_id, None)
        self._keys.pop(plan.request_key, None)
        self._unresolved.discard(plan.plan_id)

    # ── the market ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _quote(self, instrument: str) -> tuple[Quote | None, str]:
        """Best prices of a fresh book; without one, why there is none."""
        market = self._desk.market(instrument)
        if market is None:
            return None, f"prices: nobody follows {instrument}"
        fresh, book = market.fresh.get(DataClass.BOOK), market.book
        if fresh is None or fresh.stale(self.ctx.clock.monotonic_s()):
            return None, f"fresh prices: the book of {instrument} is stale"
        bid, ask = book.best_bid(), book.best_ask()
        if bid is None or ask is None or not 0 < bid[0] < ask[0] < float("inf"):
            return None, f"prices: the book of {instrument} is empty or incomplete"
        return Quote(Decimal(repr(bid[0])), Decimal(repr(ask[0]))), ""

    def _instrument(self, name: str) -> Instrument | None:
        """With the fees of the settings where they say some."""
        venue, symbol = split_instrument(name, self._desk.venue.name)
        found = self._desk.venue.instruments.get(symbol) if venue == self._desk.venue.name else None
        if found is None or (self._settings.maker_fee is None and self._settings.taker_fee is None):
            return found
        maker, taker = self._settings.maker_fee, self._settings.taker_fee
        return msgspec.structs.replace(
            found,
            maker_fee=found.maker_fee if maker is None else maker,
            taker_fee=found.taker_fee if taker is None else taker,
        )

    # ── telling ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell_of(self, order: Order, message: OrderUpdate | FillUpdate) -> None:
        """Whoever asked for the plan, or the strategy it names, hears of its orders as of any other."""
        self._tell(self._owners.get(order.plan) or self._desk.owner_of(order.strategy), message)

    def _tell(self, owner: pykka.ActorRef[Any] | None, message: Message) -> None:
        if owner is None:
            return
        try:
            owner.tell(message)
        except pykka.ActorDeadError as error:
            self.log.warning("the owner of a plan is gone: {}", error)

    def _notify(self, severity: Severity, kind: str, text: str) -> None:
        self._desk.notifier.tell(Notify(notice_by(self.ctx, severity, kind, text)))

    def _tell_end(self, plan: Plan) -> None:
        """Of a plan that did not do all it was asked for, and that nobody ended."""
        if plan.state in (PlanState.FAILED, PlanState.EXPIRED):
            order = plan.request.order
            text = f"{order.instrument}: {plan.worked.amount} of {order.side} {order.amount} done: {plan.reason}"
            severity = Severity.ERROR if plan.state is PlanState.FAILED else Severity.WARNING
            self._notify(severity, f"plan.{plan.state}", f"{plan.plan_id}: {text}")

    # ── what the layers above do with it ──────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _look(self, plan_id: str) -> None:
        """See what the plan has to do next."""
