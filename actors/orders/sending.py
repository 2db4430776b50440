"""Releasing orders and sending them: one attempt, one client id, one answer or none."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from actors.orders.hearing import Hearing
from engine.model import (
    PASSING,
    CancelState,
    Denial,
    GateState,
    Instrument,
    Order,
    OrderState,
    Severity,
    to_expired,
    to_rejected,
    to_submitting,
    to_unknown,
    to_waiting,
)
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

CERTAINLY_NOT_EXECUTED = (NotSent, RateLimited, Unavailable, NotAuthorised)


class Sending(Hearing):
    """Waiting orders leave by instrument, in order, while the gates are open; what the venue answers decides
    their state.
    """

    def _queue(self, order: Order, *, first: bool = False) -> None:
        if order.state is OrderState.WAITING:
            self._deadline_s(order)
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
            elif (refusal := self._may_leave(order)) is not None and refusal.code in PASSING:
                return  # in a moment it may
            else:
                queue.popleft()
                self._attempt(order) if refusal is None else self._turn_away(order, refusal)
        if not queue:
            self._queues.pop(instrument, None)

    def _turn_away(self, order: Order, refusal: Denial) -> None:
        """It was taken, waited, and breaks a limit now."""
        self._notify(Severity.WARNING, "order.turned_away", f"{order.instrument}: {refusal.text}", order)
        self._save("order.rejected", to_rejected(order, refusal.text, now_ms=self._now_ms()))

    def _may_send(self, instrument: str) -> bool:
        return (
            self._synced
            and not self._stopping
            and self._gate is not GateState.HALTED
            and instrument not in self._unknown
            and self._has_room("submit")
        )

    def _has_room(self, what: str) -> bool:
        """Cancels have slots of their own, and questions leave half of the others to orders: neither can be kept
        waiting by a venue that does not answer questions.
        """
        kinds = list(self._busy.values())
        most = self._settings.max_in_flight
        if what == "cancel":
            return kinds.count("cancel") < most
        if what == "find" and kinds.count("find") >= max(1, most // 2):
            return False
        return len(kinds) - kinds.count("cancel") < most

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
        if instrument is None:  # since a restart: what is known once stays known while the process lives
            self._busy.pop(order.order_id, None)
            if self._desk.venue.instruments:
                text = (
                    f"{order.instrument} is not listed any more: its orders cannot be asked for or cancelled from here"
                )
                self._notify_once(f"unlisted {order.instrument}", Severity.ERROR, "order.unlisted", text, order)
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
            self._save_if_new("order.rejected", current, to_rejected(current, words(error), now_ms=self._now_ms()))
        except (OutcomeUnknown, BadReply) as error:
            self._lost(order, error)
        else:
            self._desk.point("submit.answered")
            self._hear(report)
            self._hear_fills(fills)
            self._lost(order, BadReply("the reply says nothing of this order that makes sense"))

    def _not_placed(self, order: Order, error: VenueError) -> None:
        current = self._current(order)
        if current.state is not OrderState.SUBMITTING or current.venue_order_id:
            return  # the private stream knows better
        pause_s = error.retry_after_s if isinstance(error, RateLimited) else self._settings.retry_s
        self._not_before_s[order.order_id] = self.ctx.clock.monotonic_s() + pause_s
        waiting = to_waiting(current, words(error), now_ms=self._now_ms())
        self._save("order.not_placed", waiting, partial(self._requeue, waiting))

    def _requeue(self, order: Order) -> None:
        current = self._current(order)
        if current.cancel is CancelState.NONE:
            self._queue(current, first=True)
            self._pump(current.instrument)

    def _lost(self, order: Order, error: VenueError) -> None:
        """No usable answer, unless the private stream brought one meanwhile."""
        current = self._current(order)
        if current.state is not OrderState.SUBMITTING:
            return
        self._save("order.unknown", to_unknown(current, words(error), now_ms=self._now_ms()))
        self._inquire(current)
        self._notify(
            Severity.WARNING, "order.unknown", f"{order.instrument}: no answer to {order.side} {order.amount}", order
        )

    def _expire(self, order: Order, why: str) -> None:
        self._save("order.expired", to_expired(order, why, now_ms=self._now_ms()))


def words(error: VenueError) -> str:
    return f"{type(error).__name__} {error.code}: {error}" if error.code else f"{type(error).__name__}: {error}"
