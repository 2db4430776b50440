"""How a decision gets to disk before anyone sees it."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from actors.messages import (
    Notify,
    OrderUpdate,
    ask_venue,
)
from actors.orders.memory import Memory
from engine.model import (
    Denial,
    Fill,
    Instrument,
    Order,
    OrderRequest,
    OrderState,
    Severity,
)
from engine.store import Change, Commit, Put


class Keeper(Memory):
    """Disk. The layers above decide; every decision goes through `_save`."""

    def _save_if_new(self, kind: str, before: Order, after: Order) -> None:
        if msgspec.structs.replace(after, updated_at_ms=before.updated_at_ms) != before:
            self._save(kind, after)

    def _save(
        self,
        kind: str,
        order: Order,
        then: Callable[[], None] | None = None,
        *,
        extra: tuple[Change, ...] = (),
        told: Callable[[int], None] | None = None,
        note: str = "",
    ) -> None:
        """Remember `order`, commit it, and when it is durable tell its owner, run `then`, and start what it
        needs next.
        """
        self._remember(order)
        commit = self._commit(kind, (Put("orders", order.order_id, order), *extra), note)
        self._ledger.write(commit, partial(self._saved, order, then, told))

    def _save_all(
        self,
        kind: str,
        orders: Sequence[Order],
        then: Callable[[], None] | None = None,
        *,
        extra: tuple[Change, ...] = (),
    ) -> None:
        """As `_save`, for orders that change together: one commit has all of them or none."""
        for order in orders:
            self._remember(order)
        puts = (Put("orders", order.order_id, order) for order in orders)
        self._ledger.write(self._commit(kind, (*puts, *extra)), partial(self._saved_all, tuple(orders), then))

    def _put_up(self, order: Order, kind: str, text: str) -> None:
        """Save an order that is up for review, with what people must hear of it: one is not on disk without the other."""
        notice = self._notice(Severity.EMERGENCY, kind, text, order)

        def told() -> None:
            self._desk.point("review.durable")
            self._desk.notifier.tell(Notify(notice))

        self._save("order.review", order, told, extra=(Put("notices", notice.notice_id, notice),))

    def _saved_all(self, orders: tuple[Order, ...], then: Callable[[], None] | None, seq: int) -> None:
        for order in orders:
            self._saved(order, None, None, seq)
        if then is not None:
            then()

    def _saved(
        self, order: Order, then: Callable[[], None] | None, told: Callable[[int], None] | None, seq: int
    ) -> None:
        order_id = order.order_id
        self._unsaved[order_id] -= 1
        if not self._unsaved[order_id]:
            del self._unsaved[order_id]
        if order.state not in (OrderState.WAITING, OrderState.SUBMITTING):
            self._desk.point("answer.durable")
        self._tell_owner(order, OrderUpdate(order, seq))
        if told is not None:
            told(seq)
        if then is not None:
            then()
        self._durable(order)
        if self._current(order).state.terminal and order_id not in self._unsaved:
            self._forget(order)
        else:
            self._proceed(order_id)
        self._pump()

    def _remember(self, order: Order) -> None:
        """A decision: `order` is what is known of it from here on. Its commit follows."""
        before = self._orders.get(order.order_id) or (self._stored(order.order_id) if order.attempt else None)
        self._follow(before, order)
        self._desk.figures.follow(self._orders.get(order.order_id), order)
        self._note(order)
        self._unsaved[order.order_id] = self._unsaved.get(order.order_id, 0) + 1

    def _recall(self, order: Order) -> None:
        """What an earlier incarnation left."""
        self._follow(None, order)
        self._note(order)

    def _commit(self, kind: str, changes: tuple[Change, ...], note: str = "") -> Commit:
        return Commit(kind, changes, note=note, actor=self.ctx.path)

    async def _ask(self, what: str, do: Callable[[Any], Any]) -> Any:
        return await ask_venue(
            self._desk.session,
            what,
            do,
            account=self._desk.account,
            timeout_s=self._settings.request_timeout_s,
            urgent=what != "find",
        )

    # ── what the layers above do with it ──────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _proceed(self, order_id: str) -> None:
        """Start the request this order needs next, if it needs one and none is under way."""

    @abstractmethod
    def _durable(self, order: Order) -> None:
        """`order` is on disk as it is now: see what that means for others."""

    @abstractmethod
    def _follow(self, before: Order | None, after: Order) -> None:
        """What is resting and held changes with every order's change. No `before`: it is followed from here on."""

    @abstractmethod
    def _filled_elsewhere(self, fill: Fill) -> None:
        """An execution that belongs to no order's present attempt."""

    @abstractmethod
    def _may_leave(self, order: Order) -> Denial | None:
        """The limits' last word before an attempt. What is in `PASSING` passes with time: it waits."""

    @abstractmethod
    def _deny_amend(self, order: Order, amended: OrderRequest, instrument: Instrument) -> Denial | None:
        """The first reason of the limits not to make `order` what `amended` describes."""

    @abstractmethod
    def _may_cancel(self) -> bool:
        """Whether the rate allows one more cancel now; asking takes it. If not, it waits: a cancel is never refused."""

    @abstractmethod
    def _pump(self) -> None:
        """Send what may be sent, in order."""

    @abstractmethod
    def _check_quiet(self) -> None:
        """Nothing may be in flight any more: whoever waits for that may have to be told."""
