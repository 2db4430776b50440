"""Orders on our account that were placed by nobody here: watched, shown, told of once, and never touched."""

from collections.abc import Iterable

from actors._discrepancies import discrepancy_id, put_of, settled
from actors.account.desk import AccountDesk
from actors.account.holdings import Holder
from engine.model import (
    Discrepancy,
    DiscrepancyKind,
    ExternalOrder,
    OrderReport,
    OrderState,
    order_id_of,
    plain,
)
from engine.store import Change, Delete, Put

MAX_ENDED = 1000
AT_ONCE = "market"  # the venue's word for an order that never rests


class Watcher(Holder):
    """An order is ours if its client id names a store's order, or any order of a node part the store ever had, or if the venue's
    id is one of our live orders'."""

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__(desk)
        self._strangers: dict[str, ExternalOrder] = {}  # by the venue's id
        self._ended_ms: dict[str, int] = {}  # when the stream told their end, by the venue's id, the newest last

    def _recall_strangers(self) -> None:
        rows = self._desk.store.table("external_orders").iterate()
        self._strangers = {row.venue_order_id: row for _, row in rows if row.account == self._desk.account}

    def _heard_reports(self, reports: Iterable[OrderReport]) -> None:
        """News of the stream."""
        for report in self._foreign(reports):
            if report.state is OrderState.OPEN:
                self._watch(report)
            else:
                self._ended_ms[report.venue_order_id] = self._now_ms()
                self._forget_end()
                self._end(report.venue_order_id, f"{report.state} at the venue")

    def _take_reports(self, live: Iterable[OrderReport], asked_at_ms: int) -> None:
        """All that were live when the venue was asked, at `asked_at_ms` or later."""
        there = {report.venue_order_id: report for report in self._foreign(live)}
        for venue_order_id, report in there.items():
            if self._ended_ms.get(venue_order_id, -1) < asked_at_ms:
                self._watch(report)
        for venue_order_id, known in list(self._strangers.items()):
            if venue_order_id not in there and known.updated_at_ms < asked_at_ms:
                self._end(venue_order_id, "not live at the venue any more")

    def _foreign(self, reports: Iterable[OrderReport]) -> list[OrderReport]:
        unknown = [report for report in reports if not self._placed_here(report.client_order_id)]
        if not unknown:
            return []
        ours = {order.venue_order_id for order in self._desk.store.live_orders(self._desk.account)}
        return [report for report in unknown if report.venue_order_id not in ours]

    def _placed_here(self, client_order_id: str) -> bool:
        order_id = order_id_of(client_order_id)
        if order_id is None:
            return False
        part, orders = order_id.partition("-")[0], self._desk.store.table("orders")
        if part == self._desk.store.node_part or orders.get(order_id) is not None:
            return True
        return next(orders.iterate(prefix=f"{part}-", limit=1), None) is not None

    def _watch(self, report: OrderReport) -> None:
        known = self._strangers.get(report.venue_order_id)
        if report.order_type == AT_ONCE:
            return  # what it does is told by its fills
        if known is not None and (known.report == report or report.updated_at_ms < known.report.updated_at_ms):
            return
        now_ms = self._now_ms()
        order = ExternalOrder(
            account=self._desk.account,
            venue_order_id=report.venue_order_id,
            report=report,
            first_seen_at_ms=known.first_seen_at_ms if known else now_ms,
            updated_at_ms=now_ms,
        )
        if not self._sane(order):
            return
        self._strangers[order.venue_order_id] = order
        self._tell("account.external", [] if known else [_discrepancy(order)], Put("external_orders", order.key, order))

    def _end(self, venue_order_id: str, how: str) -> None:
        order = self._strangers.pop(venue_order_id, None)
        if order is None:
            return
        changes: list[Change] = [Delete("external_orders", order.key)]
        told = self._desk.store.table("discrepancies").get(_id(order))
        if told is None and _id(order) in self._telling:
            told = _discrepancy(order)
        if told is not None and told.settled_at_ms is None:
            changes.append(put_of(settled(told, now_ms=self._now_ms(), note=how)))
        self._write("account.external", *changes)

    def _forget_end(self) -> None:
        while len(self._ended_ms) > MAX_ENDED:
            del self._ended_ms[next(iter(self._ended_ms))]


def _id(order: ExternalOrder) -> str:
    return discrepancy_id(order.account, DiscrepancyKind.ORDER_EXTERNAL, order.venue_order_id)


def _discrepancy(order: ExternalOrder) -> Discrepancy:
    report = order.report
    price = "" if report.price is None else f" at {plain(report.price)}"
    return Discrepancy(
        discrepancy_id=_id(order),
        account=order.account,
        kind=DiscrepancyKind.ORDER_EXTERNAL,
        subject=order.venue_order_id,
        expected="no order but ours",
        got=f"{report.side} {plain(report.amount)} {report.instrument}{price} ({report.order_type})",
        action="watched and not touched",
        review=True,
        found_at_ms=order.first_seen_at_ms,
    )
