"""Taking the venue's word: reports of orders, and fills, from wherever they come."""

from collections.abc import Iterable
from functools import partial

import msgspec

from actors._discrepancies import discrepancy_id
from actors.messages import (
    FillUpdate,
    HearFills,
    Told,
    VenueWord,
)
from actors.orders.booking import Booked
from actors.orders.differing import Found
from actors.orders.stating import Stating
from engine.kernel import on
from engine.model import (
    Discrepancy,
    DiscrepancyKind,
    Fill,
    ModelError,
    Order,
    OrderReport,
    OrderState,
    Severity,
    executed,
    never_acknowledged,
    plain,
    reported,
)
from engine.store import Put

MAX_SHOWN = 60  # characters of a stranger's text


class Hearing(Stating):
    """A report or a fill becomes a decision, once; what is old, foreign or absurd changes nothing."""

    @on(VenueWord)
    def venue_word(self, message: VenueWord) -> None:
        for report in message.reports:
            self._hear(report)
        self._hear_fills(message.fills)

    @on(HearFills)
    def hear_fills(self, message: HearFills) -> None:
        self._hear_fills(message.fills, told=message.told)
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

    def _hear_fills(self, fills: Iterable[Fill], *, told: Told | None = None) -> None:
        """`told`: they are of a pass, and the private stream should have told those of that time before."""
        news: dict[str, Fill] = {}
        for fill in fills:
            try:
                fill.check()
            except ModelError as error:
                text = f"a fill of {fill.client_order_id[:MAX_SHOWN]!a}: {error}"
                self._notify_once(f"absurd fill {error.field}", Severity.ERROR, "venue.absurd", text, None)
                continue
            if fill.key not in self._unsaved_fills and self._desk.store.table("fills").get(fill.key) is None:
                news.setdefault(fill.key, self._of_its_order(fill))
        self._book_ahead(tuple(news.values()))
        for fill in news.values():
            self._take_fill(fill, missed=told is not None and told.since_ms <= fill.filled_at_ms <= told.until_ms)

    def _of_its_order(self, fill: Fill) -> Fill:
        order = self._find(fill.client_order_id)
        return msgspec.structs.replace(fill, order_id=order.order_id if order else "")

    def _take_fill(self, fill: Fill, *, missed: bool = False) -> None:
        self._unsaved_fills.add(fill.key)
        order = self._find(fill.client_order_id)
        self._desk.point("fill.decided")
        booked = self._book_fill(fill)
        found = self._odd(fill, missed=missed)
        extra = (Put("fills", fill.key, fill), *booked.changes, *found.changes)
        if order is None:
            self._filled_elsewhere(fill)
            then = partial(self._told_fill, fill, None, booked, found)
            self._ledger.write(self._commit("fill.external", extra, booked.note), then)
        elif _of_another_attempt(order, fill.client_order_id):  # the money is real; the order's own fate is another
            self._stray(order, fill.client_order_id, f"filled {fill.amount}")
            self._filled_elsewhere(fill)
            then = partial(self._told_fill, fill, order, booked, found)
            self._ledger.write(self._commit("fill.stray", extra, booked.note), then)
        else:
            after = executed(
                order,
                price=fill.price,
                amount=fill.amount,
                now_ms=self._now_ms(),
                venue_order_id=fill.venue_order_id,
            )
            then = partial(self._told_fill, fill, after, booked, found)
            self._save("order.fill", after, extra=extra, told=then, note=booked.note)

    def _odd(self, fill: Fill, *, missed: bool) -> Found:
        """What people should know of a fill beside that it happened."""
        what = f"{plain(fill.amount)} {fill.instrument} {fill.side} at {plain(fill.price)}"
        found = []
        if not fill.order_id and fill.filled_at_ms >= self._begun_ms:
            got = f"{what}, by order {fill.venue_order_id[:MAX_SHOWN]} of somebody else"
            found.append(self._of_fill(DiscrepancyKind.FILL_EXTERNAL, fill, "trades of this node alone", got))
        if missed:
            expected = "the private stream to tell it"
            found.append(self._of_fill(DiscrepancyKind.FILL_MISSED, fill, expected, f"{what}, found by asking"))
        return self._found_now(found)

    def _of_fill(self, kind: DiscrepancyKind, fill: Fill, expected: str, got: str) -> Discrepancy:
        return Discrepancy(
            discrepancy_id=discrepancy_id(fill.account, kind, fill.instrument, fill.trade_id),
            account=fill.account,
            kind=kind,
            subject=fill.trade_id,
            expected=expected,
            got=got,
            action="it is booked",
            review=kind is DiscrepancyKind.FILL_EXTERNAL,
            found_at_ms=self._now_ms(),
        )

    def _told_fill(self, fill: Fill, order: Order | None, booked: Booked, found: Found, seq: int) -> None:
        self._unsaved_fills.discard(fill.key)
        self._desk.point("fill.durable")
        self._saved_books(booked.keys)
        self._tell_found(found)
        if order is not None:
            self._tell_owner(order, FillUpdate(fill, order, seq))


def _of_another_attempt(order: Order, client_order_id: str) -> bool:
    return order.attempt == 0 or client_order_id != order.client_order_id
