"""Working plans: one look, one decision, one thing done, for each plan by itself."""

from functools import partial

import msgspec

from actors.execution.keeping import Keeping
from actors.messages import Accepted, AmendOrder, CancelOrder, GetOrderByKey, SubmitOrder, ask_queue
from engine.kernel import ActorDown, CallFailed, CallTimeout, MailboxFull, Unanswered
from engine.model import (
    PASSING,
    Denial,
    Facts,
    Move,
    Order,
    Plan,
    PlanState,
    Step,
    Submit,
    Withdraw,
    child_key,
    ended,
    next_step,
    not_moved,
    taken,
)

#: Refusals that time may end. Any other ends the plan.
WAITED_OUT = PASSING | frozenset(
    {
        "GATE_HALTED",
        "GATE_REDUCING",
        "INSTRUMENT_INACTIVE",
        "INSTRUMENT_UNKNOWN",
        "NOT_READY",
        "QUEUE_DOWN",
        "QUEUE_FULL",
        "REQUEST_PENDING",
        "SELF_TRADE",
        "STOPPING",
        "STORE_FULL",
        "TOO_MANY_ORDERS",
    }
)


class Working(Keeping):
    """A plan is looked at when time has passed and when its order changed; never while something of it is under way."""

    def _look(self, plan_id: str) -> None:
        plan = self._plans.get(plan_id)
        if plan is None or plan_id in self._busy or plan.state.terminal:
            return
        if self._pauses.get(plan_id, (0.0, 0.0))[0] > self.ctx.clock.monotonic_s():
            return
        if plan_id in self._unresolved:
            self._busy.add(plan_id)
            self.spawn(self._resolve, plan, name=plan_id)
            return
        self._take(plan, next_step(plan, self._facts(plan)))

    def _facts(self, plan: Plan) -> Facts:
        name = plan.request.order.instrument
        quote, stale = self._quote(name)
        instrument = self._instrument(name)
        order = self._desk.store.order(plan.child.order_id) if plan.child and plan.child.order_id else None
        if order is not None:
            self._note(order)
        return Facts(
            now_ms=self._now_ms(),
            instrument=instrument,
            quote=quote,
            stale=stale or ("" if instrument else f"{name}, which is not listed"),
            order=order,
            worked=self._worked(plan.plan_id),
            roll=self.ctx.entropy.random(),
        )

    def _take(self, before: Plan, step: Step) -> None:
        plan_id, plan = before.plan_id, step.plan
        self._waits[plan_id] = step.waits_for
        unchanged = msgspec.structs.replace(plan, worked=before.worked) == before
        if unchanged and step.do is None:
            self._plans[plan_id] = plan
        elif unchanged:
            self._do(plan_id, step.do)
        elif plan.state.terminal:
            self._busy.add(plan_id)
            self._save(f"plan.{plan.state}", plan, partial(self._ended, plan_id))
        else:
            self._busy.add(plan_id)
            kind = "plan.step" if step.do is None else f"plan.{type(step.do).__name__.lower()}"
            self._save(kind, plan, partial(self._decided, plan_id, step.do))

    def _decided(self, plan_id: str, do: Submit | Move | Withdraw | None) -> None:
        self._busy.discard(plan_id)
        if do is None:
            self._look(plan_id)
        else:
            self._do(plan_id, do)

    def _ended(self, plan_id: str) -> None:
        self._busy.discard(plan_id)
        plan = self._plans[plan_id]
        self._tell_end(plan)
        self._over(plan)
        self._forget(plan)

    def _over(self, plan: Plan) -> None:
        """The plan has ended, and that is on disk."""

    def _do(self, plan_id: str, do: Submit | Move | Withdraw | None) -> None:
        plan = self._plans[plan_id]
        if plan.ends_as is not None and not isinstance(do, Withdraw):
            self._look(plan_id)  # it was cancelled while this was being stored
            return
        self._busy.add(plan_id)
        if isinstance(do, Submit):
            self.spawn(self._submit, plan_id, do, name=do.request.request_key)
        elif do is not None:
            self.spawn(self._change, plan_id, do, name=do.order_id)

    async def _submit(self, plan_id: str, do: Submit) -> None:
        request = SubmitOrder(do.request, owner=self.ctx.self_ref)
        try:
            answer = await ask_queue(self._desk.orders, request, timeout_s=self._settings.call_timeout_s)
        except (Unanswered, CallTimeout, CallFailed) as error:
            self._unresolved.add(plan_id)  # it may have been taken
            self._pause(plan_id, f"the order queue: {error}")
            return
        self._desk.point("plan.answered")
        plan = self._plans[plan_id]
        if isinstance(answer, Accepted):
            self._taken(plan, answer.order_id)
        elif answer.code in WAITED_OUT:
            self._pause(plan_id, answer.text)
        else:
            self._plans[plan_id] = ended(plan, PlanState.FAILED, answer.text)
            self._free(plan_id)

    def _taken(self, plan: Plan, order_id: str) -> None:
        """Known here now and stored with the next step: until then the child is found by its request key."""
        self._plans[plan.plan_id] = taken(plan, order_id)
        self._pauses.pop(plan.plan_id, None)
        self._free(plan.plan_id)

    async def _change(self, plan_id: str, do: Move | Withdraw) -> None:
        request: AmendOrder | CancelOrder
        if isinstance(do, Move):
            request = AmendOrder(do.order_id, price=do.price)
        else:
            request = CancelOrder(do.order_id, do.reason)
        try:
            answer = await self._desk.orders.call(request, timeout_s=self._settings.call_timeout_s)
        except (MailboxFull, ActorDown, CallTimeout, CallFailed) as error:
            self._pause(plan_id, f"the order queue: {error}")
            return
        if isinstance(answer, Denial):  # the order is over, or cannot be changed now: another look will tell
            if isinstance(do, Move) and answer.code in WAITED_OUT:
                self._plans[plan_id] = not_moved(self._plans[plan_id])
            self._pause(plan_id, answer.text)
        else:
            self._free(plan_id)

    async def _resolve(self, plan: Plan) -> None:
        """Whether the newest child was taken: nothing may follow it before that is known."""
        number = plan.child.number if plan.child is not None else plan.children
        question = GetOrderByKey(child_key(plan.plan_id, number))
        order: Order | None
        try:
            order = await self._desk.orders.call(question, timeout_s=self._settings.call_timeout_s)
        except (MailboxFull, ActorDown, CallTimeout, CallFailed) as error:
            self._pause(plan.plan_id, f"the order queue: {error}")
            return
        self._unresolved.discard(plan.plan_id)
        if order is None:
            self._free(plan.plan_id)
        else:
            self._note(order)
            self._taken(self._plans[plan.plan_id], order.order_id)

    def _pause(self, plan_id: str, why: str) -> None:
        """Look again later, each time a little later than the last."""
        _, last_s = self._pauses.get(plan_id, (0.0, 0.0))
        pause_s = min(self._settings.retry_max_s, max(self._settings.retry_s, last_s * 2))
        self._pauses[plan_id] = (self.ctx.clock.monotonic_s() + pause_s, pause_s)
        if self._waits.get(plan_id) != why:
            self.log.info("{} waits: {}", plan_id, why)
        self._waits[plan_id] = why
        self._busy.discard(plan_id)

    def _free(self, plan_id: str) -> None:
        self._busy.discard(plan_id)
        self._look(plan_id)
