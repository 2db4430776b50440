"""Taking orders that depend on each other: all of a set is taken, in one commit, or nothing of it."""

from functools import partial

import msgspec

from actors.messages import AcceptedLinked, SubmitLinked
from actors.orders.taking import Taking
from engine.kernel import Reply, on
from engine.model import (
    Denial,
    LinkedRequest,
    ModelError,
    Order,
    as_native,
    bad_request,
    denied,
    is_native,
    linked_orders,
    set_of,
    waits_for_entry,
    why_kept_here,
)


class TakingSets(Taking):
    """Each order of a set passes the checks of a single one. The first one's request key is the key of the whole set."""

    @on(SubmitLinked)
    def submit_linked(self, message: SubmitLinked) -> AcceptedLinked | Denial | None:
        asked = LinkedRequest(
            kind=message.kind,
            exits=message.exits,
            entry=message.entry,
            releases_at=message.releases_at,
            cancels_at=message.cancels_at,
            native=message.native,
        )
        malformed = self._malformed_set(asked)
        if malformed is not None:
            return malformed
        known = asked.request_key and self._known_key(asked.request_key)
        if known:
            return self._again(asked, known)
        admitted = self._admitted_set(asked)
        if isinstance(admitted, Denial):
            return admitted
        orders = linked_orders(
            admitted,
            order_ids=[self._desk.numbers.next_id() for _ in admitted.orders],
            account=self._desk.account,
            now_ms=self._now_ms(),
            exit_failed=self._settings.links.exit_failed,
        )
        orders = self._kept_where_best(orders, admitted)
        for order in orders:
            self._take(order, message.owner)
        self._desk.point("linked.decided")
        self._save_all("order.linked", orders, partial(self._accepted_set, orders, self.defer_reply()))
        return None

    def _malformed_set(self, asked: LinkedRequest) -> Denial | None:
        try:
            asked.check()
        except ModelError as error:
            return bad_request(error)
        return next(filter(None, map(self._malformed, asked.orders)), None)

    def _again(self, asked: LinkedRequest, order_id: str) -> Denial | None:
        """The key was used: for a set of this kind, which is the answer again, or for something else."""
        leader = self._orders.get(order_id) or self._stored(order_id)
        order_ids = set_of(leader) if leader is not None else ()
        if leader is None or leader.link is None or leader.link.kind is not asked.kind or not order_ids:
            return denied("REQUEST_KEY_USED", "request_key", f"one that is new or of a {asked.kind}", asked.request_key)
        reply = self.defer_reply()
        self._ledger.after(partial(reply.send, AcceptedLinked(leader.link.group, order_ids, leader.link.native)))
        return None

    def _kept_where_best(self, orders: tuple[Order, ...], asked: LinkedRequest) -> tuple[Order, ...]:
        """With the venue that keeps what binds them, where that can."""
        why = "" if asked.native else "so asked for"
        why = why or why_kept_here(asked, self._settings.links.exit_failed) or self._why_linked_here(as_native(orders))
        if not why:
            return as_native(orders)
        self._log_of(orders[0]).info("what binds the set is kept here: {}", why)
        pairs = zip(orders, asked.orders, strict=True)
        return tuple(self._trailed_where_best(order, request) for order, request in pairs)

    def _admitted_set(self, asked: LinkedRequest) -> LinkedRequest | Denial:
        admitted = []
        for request in asked.orders:
            order = self._admitted(request, linked=asked.entry is not None and request is not asked.entry)
            if isinstance(order, Denial):
                return order
            admitted.append(order)
        entry = admitted.pop(0) if asked.entry is not None else None
        return msgspec.structs.replace(asked, entry=entry, exits=tuple(admitted))

    def _accepted_set(self, orders: tuple[Order, ...], reply: Reply[AcceptedLinked | Denial]) -> None:
        self._desk.point("linked.durable")
        order_ids = tuple(order.order_id for order in orders)
        reply.send(AcceptedLinked(orders[0].order_id, order_ids, is_native(orders[0])))
        for order in orders:
            if not waits_for_entry(order):
                self._let_go(order)
