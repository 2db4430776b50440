"""The actor that watches."""

from collections.abc import Sequence
from itertools import islice
from typing import ClassVar

import trio

from actors.messages import (
    Arm,
    ConditionSeen,
    ConditionsMet,
    ConditionsSeen,
    Disarm,
    GetConditions,
    GetHoldings,
    GetOrdersStatus,
    Holdings,
    HoldingsChanged,
    MarketChanged,
    Notify,
    PublishFigure,
    TrailMoved,
    Unsynced,
    notice_by,
)
from actors.triggers.desk import TriggersDesk
from actors.triggers.figures import FigureBook
from engine.kernel import Actor, ActorDown, CallFailed, CallTimeout, MailboxFull, Message, Overflow, Timer, on
from engine.model import CancelState, Figure, Order, OrderState, Severity, Trailing
from engine.model.conditions.check import TIME
from engine.model.conditions.watch import Met, Sight, Watch, figures_of, shown

TRAILS_EVERY_S = 1.0
ASK_TIMEOUT_S = 5.0
MIN_WAIT_S = 0.001
AT_ONCE = 500  # orders read at a start, or told to be met, before others have their turn
PAUSE_S = 0.02  # for the order queue to take them in


class LookAgain(Message, frozen=True):
    """Time to look at everything."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class TellTrails(Message, frozen=True):
    """Time to have new best prices stored."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class TellMore(Message, frozen=True):
    """Time to tell the order queue of more orders that are met."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class TimeCame(Message, frozen=True):
    """A moment that somebody waits for may have come."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Triggers(Actor):
    """See the package's page."""

    mailbox_capacity = 200_000  # an order queue that starts anew arms everything it has

    def __init__(self, desk: TriggersDesk) -> None:
        super().__init__()
        self._desk = desk
        self._settings = desk.settings
        self._book = FigureBook(desk, self.ctx.self_ref, self.ctx.clock)
        self._watch = Watch(self._book)
        self._concerned = self._book.markets.concerned
        self._met: dict[str, ConditionsMet] = {}  # not yet known to be on disk
        self._untold: dict[str, None] = {}  # of those, what is still to be told, or again
        self._pausing = False  # between two rounds of telling
        self._alarm: Timer | None = None
        self._alarm_ms = 0
        self._asking = False

    async def on_start(self) -> None:
        """Arm what the last life left, by what is stored."""
        desk = self._desk
        mine = tuple(row for _, row in desk.store.table("positions").iterate() if row.account == desk.account)
        self._book.hold(Holdings(mine, ()), in_step=False)
        for number, order in enumerate(desk.store.live_orders(desk.account)):
            if _waits(order):
                self._arm(order)
            if number % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        self.every(self._settings.evaluation_interval_s, LookAgain())
        self.every(TRAILS_EVERY_S, TellTrails())

    # ── orders come and go ────────────────────────────────────────────────────────────────────────────────────────────

    @on(Arm)
    def arm(self, message: Arm) -> None:
        if message.order.order_id not in self._met:
            self._arm(message.order)

    @on(Disarm)
    def disarm(self, message: Disarm) -> None:
        self._watch.disarm(message.order_id)
        self._met.pop(message.order_id, None)

    def _arm(self, order: Order) -> None:
        self._set_free(self._watch.arm(order))
        if order.order_id in self._watch:
            for figure in figures_of(order):
                self._book.tell_again(figure)
            self._set_alarm()
            self._ask_account()

    def _set_free(self, met: Sequence[Met]) -> None:
        for order_id, evidence in met:
            self._met[order_id] = ConditionsMet(order_id, self.ctx.clock.wall_ms(), evidence)
            self._untold[order_id] = None
        if self._untold and not self._pausing:
            self._tell_some()
        for order_id, evidence in met:  # a line takes longer than all the rest
            self.log.bind(order_id=order_id).info("met: {}", evidence)

    # ── what may set them free ────────────────────────────────────────────────────────────────────────────────────────

    @on(MarketChanged)
    def market_changed(self, message: MarketChanged) -> None:
        """The hot path."""
        met = self._watch.look(self._concerned(message))
        if met:
            self._set_free(met)

    @on(PublishFigure)
    def publish_figure(self, message: PublishFigure) -> None:
        figure = self._book.publish(message.name, message.value)
        if figure is None:
            self.log.error("no room for the figure {}: {} are kept", message.name, self._settings.custom_figures)
        else:
            self._set_free(self._watch.look((figure,)))

    @on(HoldingsChanged)
    def holdings_changed(self, message: HoldingsChanged) -> None:
        self._book.hold(message.holdings, in_step=message.holdings.in_step)
        self._set_free(self._watch.look(self._book.of_account))

    @on(Unsynced)
    def unsynced(self, _message: Unsynced) -> None:
        """At once, and not when the account is asked next: what it holds may change unheard from here on."""
        self._book.out_of_step()

    @on(TimeCame)
    def time_came(self, _message: TimeCame) -> None:
        self._alarm = None
        self._set_free(self._watch.look((TIME,)))
        self._set_alarm()

    @on(LookAgain)
    def look_again(self, _message: LookAgain) -> None:
        self._book.renew()
        self._tell_again()
        self._set_free(self._watch.look_again())
        self._count_errors()
        self._set_alarm()
        self._ask_account()

    def _set_alarm(self) -> None:
        """For the next moment that matters, if it comes before everything is looked at anyway."""
        due_ms = self._watch.next_change(TIME)
        if due_ms is None or (self._alarm is not None and self._alarm_ms <= due_ms):
            return
        wait_s = (float(due_ms) - self.ctx.clock.wall_ms()) / 1000
        if wait_s > self._settings.evaluation_interval_s:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_ms = int(due_ms)
        self._alarm = self.after(max(wait_s, MIN_WAIT_S), TimeCame())

    # ── the account ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask_account(self) -> None:
        """What it holds, and whether that is true now; only if somebody wants to know."""
        if self._book.of_account and not self._asking:
            self._asking = True
            self.spawn(self._look_at_account, name="account")

    async def _look_at_account(self) -> None:
        try:
            status = await self._desk.orders.call(GetOrdersStatus(), timeout_s=ASK_TIMEOUT_S)
            holdings = await self._desk.account_sync.call(GetHoldings(), timeout_s=ASK_TIMEOUT_S)
        except (ActorDown, CallTimeout, CallFailed, MailboxFull) as error:
            self.log.warning("what the account holds is not known: {}", error)
            self._book.out_of_step()
        else:
            if not status.synced:
                self._book.out_of_step()
            self._book.hold(holdings, in_step=status.synced)
            self._set_free(self._watch.look(self._book.of_account))
        finally:
            self._asking = False

    # ── telling ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell_again(self) -> None:
        """What the order queue has on disk needs no telling any more."""
        orders = self._desk.store.table("orders")
        for order_id in list(self._met):
            order: Order | None = orders.get(order_id)
            if order is None or not _waits(order):
                del self._met[order_id]
            else:
                self._untold[order_id] = None
        if not self._pausing:
            self._tell_some()

    def _tell_some(self) -> None:
        """However many orders one price sets free, the mailbox of the order queue has room for them."""
        try:
            for order_id in list(islice(self._untold, AT_ONCE)):
                told = self._met.get(order_id)
                if told is not None:
                    self._desk.orders.tell(told)
                del self._untold[order_id]
        except MailboxFull as error:
            self.log.warning("orders that were met are told again in a moment: {}", error)
        self._pausing = bool(self._untold)
        if self._pausing:
            self.after(PAUSE_S, TellMore())

    @on(TellMore)
    def tell_more(self, _message: TellMore) -> None:
        self._tell_some()

    @on(TellTrails)
    def tell_trails(self, _message: TellTrails) -> None:
        now_ms = self.ctx.clock.wall_ms()
        for order_id, best in self._watch.take_trailed(self._settings.trails_per_s).items():
            try:
                self._desk.orders.tell(TrailMoved(order_id, Trailing(best=best, at_ms=now_ms)))
            except MailboxFull as error:
                self.log.warning("a best price was not stored, the next one will be: {}", error)

    def _count_errors(self) -> None:
        """What cannot be read is logged at once, and people are told when it stays so; see `TriggerSettings`."""
        for figure in self._watch.figures:
            found = self._book.count(figure)
            if found is None:
                continue
            problem, trouble = found
            if trouble.in_a_row == 1:
                self.log.warning("not met by {} orders that wait for it: {}", self._watch.lookers(figure), problem)
            if trouble.in_a_row >= self._settings.errors_to_notice and not trouble.told:
                trouble.told = True
                self._notify(figure, problem)

    def _notify(self, figure: Figure, problem: str) -> None:
        count = self._watch.lookers(figure)
        self._desk.notifier.tell(
            Notify(
                notice_by(
                    self.ctx,
                    Severity.WARNING,
                    "order.condition_unreadable",
                    f"{problem}: {count} order{'s' * (count > 1)} of {self._desk.account} cannot be met while this is so",
                )
            )
        )

    @on(GetConditions)
    def get_conditions(self, message: GetConditions) -> ConditionsSeen | None:
        order_id = message.order_id
        if order_id not in self._watch:
            return ConditionsSeen(order_id=order_id, met=True) if order_id in self._met else None
        best, trigger = self._watch.trailing(order_id)
        seen = tuple(self._seen(sight) for sight in self._watch.sights(order_id))
        return ConditionsSeen(order_id=order_id, met=False, conditions=seen, best=best, trigger=trigger)

    def _seen(self, sight: Sight) -> ConditionSeen:
        look = self._book.look(sight.figure)
        return ConditionSeen(
            condition=sight.condition,
            group=None if sight.group < 0 else sight.group,
            seen=None if look.value is None else shown(sight.figure, look.value),
            met=sight.met,
            age_s=look.age_s,
            stale=look.stale,
            problem=look.problem,
            errors=self._book.errors(sight.figure),
        )


def _waits(order: Order) -> bool:
    """Whether there is something to watch for: it may be that another order must be filled first."""
    linked = order.link is not None and bool(order.link.after)
    wanted = order.state is OrderState.WAITING and order.cancel is CancelState.NONE
    return wanted and order.conditional and not linked
