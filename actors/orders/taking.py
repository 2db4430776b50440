"""Taking orders: checked, stored, acknowledged; the same request key twice is one order."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pykka

from actors.messages import Accepted, SubmitBatch, SubmitOrder
from actors.orders.guarding import Guarding
from actors.recorder import StoreUsage
from engine.kernel import on
from engine.model import (
    Denial,
    ModelError,
    Order,
    OrderRequest,
    bad_request,
    check_account,
    denied,
    deny_waiting,
    new_order,
)

MAX_BATCH = 200


def _nothing(_order_id: str) -> None:
    pass


class Taking(Guarding):
    """A refusal is a value; what is accepted is on disk."""

    @on(SubmitOrder)
    def submit(self, message: SubmitOrder) -> None:
        reply = self.defer_reply()
        answer = self._place(message.request, message.owner, lambda order_id: reply.send(Accepted(order_id)))
        if isinstance(answer, Denial):
            reply.send(answer)

    @on(SubmitBatch)
    def submit_batch(self, message: SubmitBatch) -> None:
        """Each as if it were asked for alone, and all that are taken in one group of commits."""
        reply = self.defer_reply()
        if len(message.requests) > MAX_BATCH:
            refusal = denied("BATCH_TOO_LARGE", "requests", f"at most {MAX_BATCH}", str(len(message.requests)))
            reply.send((refusal,) * len(message.requests))
            return
        answers = [self._place(request, message.owner) for request in message.requests]
        said = tuple(answer if isinstance(answer, Denial) else Accepted(answer) for answer in answers)
        self._ledger.after(partial(reply.send, said))

    def _place(
        self, request: OrderRequest, owner: pykka.ActorRef[Any] | None, then: Callable[[str], None] = _nothing
    ) -> str | Denial:
        """The id of the order that is asked for, now or before with the same key; `then` gets it once it is on disk."""
        malformed = self._malformed(request)
        if malformed is not None:
            return malformed
        known = request.request_key and self._known_key(request.request_key)
        if known:
            self._ledger.after(partial(then, known))
            return known
        admitted = self._admitted(request)
        if isinstance(admitted, Denial):
            return admitted
        order = new_order(
            admitted, order_id=self._desk.numbers.next_id(), account=self._desk.account, now_ms=self._now_ms()
        )
        order = self._trailed_where_best(order, admitted)
        self._take(order, owner)
        self._desk.point("accept.decided")
        self._save("order.accepted", order, partial(self._accepted, order, then))
        return order.order_id

    def _accepted(self, order: Order, then: Callable[[str], None]) -> None:
        self._desk.point("accept.durable")
        then(order.order_id)

    def _trailed_where_best(self, order: Order, asked: OrderRequest) -> Order:
        """If it has a trail: with the venue that follows the price for it, where that can."""
        if order.trail is None:
            return order
        why = self._why_trailed_here(order) if asked.native else "so asked for"
        if why:
            self._log_of(order).info("the price is followed here: {}", why)
        return msgspec.structs.replace(order, native_trail=not why)

    def _malformed(self, request: OrderRequest) -> Denial | None:
        """What needs no knowledge of the account's state to be refused."""
        try:
            request.check()
            check_account(request.account, self._desk.account)
        except ModelError as error:
            return bad_request(error)
        return None

    def _admitted(self, request: OrderRequest, *, linked: bool = False) -> OrderRequest | Denial:
        """The request with its instrument's full name, or the first reason not to take it now. `linked`: it leaves only when
        another order is filled.
        """
        instrument = self._instrument(request.instrument)
        refusal = self._closed(request) or self._may_wait(request) or self._deny(request, instrument, linked=linked)
        if refusal is not None or instrument is None:
            return refusal or denied("INSTRUMENT_UNKNOWN", "instrument", "one the venue lists", request.instrument)
        return msgspec.structs.replace(request, instrument=instrument.instrument_id)

    def _may_wait(self, request: OrderRequest) -> Denial | None:
        return deny_waiting(request, self._settings.non_immediate_orders, self._settings.conditional_orders)

    def _take(self, order: Order, owner: pykka.ActorRef[Any] | None) -> None:
        """Whom to tell of it, and what it is asked for by again."""
        if owner is not None:
            self._owners[order.order_id] = owner
        if order.request_key:
            self._keys[order.request_key] = order.order_id

    def _known_key(self, key: str) -> str | None:
        """The order of this account that was asked for with `key`."""
        if key in self._keys:
            return self._keys[key]
        order_id: str
        for _, order_id in self._desk.store.index("orders_by_request").iterate(prefix=(key,)):
            order = self._stored(order_id)
            if order is not None and order.account == self._desk.account:
                return order_id
        return None

    def _closed(self, request: OrderRequest) -> Denial | None:
        """Reasons of the node's own. A store that fills up still has room for what makes positions smaller."""
        if self._stopping:
            return denied("STOPPING", "node", "a node that is not stopping", "stopping")
        if not self._settings.enabled:
            return denied("DISABLED", "enabled", "orders that are turned on for this account", "off")
        if self._store_full and not request.reduce_only:
            return denied("STORE_FULL", "store", "room in the store; only reduce-only orders and cancels pass", "none")
        return None

    @on(StoreUsage)
    def store_usage(self, message: StoreUsage) -> None:
        if message.gate_closed != self._store_full:
            self._store_full = message.gate_closed
            full = f"{message.usage.fraction:.0%}"
            self.log.warning(
                "the store is {} full: new orders are {}", full, "refused" if self._store_full else "taken"
            )
