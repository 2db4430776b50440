"""Taking the venue's word: reports of orders, and fills, from wherever they come."""

from collections.abc import Iterable
from functools import partial

import msgspec

from actors.messages import (
    FillUpdate,
    HearFills,
    VenueWord,
)
from actors.orders.keeper import Keeper
from engine.kernel import on
from engine.model import (
    Fill,
    ModelError,
    Order,
    OrderReport,
    OrderState,
    Severity,
    executed,
    never_acknowledged,
    reported,
)
from engine.store import Put

MAX_SHOWN = 60  # characters of a stranger's text


class Hearing(Keeper):
    """A report or a fill becomes a decision, once; what is old, foreign or absurd changes nothing."""

    @on(VenueWord)
    def venue_word(self, message: VenueWord) -> None:
        for report in message.reports:
            self._hear(report)
        self._hear_fills(message.fills)

    @on(HearFills)
    def hear_fills(self, message: HearFills) -> None:
        self._hear_fills(message.fills)
        reply = self.defer_reply()
        self._ledger.after(partial(reply.send, True))

    def _hear(self, report: OrderReport) -> None:
        order = self._find(report.client_order_id)
        if order is None:
            return  # placed elsewhere
        self._heard_of(order.order_id)
        if _of_another_attempt(order, report.client_order_id):
            if report.state is OrderState.OPEN or report.filled_amount > 0:
                self._stray(order, report.client_order_id, f"is {report.state} at the venue")
            return
        try:
            after = reported(order, report, now_ms=self._now_ms())
        except ModelError as error:
            text = f"{report.client_order_id}: {error}"
            self._notify_once(f"absurd {report.client_order_id}", Severity.ERROR, "venue.absurd", text, order)
            return
        if never_acknowledged(order) and (after.state is OrderState.OPEN or after.filled_amount > order.filled_amount):
            text = f"{report.client_order_id} was {order.state} and is {after.state} at the venue"
            self._notify(Severity.EMERGENCY, "order.revived", text, order)
        self._save_if_new(f"order.{after.state}", order, after)

    def _stray(self, order: Order, client_order_id: str, what: str) -> None:
        """An attempt we did not make, or proved absent, exists: two orders may be live for one. A person must know."""
        text = f"{client_order_id} {what}, and the order's own attempt is {order.attempt}"
        self._notify_once(f"stray {client_order_id}", Severity.EMERGENCY, "order.stray", text, order)

    def _hear_fills(self, fills: Iterable[Fill]) -> None:
        for fill in fills:
            try:
                fill.check()
            except ModelError as error:
                text = f"a fill of {fill.client_order_id[:MAX_SHOWN]!a}: {error}"
                self._notify_once(f"absurd fill {error.field}", Severity.ERROR, "venue.absurd", text, None)
                continue
            if fill.key not in self._unsaved_fills and self._desk.store.table("fills").get(fill.key) is None:
                self._take_fill(fill)

    def _take_fill(self, fill: Fill) -> None:
        self._unsaved_fills.add(fill.key)
        order = self._find(fill.client_order_id)
        fill = msgspec.structs.replace(fill, order_id=order.order_id if order else "")
        self._desk.point("fill.decided")
        put = Put("fills", fill.key, fill)
        if order is None:
            self._filled_elsewhere(fill)
            self._ledger.write(self._commit("fill.external", (put,)), partial(self._told_fill, fill, None))
        elif _of_another_attempt(order, fill.client_order_id):  # the money is real; the order's own fate is another
            self._stray(order, fill.client_order_id, f"filled {fill.amount}")
            self._filled_elsewhere(fill)
            self._ledger.write(self._commit("fill.stray", (put,)), partial(self._told_fill, fill, order))
        else:
            after = executed(
                order,
                price=fill.price,
                amount=fill.amount,
                now_ms=self._now_ms(),
                venue_order_id=fill.venue_order_id,
            )
            self._save("order.fill", after, extra=(put,), told=partial(self._told_fill, fill, after))

    def _told_fill(self, fill: Fill, order: Order | None, seq: int) -> None:
        self._unsaved_fills.discard(fill.key)
        self._desk.point("fill.durable")
        if order is not None:
            self._tell_owner(order, FillUpdate(fill, order, seq))


def _of_another_attempt(order: Order, client_order_id: str) -> bool:
    return order.attempt == 0 or client_order_id != order.client_order_id
