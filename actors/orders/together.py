"""Sets that leave together, in one request, for their venue to keep what binds them; and trails that the venue follows.

Such a set is stored like any other, and waits like any other. When its first order may leave, one commit gives every order of
it a client id, before the first byte of the one request goes. After that each is an order of its own: heard of, cancelled and
searched for by its own id. Only two things are decided for all of them at once, for one request made all of them: that it was
certainly not carried out, and that it is proved never to have been. So nothing of a set is sent again while one order of it may
be at the venue.

What cannot leave as a whole any more – somebody cancelled an exit while its entry waited, the settings were changed – is kept
by the node from then on.
"""

from collections.abc import Sequence
from functools import partial

from actors.messages import Notify
from actors.orders.finding import Finding
from actors.orders.sending import CERTAINLY_NOT_EXECUTED, words
from actors.orders.settings import NativeLinks
from engine.model import (
    CancelState,
    Denial,
    ErrorPolicy,
    Inquiry,
    Instrument,
    Moment,
    Order,
    OrderState,
    Severity,
    back_together,
    cancelled_never_placed,
    is_native,
    kept_here,
    refused_and_kept,
    refused_for_now,
    refused_together,
    sent_together,
    set_of,
    to_expired,
    to_unknown,
    to_waiting,
    trailed_here,
)
from engine.store import Put
from engine.venues.base import BadReply, NotSent, OutcomeUnknown, Refused, VenueError

NEVER = "native_links is never"
UNLISTED = "its instrument is not known"


