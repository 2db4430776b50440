"""Taking the venue's word: reports of orders, and fills, from wherever they come."""

from collections.abc import Iterable
from functools import partial

import msgspec

from actors.messages import (
    FillUpdate,
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
    reported,
)
from engine.store import Put

MAX_SEEN_FILLS = 10_000


class Hearing(Keeper):
    """A report or a fill becomes a decision, once; what is old, foreign or absurd changes nothing."""

    @on(VenueWord)
    def venue_word(self, message: VenueWord) -> None:
        for report in message.reports:
            self._hear(report)
        self._hear_fills(message.fills)

    def _hear(self, report: OrderReport) -> None:
        order = self._find(report.client_order_id)
        if order is None or order.attempt == 0:
            return  # placed elsewhere
        if report.client_order_id != order.client_order_id:
            self._stray(order, report)
            return
        try:
            after = reported(order, report, now_ms=self._now_ms())
        except ModelError as error:
            self._notify(Severity.ERROR, "venue.absurd", f"{report.client_order_id}: {error}", order)
            return
        self._save_if_new(f"order.{after.state}", order, after)

    def _stray(self, order: Order, report: OrderReport) -> None:
        """An attempt we proved absent exists after all: two orders may be live for one. A person must know at once."""
        if report.state is OrderState.OPEN or report.filled_amount > 0:
            text = f"{report.client_order_id} is {report.state} at the venue although it was proved absent"
            self._notify(Severity.EMERGENCY, "order.stray", text, order)

    def _hear_fills(self, fills: Iterable[Fill]) -> None:
        for fill in fills:
            if fill.key not in self._seen_fills and self._desk.store.table("fills").get(fill.key) is None:
                self._take_fill(fill)

    def _take_fill(self, fill: Fill) -> None:
        try:
            fill.check()
        except ModelError as error:
            self._notify(Severity.ERROR, "venue.absurd", f"fill {fill.key}: {error}", None)
            return
        self._seen_fills[fill.key] = None
        if len(self._seen_fills) > MAX_SEEN_FILLS:
            del self._seen_fills[next(iter(self._seen_fills))]
        order = self._find(fill.client_order_id)
        fill = msgspec.structs.replace(fill, order_id=order.order_id if order else "")
        self._desk.point("fill.decided")
        put = Put("fills", fill.key, fill)
        if order is None:
            self._ledger.write(self._commit("fill.external", (put,)), partial(self._told_fill, fill, None))
            return
        after = executed(order, price=fill.price, amount=fill.amount, now_ms=self._now_ms())
        self._save("order.fill", after, extra=(put,), told=partial(self._told_fill, fill, after))

    def _told_fill(self, fill: Fill, order: Order | None, seq: int) -> None:
        self._desk.point("fill.durable")
        if order is not None:
            self._tell_owner(order, FillUpdate(fill, order, seq))
