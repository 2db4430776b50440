"""The actor that executes plans: it is asked and told; the layers below keep and work them."""

from functools import partial
from typing import ClassVar

import msgspec

from actors.execution.learning import ENDED, Learning
from actors.messages import (
    Accepted,
    CancelPlan,
    CancelPlans,
    Execute,
    FillUpdate,
    GetPlan,
    GetPlans,
    OrderUpdate,
    Planned,
    PlanStatus,
    SubmitOrder,
    ask_queue,
)
from actors.recorder import Observe, Record, StoreUsage
from engine.kernel import CallFailed, CallTimeout, Message, Overflow, Reply, Unanswered, on
from engine.model import (
    Denial,
    ExecutionStyle,
    Instrument,
    ModelError,
    Plan,
    PlanState,
    bad_request,
    check_account,
    check_shape,
    denied,
    ended,
    new_plan,
    part_of,
    together,
)

MAX_LISTED = 1000


class Tick(Message, frozen=True):
    """Time passed: steps may be due."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Execution(Learning):
    """See the package's page."""

    async def on_start(self) -> None:
        """Read what the last incarnation left, after its last commit is on disk."""
        await self._desk.recorder.call(Record(()), timeout_s=30.0)
        self.spawn(self._ledger.run, name="ledger")
        await self._begin_learning()
        for plan in list(self._desk.store.plans_in([PlanState.WORKING])):
            if plan.account == self._desk.account:
                self._recover(plan)
        self._desk.recorder.tell(Observe(self.ctx.self_ref, commits=False))
        self.every(self._settings.tick_s, Tick())

    def _recover(self, plan: Plan) -> None:
        if not plan.plan_id.startswith(f"{self._desk.store.node_part}-"):
            plan = ended(
                plan, PlanState.FAILED, "it came with a restored backup, and was worked on since that was made"
            )
        self._plans[plan.plan_id] = plan
        if plan.request_key:
            self._keys[plan.request_key] = plan.plan_id
        for order in self._children(plan):
            self._note(order)
        if plan.child is not None and not plan.child.order_id:
            self._unresolved.add(plan.plan_id)

    # ── asked ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Execute)
    def execute(self, message: Execute) -> Planned | Accepted | Denial | None:
        request = message.request
        if request.style is ExecutionStyle.IMMEDIATE:
            self.spawn(self._immediately, SubmitOrder(request.order, message.owner), self.defer_reply())
            return None
        try:
            request.check()
            check_account(request.order.account, self._desk.account)
        except ModelError as error:
            return bad_request(error)
        known = request.order.request_key and self._known_key(request.order.request_key)
        if known:
            reply = self.defer_reply()
            self._ledger.after(partial(reply.send, Planned(known)))
            return None
        if len(self._plans) >= self._settings.max_plans:
            return denied("TOO_MANY_PLANS", "plans", f"fewer than {self._settings.max_plans}", str(len(self._plans)))
        if self._store_full and not request.order.reduce_only:
            return denied("STORE_FULL", "store", "room in the store; only what reduces a position passes", "none")
        instrument = self._instrument(request.order.instrument)
        if instrument is None:
            return denied("INSTRUMENT_UNKNOWN", "instrument", "one the venue lists", request.order.instrument)
        return self._plan(message, instrument)

    def _plan(self, message: Execute, instrument: Instrument) -> Denial | None:
        whole = msgspec.structs.replace(
            message.request.order, instrument=instrument.instrument_id, account=self._desk.account
        )
        request = msgspec.structs.replace(message.request, order=whole)
        try:
            check_shape(whole, instrument)
            plan = new_plan(
                request,
                plan_id=f"{self._desk.store.node_part}-plan-{self.ctx.entropy.token(10)}",
                account=self._desk.account,
                now_ms=self._now_ms(),
                pace=self._pace(request, instrument),
                instrument=instrument,
                max_life_s=self._settings.max_life_s,
            )
        except ModelError as error:
            return bad_request(error)
        if message.owner is not None:
            self._owners[plan.plan_id] = message.owner
        if plan.request_key:
            self._keys[plan.request_key] = plan.plan_id
        self._busy.add(plan.plan_id)
        self._save("plan.accepted", plan, partial(self._accepted, plan, self.defer_reply()))
        return None

    def _accepted(self, plan: Plan, reply: Reply[Planned | Denial]) -> None:
        reply.send(Planned(plan.plan_id))
        self._free(plan.plan_id)

    async def _immediately(self, submit: SubmitOrder, reply: Reply[Accepted | Denial]) -> None:
        """The answer of the order queue, whatever it is."""
        try:
            reply.send(await ask_queue(self._desk.orders, submit, timeout_s=self._settings.call_timeout_s))
        except (Unanswered, CallTimeout, CallFailed) as error:
            reply.fail(error)

    def _known_key(self, key: str) -> str | None:
        """The plan of this account that was asked for with `key`."""
        if key in self._keys:
            return self._keys[key]
        for _, plan_id in self._desk.store.index("plans_by_request").iterate((key,)):
            plan = self._desk.store.plan(plan_id)
            if plan is not None and plan.account == self._desk.account:
                return plan.plan_id
        return None

    @on(CancelPlan)
    def cancel_plan(self, message: CancelPlan) -> Planned | Denial | None:
        plan = self._plans.get(message.plan_id)
        if plan is None:
            stored = self._desk.store.table("plans").get(message.plan_id) if message.plan_id else None
            if stored is None or stored.account != self._desk.account:
                return denied("PLAN_NOT_FOUND", "plan_id", "a plan of this account", message.plan_id)
            return denied("NOT_LIVE", "state", "a plan that is not over", stored.state)
        reply = self.defer_reply()
        self._cancel(plan, message.reason or "cancelled", partial(reply.send, Planned(plan.plan_id)))
        return None

    def _cancel(self, plan: Plan, reason: str, then: partial[None] | None = None) -> None:
        if plan.ends_as is None and not plan.state.terminal:
            plan = ended(plan, PlanState.CANCELLED, reason)
            self._pauses.pop(plan.plan_id, None)
            self._save("plan.cancel_wanted", plan, partial(self._look, plan.plan_id))
        if then is not None:
            self._ledger.after(then)

    @on(CancelPlans)
    def cancel_plans(self, message: CancelPlans) -> None:
        for plan in list(self._plans.values()):
            order = plan.request.order
            if message.instrument in ("", order.instrument) and message.strategy in ("", order.strategy):
                self._cancel(plan, message.reason or "everything was cancelled")

    @on(GetPlan)
    def get_plan(self, message: GetPlan) -> PlanStatus | None:
        plan = self._plans.get(message.plan_id)
        if plan is None:
            plan = self._desk.store.plan(message.plan_id) if message.plan_id else None
        return self._status(plan) if plan is not None and plan.account == self._desk.account else None

    @on(GetPlans)
    def get_plans(self, message: GetPlans) -> tuple[PlanStatus, ...]:
        limit = max(0, min(message.limit, MAX_LISTED))
        plans = list(self._plans.values())[:limit]
        if message.ended:
            over = self._desk.store.plans_in(ENDED, reverse=True, limit=limit)
            plans += [plan for plan in over if plan.account == self._desk.account and plan.plan_id not in self._plans]
        return tuple(map(self._status, plans))

    def _status(self, plan: Plan) -> PlanStatus:
        if plan.plan_id in self._parts:
            plan = msgspec.structs.replace(plan, worked=self._worked(plan.plan_id))
        return PlanStatus(plan, self._waits.get(plan.plan_id, ""))

    # ── told ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Tick)
    def tick(self, _message: Tick) -> None:
        for plan_id in list(self._plans):
            self._look(plan_id)

    @on(StoreUsage)
    def store_usage(self, message: StoreUsage) -> None:
        self._store_full = message.gate_closed

    @on(OrderUpdate)
    def order_update(self, message: OrderUpdate) -> None:
        order = message.order
        if order.plan in self._plans:
            self._note(order)
            self._look(order.plan)
        elif order.filled_amount:
            self._filled_late(order.plan)
        self._tell_of(order, message)

    def _filled_late(self, plan_id: str) -> None:
        """An order of a plan that is over: one that was over itself may still turn out to have filled more."""
        plan = self._desk.store.plan(plan_id)
        if plan is None or not plan.state.terminal:
            return
        worked = together(map(part_of, self._children(plan)))
        if worked.amount > plan.worked.amount:
            state = PlanState.DONE if worked.amount >= plan.amount else plan.state
            late = msgspec.structs.replace(plan, worked=worked, state=state)
            self._save("plan.filled_late", late, partial(self._forget, late))

    @on(FillUpdate)
    def fill_update(self, message: FillUpdate) -> None:
        if message.order is not None:
            self._tell_of(message.order, message)