class Together(Finding):
    """One request, one answer, and each order's own fate after it."""

    # ── what the venue can keep ───────────────────────────────────────────────────────────────────────────────────────

    def _why_linked_here(self, orders: Sequence[Order]) -> str:
        """Why the node keeps what binds them, empty when the venue does."""
        instruments = [self._instrument(order.instrument) for order in orders]
        known = [instrument for instrument in instruments if instrument is not None]
        if self._settings.native_links is NativeLinks.NEVER:
            return NEVER
        return UNLISTED if len(known) < len(orders) else self._desk.ways.why_not_linked(orders, known)

    def _why_trailed_here(self, order: Order) -> str:
        """Why the node follows the price for it, empty when the venue does."""
        instrument = self._instrument(order.instrument)
        if self._settings.native_links is NativeLinks.NEVER:
            return NEVER
        return UNLISTED if instrument is None else self._desk.ways.why_not_native(order, instrument)

    # ── leaving ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _members(self, order: Order) -> list[Order]:
        """All of its set as they are known now, the first one first."""
        leader = self._leader(order)
        ids = set_of(leader) if leader is not None else ()
        found = (self._orders.get(order_id) or self._stored(order_id) for order_id in ids)
        return [member for member in found if member is not None]

    def _leader(self, order: Order) -> Order | None:
        group = order.link.group if order.link is not None else order.order_id
        return self._orders.get(group) or self._stored(group)

    def _release(self, order: Order) -> None:
        """A set is released by its first order."""
        leader = self._leader(order) if is_native(order) else None
        super()._release(order if leader is None else leader)

    def _attempt(self, order: Order) -> None:
        if is_native(order):
            self._attempt_set(order)
        elif order.native_trail and order.met_at_ms is None and (why := self._why_trailed_here(order)):
            self._save("order.kept_here", trailed_here(order, why, now_ms=self._now_ms()))
        else:
            super()._attempt(order)

    def _refused(self, order: Order, error: Refused) -> None:
        """A venue that would not follow the price for a stop is no reason to do without the stop: the node follows it."""
        current = self._current(order)
        ours = current.state is OrderState.SUBMITTING and not current.venue_order_id
        if not (ours and current.native_trail and current.cancel is CancelState.NONE):
            super()._refused(order, error)
            return
        why, now_ms = f"the venue would not follow its price: {words(error)}", self._now_ms()
        self._notify(Severity.WARNING, "link.kept_here", f"{order.instrument}: {order.order_id}: {why}", order)
        self._save("order.kept_here", trailed_here(to_waiting(current, why, now_ms=now_ms), why, now_ms=now_ms))

    def _attempt_set(self, leader: Order) -> None:
        members = self._members(leader)
        if any(self._unsaved.get(member.order_id) or member.order_id in self._busy for member in members):
            soon_s = self.ctx.clock.monotonic_s() + self._settings.tick_s
            self._alarms.set_s(leader.order_id, Moment.AGAIN, soon_s)
            return
        why = self._why_not_whole(members) or self._why_linked_here(members)
        if why:
            self._keep_here(members, why)
            return
        valid_until_ms = self._valid_until_ms(leader)
        attempts = sent_together(members, valid_until_ms=valid_until_ms, now_ms=self._now_ms())
        for attempt in attempts:
            self._busy[attempt.order_id] = "submit"
        self._desk.point("submit.decided")
        self._save_all("order.submitting", attempts, partial(self._begin_set, attempts))

    def _why_not_whole(self, members: Sequence[Order]) -> str:
        for member in members:
            if member.state is not OrderState.WAITING or member.cancel is not CancelState.NONE or member.review:
                return f"{member.order_id} of it is {member.review or member.state}"
        return ""

    def _keep_here(self, members: Sequence[Order], why: str) -> None:
        """What waits of a set is the node's to keep from now on."""
        changed = kept_here(members, why, now_ms=self._now_ms())
        if not changed:
            return
        text = f"{changed[0].instrument}: what binds the set of {changed[0].order_id} is kept by this node: {why}"
        self._notify(Severity.INFO, "link.kept_here", text, changed[0])
        self._save_all("order.kept_here", changed)

    def _begin_set(self, attempts: Sequence[Order]) -> None:
        instruments = [self._instrument(attempt.instrument) for attempt in attempts]
        known = [instrument for instrument in instruments if instrument is not None]
        self.spawn(self._send_and_go_on, attempts, known, name=attempts[0].client_order_id)

    async def _send_and_go_on(self, attempts: Sequence[Order], instruments: Sequence[Instrument]) -> None:
        try:
            await self._send_set(attempts, instruments)
        finally:
            for attempt in attempts:
                self._busy.pop(attempt.order_id, None)
        for attempt in attempts:
            self._proceed(attempt.order_id)
        self._pump()
        self._check_quiet()

    async def _send_set(self, attempts: Sequence[Order], instruments: Sequence[Instrument]) -> None:
        self._desk.point("submit.durable")
        self._desk.point("set.durable")
        leader = attempts[0]
        if not self._gate_lets(leader):
            self._set_not_placed(attempts, NotSent("the gate closed before it left"))
            return
        try:
            answers = await self._ask("submit", lambda rest: rest.submit_linked(attempts, instruments))
        except CERTAINLY_NOT_EXECUTED as error:
            self._set_not_placed(attempts, error)
        except Refused as error:
            self._set_refused(attempts, error)
        except (OutcomeUnknown, BadReply) as error:
            self._set_lost(attempts, error)
        else:
            self._desk.point("set.answered")
            self._locked_out = 0
            for report, fills in answers:
                self._hear(report)
                self._hear_fills(fills)
            self._set_lost(attempts, BadReply("the reply says nothing of it that makes sense"))

    # ── what one answer means for all of them ─────────────────────────────────────────────────────────────────────────

    def _untouched(self, attempts: Sequence[Order]) -> list[Order] | None:
        """The attempts as they are now, if no other word of any of them came meanwhile: then none was placed."""
        current = [self._current(attempt) for attempt in attempts]
        sent = [order for order in current if order.state is OrderState.SUBMITTING and not order.venue_order_id]
        return current if len(sent) == len(attempts) else None

    def _set_not_placed(self, attempts: Sequence[Order], error: VenueError) -> None:
        current = self._untouched(attempts)
        if current is None:
            self._set_lost(attempts, error)
            return
        self._try_later(current[0], error)
        self._set_back(back_together(current, words(error), now_ms=self._now_ms()))

    def _set_back(self, orders: Sequence[Order]) -> None:
        self._save_all("order.not_placed", orders, partial(self._desk.point, "set.back"))

    def _set_refused(self, attempts: Sequence[Order], error: Refused) -> None:
        """The venue's own no, to all of them. What follows is the policy of the first."""
        current, now_ms, text = self._untouched(attempts), self._now_ms(), words(error)
        if current is None:
            self._set_lost(attempts, error)
            return
        leader, others = current[0], current[1:]
        policy = leader.on_error or self._settings.order_lifecycle.error_handling
        wanted = all(order.cancel is CancelState.NONE for order in current)
        retry = self._settings.non_immediate_orders
        if wanted and policy is ErrorPolicy.RETRY and error.passing and leader.refusals < retry.retry_attempts:
            again_in_s = self._refusal_patience.delay_s(leader.refusals + 1, self.ctx.entropy)
            waiting = refused_for_now(leader, text, again_in_s=again_in_s, now_ms=now_ms)
            self._set_back((waiting, *back_together(others, text, now_ms=now_ms)))
        elif wanted and policy is ErrorPolicy.MANUAL:
            kept = refused_and_kept(leader, text, now_ms=now_ms)
            self._put_up_set((kept, *back_together(others, text, now_ms=now_ms)), f"{leader.instrument}: {text}")
        else:
            text = f"{text} (refused {leader.refusals + 1} times)" if leader.refusals else text
            self._save_all("order.rejected", refused_together(current, text, now_ms=now_ms))

    def _put_up_set(self, orders: Sequence[Order], text: str) -> None:
        """As `_put_up`, for a set of which the first order waits for a person."""
        notice = self._notice(Severity.EMERGENCY, "order.review", text, orders[0])

        def told() -> None:
            self._desk.point("review.durable")
            self._desk.notifier.tell(Notify(notice))

        self._save_all("order.review", orders, told, extra=(Put("notices", notice.notice_id, notice),))

    def _set_lost(self, attempts: Sequence[Order], error: VenueError) -> None:
        """No usable answer about some of them: each is looked for, one by one."""
        current = [self._current(attempt) for attempt in attempts]
        lost = [order for order in current if order.state is OrderState.SUBMITTING]
        if not lost:
            return
        now_ms, text = self._now_ms(), words(error)
        self._save_all("order.unknown", [to_unknown(order, text, now_ms=now_ms) for order in lost])
        for order in lost:
            self._inquire(order)
        what = f"{lost[0].instrument}: no answer to {len(lost)} orders of the set of {attempts[0].order_id}"
        self._notify(Severity.WARNING, "order.unknown", what, lost[0])

    def _turn_away(self, order: Order, refusal: Denial) -> None:
        """A limit that keeps one of a set from leaving keeps all of it."""
        if not is_native(order):
            super()._turn_away(order, refusal)
            return
        members = [member for member in self._members(order) if member.state is OrderState.WAITING]
        self._notify(Severity.WARNING, "order.turned_away", f"{order.instrument}: {refusal.text}", order)
        self._save_all("order.rejected", refused_together(members, refusal.text, now_ms=self._now_ms()))

    def _look_at_set(self, order: Order) -> None:
        """What the venue did with one of a set may have changed the others: ask for those that may be there."""
        for member in self._members(order):
            asked = member.order_id in self._inquiries or member.order_id == order.order_id
            if member.state is OrderState.OPEN and not asked:
                self._inquire(member)

    # ── finding out ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _proved_absent(self, order: Order, inquiry: Inquiry) -> None:
        """One request made all of them: one that exists proves that it was carried out, and none is sent again before all are
        proved absent.
        """
        if not is_native(order):
            super()._proved_absent(order, inquiry)
            return
        members = self._members(order)
        if order.venue_order_id or order.filled_amount:
            super()._proved_absent(order, inquiry)
        elif any(map(_placed, members)) and inquiry.rules.forgets:
            self._inquiries.pop(order.order_id)
            self._expire(order, "the venue was started anew and does not know it any more")
        elif any(map(_placed, members)):
            self._missing(order)
        elif all(self._absent(member) for member in members):
            self._set_absent([member for member in members if member.state is OrderState.UNKNOWN], inquiry)

    def _missing(self, order: Order) -> None:
        """The venue has others of its set, and this one is proved absent: what is not there need not be cancelled any more."""
        if order.cancel is CancelState.REQUESTED:
            self._inquiries.pop(order.order_id)
            self._save("order.cancelled", cancelled_never_placed(order, now_ms=self._now_ms()))
        else:
            text = "the venue has others of its set, and does not know this one"
            self._needs_a_person(order, "order.review", text)

    def _absent(self, member: Order) -> bool:
        inquiry = self._inquiries.get(member.order_id)
        quiet = not self._unsaved.get(member.order_id)
        return quiet and (member.state.terminal or (inquiry is not None and inquiry.proved))

    def _set_absent(self, members: Sequence[Order], inquiry: Inquiry) -> None:
        now_ms, leader = self._now_ms(), members[0]
        if not (inquiry.rules.may_resubmit and self._is_of_this_store(leader)):
            for member in members:
                self._needs_a_person(member, "order.review", "not found anywhere; cancel it, or resolve it")
            return
        for member in members:
            self._inquiries.pop(member.order_id, None)
        late = self._past_deadline(leader)
        after = [self._after_absence(member, now_ms, late=late) for member in members]
        self._set_back(after)

    def _after_absence(self, order: Order, now_ms: int, *, late: bool) -> Order:
        if order.cancel is CancelState.REQUESTED:
            return cancelled_never_placed(order, now_ms=now_ms)
        (waiting,) = back_together((order,), "proved never placed", now_ms=now_ms)
        return to_expired(waiting, "proved never placed; its deadline has passed", now_ms=now_ms) if late else waiting


def _placed(order: Order) -> bool:
    """Whether the venue acknowledged its present attempt."""
    return bool(order.venue_order_id) or order.filled_amount > 0 or order.state is OrderState.OPEN
