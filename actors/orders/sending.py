"""Releasing orders and sending them: one attempt, one client id, one answer or none."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from actors.messages import KeyReplaced
from actors.orders.desk import OrdersDesk
from actors.orders.releasing import Releasing
from engine.kernel import Backoff, Message, Overflow, on
from engine.model import (
    PASSING,
    RATE_LIMIT,
    CancelState,
    Denial,
    ErrorPolicy,
    GateState,
    Instrument,
    Lane,
    Moment,
    Order,
    OrderState,
    Severity,
    refused_and_kept,
    refused_for_now,
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

RATE_PAUSE_S = 0.05
KNOCK = Backoff(min_s=5.0, max_s=300.0)  # at a venue that does not accept who we are
CERTAINLY_NOT_EXECUTED = (NotSent, RateLimited, Unavailable, NotAuthorised)


class GoOn(Message, frozen=True):
    """There is more to send than one turn begins, or what was not to be sent before may be now."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Sending(Releasing):
    """Ready orders leave, whose turn it is first, while the gates are open; what the venue answers decides their state."""

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        retry_s = desk.settings.retry_s
        self._patience = Backoff(min_s=retry_s, max_s=max(retry_s, desk.settings.retry_max_s))
        delay_s = desk.settings.non_immediate_orders.retry_delay_s
        self._refusal_patience = Backoff(min_s=delay_s, max_s=delay_s * 2.0**10)
        self._locked_out = 0  # how often in a row the venue did not accept who we are
        self._send_from_s = float("-inf")  # the venue wants nothing before
        self._knock_from_s = float("-inf")  # and nothing of us, as it does not accept who we are
        self._paced_from_s = float("-inf")  # our own rate lets nothing go before, except what reduces

    def _pump(self) -> None:
        """Begin what may begin, whose turn it is first, and no more than a batch at once."""
        now_s = self.ctx.clock.monotonic_s()
        for _ in range(self._settings.queue_management.batch_size):
            if not self._may_send(now_s):
                return
            order_id = self._ready.take(self._lane_open)
            if order_id is None:
                return
            self._leave(order_id, now_s)
        if self._ready and self._may_send(now_s):
            self.ctx.self_ref.tell(GoOn())

    @on(KeyReplaced)
    def key_replaced(self, _message: KeyReplaced) -> None:
        """Who was not let in knocks again at once: orders, cancels and searches alike."""
        self._locked_out, self._knock_from_s = 0, float("-inf")
        self._not_before_s.clear()
        for inquiry in self._inquiries.values():
            inquiry.next_ask_s = min(inquiry.next_ask_s, self.ctx.clock.monotonic_s() + self._settings.ask_s)
        self._pump_all()

    @on(GoOn)
    def go_on(self, _message: GoOn) -> None:
        self._pump_all()

    def _pump_all(self) -> None:
        """Whatever was closed may be open now."""
        self._ready.reopen_all()
        self._pump()

    def _may_send(self, now_s: float) -> bool:
        return (
            self._synced
            and not self._stopping
            and self._gate is not GateState.HALTED
            and now_s >= max(self._send_from_s, self._knock_from_s)
            and self._has_room("submit")
        )

    def _lane_open(self, lane: Lane) -> bool:
        """Not while the fate of one of its orders is unknown, nor when orders may only reduce and these do not."""
        return (
            lane.instrument not in self._unknown
            and (lane.reduce_only or (self._gate is not GateState.REDUCING and not self._paced()))
            and self._instrument(lane.instrument) is not None
        )

    def _leave(self, order_id: str, now_s: float) -> None:
        order = self._orders.get(order_id)
        if order is None or order.state is not OrderState.WAITING or order.held or self._unsaved.get(order_id):
            return  # it changed while it waited, and comes back when that is on disk
        if self._past_deadline(order):
            self._expire(order, "not sent before its deadline")
            return
        over_s = self._alarms.at_s(order_id, Moment.EXPIRES)
        if over_s is not None and now_s > over_s:  # its alarm rings with the next tick
            self._expire(order, "expired")
            return
        refusal = self._may_leave(order)
        if refusal is None:
            self._attempt(order)
        elif refusal.code == RATE_LIMIT:  # in a moment it may
            self._ready.add(order)
            self._paced_from_s = now_s + RATE_PAUSE_S
            self.after(RATE_PAUSE_S, GoOn())
        elif refusal.code in PASSING:
            self._alarms.set_s(order_id, Moment.AGAIN, now_s + self._settings.retry_s)
        else:
            self._turn_away(order, refusal)

    def _paced(self) -> bool:
        return self.ctx.clock.monotonic_s() < self._paced_from_s

    def _turn_away(self, order: Order, refusal: Denial) -> None:
        """It was taken, waited, and breaks a limit now."""
        self._notify(Severity.WARNING, "order.turned_away", f"{order.instrument}: {refusal.text}", order)
        self._save("order.rejected", to_rejected(order, refusal.text, now_ms=self._now_ms()))

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
        attempt = to_submitting(order, valid_until_ms=self._valid_until_ms(order), now_ms=self._now_ms())
        self._busy[order.order_id] = "submit"
        self._desk.point("submit.decided")
        self._save("order.submitting", attempt, partial(self._begin, self._send, attempt))

    def _valid_until_ms(self, order: Order) -> int:
        """Until when the venue may start an attempt that is made now."""
        venue_ms = self._desk.venue.now_ms(self.ctx.clock.monotonic_s())
        if venue_ms is None:  # synced implies that the venue's clock is known
            raise AssertionError(f"{order.order_id}: sending without the venue's time")
        return venue_ms + int(self._settings.ttl_s * 1000)

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

    def _occupy(self, what: str, request: Callable[[Order, Instrument], Any], order: Order) -> None:
        self._busy[order.order_id] = what
        self._begin(request, order)

    async def _occupied(
        self, request: Callable[[Order, Instrument], Any], order: Order, instrument: Instrument
    ) -> None:
        try:
            await request(order, instrument)
        finally:
            self._busy.pop(order.order_id, None)
        self._proceed(order.order_id)
        self._pump()
        self._check_quiet()

    async def _send(self, order: Order, instrument: Instrument) -> None:
        self._desk.point("submit.durable")
        if not self._gate_lets(order):
            self._not_placed(order, NotSent("the gate closed before it left"))
            return
        try:
            report, fills = await self._ask("submit", lambda rest: rest.submit(order, instrument))
        except CERTAINLY_NOT_EXECUTED as error:
            self._not_placed(order, error)
        except Refused as error:
            self._refused(order, error)
        except (OutcomeUnknown, BadReply) as error:
            self._lost(order, error)
        else:
            self._desk.point("submit.answered")
            self._locked_out = 0
            self._hear(report)
            self._hear_fills(fills)
            self._lost(order, BadReply("the reply says nothing of this order that makes sense"))

    def _gate_lets(self, order: Order) -> bool:
        return self._gate is GateState.ACTIVE or (self._gate is GateState.REDUCING and order.reduce_only)

    def _not_placed(self, order: Order, error: VenueError) -> None:
        """It goes back to where it stood, and is tried again after a while."""
        current = self._current(order)
        if current.state is not OrderState.SUBMITTING or current.venue_order_id:
            return  # the private stream knows better
        self._try_later(current, error)
        self._save("order.not_placed", to_waiting(current, words(error), now_ms=self._now_ms()))

    def _try_later(self, order: Order, error: VenueError) -> None:
        """Not before the venue wants more of the account, or a while has passed: a longer one after each attempt."""
        now_s = self.ctx.clock.monotonic_s()
        if isinstance(error, RateLimited):  # the account's, not the order's
            self._send_from_s = max(self._send_from_s, now_s + error.retry_after_s)
            self.after(error.retry_after_s, GoOn())
        elif isinstance(error, NotAuthorised):
            self._knock_from_s = self._shut_out(error, order)
        else:
            pause_s = self._patience.delay_s(order.attempt, self.ctx.entropy)
            self._alarms.set_s(order.order_id, Moment.AGAIN, now_s + pause_s)

    def _shut_out(self, error: NotAuthorised, order: Order) -> float:
        """Nothing of this account will be done before somebody sees to its credentials: when to knock again."""
        self._locked_out += 1
        if self._locked_out == 1:
            text = f"{self._desk.account}: the venue does not accept who we are: {words(error)}"
            self._notify(Severity.EMERGENCY, "account.not_authorised", text, order)
        return self.ctx.clock.monotonic_s() + KNOCK.delay_s(self._locked_out, self.ctx.entropy)

    def _refused(self, order: Order, error: Refused) -> None:
        """The venue's own no. What follows is the order's policy; the attempt is over and its id is spent."""
        current, now_ms, text = self._current(order), self._now_ms(), words(error)
        policy = current.on_error or self._settings.order_lifecycle.error_handling
        retry = self._settings.non_immediate_orders
        ours = (
            current.state is OrderState.SUBMITTING and current.cancel is CancelState.NONE and not current.venue_order_id
        )
        if ours and policy is ErrorPolicy.RETRY and error.passing and current.refusals < retry.retry_attempts:
            again_in_s = self._refusal_patience.delay_s(current.refusals + 1, self.ctx.entropy)
            waiting = refused_for_now(current, text, again_in_s=again_in_s, now_ms=now_ms)
            self._save("order.refused", waiting, partial(self._desk.point, "refused.retry"))
        elif ours and policy is ErrorPolicy.MANUAL:
            kept = refused_and_kept(current, text, now_ms=now_ms)
            self._put_up(kept, "order.review", f"{order.instrument}: {text}")
        else:
            text = f"{text} (refused {current.refusals + 1} times)" if current.refusals else text
            self._save_if_new("order.rejected", current, to_rejected(current, text, now_ms=now_ms))

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


def words(error: VenueError) -> str:
    return f"{type(error).__name__} {error.code}: {error}" if error.code else f"{type(error).__name__}: {error}"
