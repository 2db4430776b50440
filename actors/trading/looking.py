"""Looking at orders: nothing changes, and what is read is what is stored."""

from collections.abc import Mapping
from typing import Any

import msgspec

from actors.messages import ConditionSeen, ConditionsSeen, GetConditions, GetPlans, GetQueueStatistics
from actors.trading.caller import Caller, Record
from actors.trading.errors import AdvancedOrderError, ConditionEvaluationError, bad_field
from actors.trading.forms import unknown
from actors.trading.history import Filters, filters_of, page_of, record_in, records_of
from actors.trading.metrics import OrderMetrics, metrics_of
from actors.trading.plans import plan_record
from actors.trading.records import fill_record
from actors.trading.statistics import statistics_of, together
from actors.trading.when import condition_text
from engine.model import Order, OrderState

DAY_S = 86_400.0


class Looking(Caller):
    """Long listings come in pages."""

    async def get_order_history(self, filters: Mapping[str, Any] | Filters | None = None) -> Record:
        """`{orders, next}`: records, newest first; see `Filters`. Raises AdvancedOrderError."""
        page = await page_of(self._parts.store, filters_of(filters, self._parts.default_venue))
        return {"orders": await records_of(self._parts.store, page.orders), "next": page.next}

    async def get_queue_statistics(self, account_id: str = "") -> Record:
        """How the order queues stand and what they did since the process began: `{…of all together, accounts: {name: {…}}}`, see
        `QueueStatistics`. Raises AdvancedOrderError.
        """
        asked = list(self._parts.accounts(account_id))
        if account_id and not asked:
            raise unknown(self._parts.account_unknown(account_id))
        found = [await self._call(account.orders, GetQueueStatistics()) for account in asked]
        return together(found) | {"accounts": {one.account: msgspec.structs.asdict(one) for one in found}}

    def get_metrics(self) -> OrderMetrics:
        """Figures of all queues together under the names of a metrics page; asks nobody."""
        return metrics_of((account.figures for account in self._parts.accounts()), self._parts.store)

    async def get_order_statistics(
        self, filters: Mapping[str, Any] | Filters | None = None, period_s: float = 3600.0
    ) -> Record:
        """How the orders of a time fared, by status, account, instrument, direction, strategy and periods of `period_s`. Raises
        AdvancedOrderError.

        Without a `start_time` those of the last day; success, failure and processing time as in `get_queue_statistics`.
        """
        if not 1.0 <= period_s <= 366 * DAY_S:
            raise bad_field("period_s", "1 second to a year", period_s)
        wanted = filters_of(filters, self._parts.default_venue)
        if wanted.start_time is None:
            since_ms = self._parts.clock.wall_ms() - int(DAY_S * 1000)
            wanted = msgspec.structs.replace(wanted, start_time=since_ms)
        return await statistics_of(self._parts.store, wanted, period_s)

    async def review_orders(self) -> list[Record]:
        """Records of the orders that wait for a person, oldest first; `review` says why."""
        orders = [order for order in self._parts.store.live_orders() if order.review]
        return await records_of(self._parts.store, orders)

    async def monitor_order_status(self, order_id: str) -> Record:
        """`{order, fills, waits_for, conditions}`: all there is to know of one order now. Raises AdvancedOrderError.

        `waits_for` says why it has not left; `conditions` is None unless it waits for some, and tells of each what was seen, or in
        `problem` why that cannot be told now.
        """
        order = self._order(order_id)
        fills = [fill_record(fill) for fill in self._parts.store.fills_of(order.order_id)]
        try:
            watched = await self._conditions(order) if order.conditional else None
        except ConditionEvaluationError as error:
            watched = {"order_id": order_id, "met": False, "conditions": [], "best": None, "trigger": None}
            watched["problem"] = error.text
        return {
            "order": record_in(self._parts.store, order),
            "fills": fills,
            "waits_for": waits_for(order, self._parts.clock.wall_ms()),
            "conditions": watched,
        }

    async def get_conditions(self, order_id: str) -> Record:
        """`{met, conditions, best, trigger, problem}` of an order that waits: of each condition what was seen, how old it is, and whether it is met.

        Raises AdvancedOrderError; ConditionEvaluationError when nobody watches for the order.
        """
        order = self._order(order_id)
        if not order.conditional:
            got = f"{order_id}, whose price the venue follows" if order.native_trail else order_id
            raise ConditionEvaluationError("NOT_CONDITIONAL", "order_id", "an order that waits for conditions", got)
        found = await self._conditions(order)
        if found is None:
            raise ConditionEvaluationError("NOT_WATCHED", "order_id", "an order whose conditions are watched", order_id)
        return found

    async def _conditions(self, order: Order) -> Record | None:
        try:
            seen = await self._call(self._holder(order.order_id).triggers, GetConditions(order.order_id))
        except AdvancedOrderError as error:
            raise ConditionEvaluationError(error.code, text=error.text) from error
        return None if seen is None else _seen(seen)

    async def list_plans(self, account_id: str = "", ended: bool = False, limit: int = 100) -> list[Record]:
        """Records of the plans at work, and with `ended` of the newest that are over."""
        found: list[Record] = []
        for account in self._parts.accounts(account_id):
            plans = await self._call(account.execution, GetPlans(ended, limit))
            found += [plan_record(status) for status in plans]
        return found

    async def get_plan(self, plan_id: str) -> Record:
        """The record of one plan. Raises AdvancedOrderError."""
        return await self._plan_record(self._worker(plan_id), plan_id)


def _seen(found: ConditionsSeen) -> Record:
    """In the words of `conditions_of`, with what was seen of each."""
    told = [{"text": condition_text(one.condition), **_told(one)} for one in found.conditions]
    trail = {"best": found.best, "trigger": found.trigger}
    return {"order_id": found.order_id, "met": found.met, "conditions": told, **trail, "problem": ""}


def _told(one: ConditionSeen) -> Record:
    """What was seen."""
    return {name: getattr(one, name) for name in one.__struct_fields__ if name != "condition"}


def waits_for(order: Order, now_ms: int) -> list[str]:
    """Why an order has not left, in words; empty when nothing of its own is in the way."""
    if order.state is not OrderState.WAITING:
        return [f"a person: {order.review}"] if order.review and not order.state.terminal else []
    reasons = {
        f"a person: {order.review}": bool(order.review),
        f"fills of {order.link.after if order.link else ''}": order.link is not None and bool(order.link.after),
        "its conditions": order.met_at_ms is None and bool(order.conditions or order.any_of),
        "its trail": order.met_at_ms is None and order.trail is not None and not order.native_trail,
        f"its time, in {(order.due_at_ms - now_ms) / 1000:.1f} s": order.due_at_ms > now_ms,
    }
    return [reason for reason, is_so in reasons.items() if is_so]
