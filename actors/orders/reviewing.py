"""Orders that only a person can settle: what may be decided of each, and that it is on disk before it is answered."""

from functools import partial

from actors.messages import Accepted, ResolveOrder, Verdict
from actors.orders.sweeping import Sweeping
from engine.kernel import Reply, on
from engine.model import (
    Denial,
    Order,
    OrderState,
    closed_by_a_person,
    denied,
    may_be_retried,
    noted,
    retried_by_a_person,
)


class Reviewing(Sweeping):
    """A person knows what no question to the venue brought to light, and may be wrong: the venue's later word still counts."""

    @on(ResolveOrder)
    def resolve(self, message: ResolveOrder) -> Accepted | Denial | None:
        order = self._orders.get(message.order_id)
        if order is None or order.state.terminal:
            return self._not_live(message.order_id)
        refusal = _not_resolvable(order, message.verdict)
        if refusal is not None:
            return refusal
        note = f"{message.verdict} by a person" + (f": {message.note}" if message.note else "")
        decided = self._decide(order, message.verdict, note)
        then = partial(self._decided, order, message.verdict, self.defer_reply())
        self._save(f"order.resolved.{message.verdict}", decided, then)
        return None

    def _decide(self, order: Order, verdict: Verdict, note: str) -> Order:
        now_ms = self._now_ms()
        if verdict is Verdict.ASK:
            return noted(order, note, now_ms=now_ms)
        self._inquiries.pop(order.order_id, None)
        decide = retried_by_a_person if verdict is Verdict.RETRY else closed_by_a_person
        return decide(order, note, now_ms=now_ms)

    def _decided(self, order: Order, verdict: Verdict, reply: Reply[Accepted | Denial]) -> None:
        self._desk.point("resolve.durable")
        reply.send(Accepted(order.order_id))
        if verdict is Verdict.ASK and self._current(order).state is OrderState.UNKNOWN:
            inquiry = self._inquiries.get(order.order_id)
            if inquiry is None:
                self._inquire(order)
            else:
                inquiry.next_ask_s = self.ctx.clock.monotonic_s()


def _not_resolvable(order: Order, verdict: Verdict) -> Denial | None:
    if not order.review:
        return denied("NOT_IN_REVIEW", "review", "an order that waits for a person", order.state)
    if verdict is Verdict.ASK and order.state is not OrderState.UNKNOWN:
        return denied("NOT_ASKABLE", "state", "an order whose fate is unknown", order.state)
    if verdict is Verdict.RETRY and not may_be_retried(order):
        wanted = "one the venue never had and nobody cancelled; close it and place another"
        return denied("NOT_RETRYABLE", "state", wanted, order.state)
    return None
