"""Time passes: delays end, deadlines and lives run out, orders rest for too long, and silence is not trusted."""

from collections.abc import Iterable

from actors.messages import Told
from actors.orders.taking_sets import TakingSets
from engine.model import Fill, Moment, Order, OrderReport, OrderState, gives_up_rest
from engine.venues.base import VenueError

FEW = 4  # orders that are asked for one by one; of more the venue is asked for its list


class Lifecycle(TakingSets):
    """What the settings and an order's own words say of how long it lives (`engine.model.orders.lifecycle`), carried out.

    The private stream is the source of news, and a stream can be deaf without a sign. Its backstop: an open order nothing was
    heard of for `monitoring_interval_s` is asked for, the longest silent first. That costs one question for each of a few
    orders, and one for the list of all open orders, however many, when more are silent: with 500 resting orders one request an
    interval (on Deribit 500 of 100,000 credits in ten seconds, on Binance a weight of 40 of the 400), and what became of any
    of them is known within about an interval.
    """

    _listing = False  # the list is being asked for

    def _durable(self, order: Order) -> None:
        super()._durable(order)
        if order.state is OrderState.OPEN:
            self._give_up_rest(self._current(order))

    def _give_up_rest(self, current: Order) -> None:
        if gives_up_rest(current, self._settings.order_lifecycle):
            self._want_cancel(current, "the rest after a partial fill")

    def _ring(self) -> None:
        """Act on every moment that has come."""
        now_s = self.ctx.clock.monotonic_s()
        for order_id, what in list(self._alarms.ring(now_s)):
            order = self._orders.get(order_id)
            if order is None or order.state.terminal:
                continue
            if order.state is OrderState.WAITING and self._unsaved.get(order_id):
                self._alarms.repeat(order_id, what, now_s + self._settings.tick_s)
            else:
                self._came(order, what)

    def _came(self, order: Order, what: Moment) -> None:
        waiting = order.state is OrderState.WAITING
        if what is Moment.EXPIRES:
            self._expire(order, "expired") if waiting else self._want_cancel(order, "expired")
        elif what is Moment.RESTED:
            if order.state is OrderState.OPEN:
                self._want_cancel(order, "it rested at the venue for as long as it may")
        elif what is not Moment.DEADLINE:
            self._proceed(order.order_id)
        elif waiting and not order.held:
            self._expire(order, "not sent before its deadline")

    # ── the backstop of the private stream ────────────────────────────────────────────────────────────────────────────

    def _monitor(self) -> None:
        if not self._synced or self._stopping or self._listing:
            return  # out of step, the account's own pass asks for everything
        silent = self._silent()
        if len(silent) > FEW:
            self._listing = True
            self.spawn(self._ask_for_all, name="open orders")
            return
        for order in silent:
            if self._has_room("find"):
                self._heard_of(order.order_id)  # asked now: not again before another interval
                self._occupy("find", self._look_for, order)

    def _silent(self) -> list[Order]:
        """Open orders of which nothing was heard for too long, and no more than make a difference."""
        until_s = self.ctx.clock.monotonic_s() - self._settings.order_lifecycle.monitoring_interval_s
        silent: list[Order] = []
        for order_id, heard_s in self._heard_s.items():
            if heard_s > until_s or len(silent) > FEW:
                break
            if order_id not in self._busy and order_id not in self._unsaved and order_id not in self._inquiries:
                silent.append(self._orders[order_id])
        return silent

    async def _ask_for_all(self) -> None:
        asked_at_ms, before = self._now_ms(), list(self._heard_s)
        try:
            reports = await self._ask("find", lambda rest: rest.open_orders())
        except VenueError as error:
            self.log.info("the open orders are not known: {}", error)
        else:
            self._compare(reports, asked_at_ms)
        finally:
            self._listing = False
        for order_id in before:  # answered or not: not again before another interval
            self._heard_of(order_id)

    def _compare(
        self,
        reports: Iterable[OrderReport],
        asked_at_ms: int,
        fills: Iterable[Fill] = (),
        told: Told | None = None,
    ) -> None:
        """Take the venue's list of open orders, asked for at `asked_at_ms`, and look for those of ours that it lacks.

        Fills are of the past: that one is heard now does not mean that its order was there when the list was made.
        """
        quiet = self._quiet_since(asked_at_ms)
        live = set()
        for report in reports:
            live.add(report.client_order_id)
            self._hear(report)
        self._hear_fills(fills, told=told)
        for order_id in quiet:
            order = self._orders.get(order_id)
            if order is None or order.state is not OrderState.OPEN or order.client_order_id in live:
                continue
            if order_id not in self._inquiries:
                self._inquire(order)

    def _quiet_since(self, asked_at_ms: int) -> list[str]:
        """Open orders that did not change since then."""
        now_ms = self._now_ms()
        return [
            order.order_id
            for order in self._orders.values()
            # changed "after now": the wall clock was put back since, and the change was before the question
            if order.state is OrderState.OPEN and not asked_at_ms <= order.updated_at_ms <= now_ms
        ]
