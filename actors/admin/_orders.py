"""Methods that look at orders and plans through `actors.trading`, and end plans."""

from typing import Any

import msgspec

from actors.admin._desk import Desk, Limit, Method, Nothing, OrderId, Text
from actors.admin._look import DEFAULT_LIMIT, Listing
from actors.trading import Filters, OrderMetrics

Record = dict[str, Any]


class One(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    order_id: OrderId


class Stats(Filters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Figures of the orders that pass the filters, those of the last day unless a time is said, and in periods of `period_s`."""

    period_s: float = 3600.0


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one account, in full or without its venue, or of all."""

    account_id: Text = ""


class Plans(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Those at work, and with `all` the newest that are over."""

    account: Text = ""
    all: bool = False
    limit: Limit = DEFAULT_LIMIT


class OnePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    plan_id: Text


class CancelPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    plan_id: Text
    reason: Text = ""


async def history(desk: Desk, filters: Filters) -> Record:
    return await desk.trading.get_order_history(filters)


async def stats(desk: Desk, params: Stats) -> Record:
    return await desk.trading.get_order_statistics(params, params.period_s)


async def queue(desk: Desk, params: Queue) -> Record:
    return await desk.trading.get_queue_statistics(params.account_id)


async def metrics(desk: Desk, _: Nothing) -> OrderMetrics:
    return desk.trading.get_metrics()


async def review(desk: Desk, _: Nothing) -> Listing[Record]:
    return Listing(await desk.trading.review_orders(), more=False)


async def monitor(desk: Desk, params: One) -> Record:
    return await desk.trading.monitor_order_status(params.order_id)


async def conditions(desk: Desk, params: One) -> Record:
    return await desk.trading.get_conditions(params.order_id)


async def plan_list(desk: Desk, params: Plans) -> Listing[Record]:
    return Listing(await desk.trading.list_plans(params.account, params.all, params.limit), more=False)


async def plan_show(desk: Desk, params: OnePlan) -> Record:
    return await desk.trading.get_plan(params.plan_id)


async def plan_cancel(desk: Desk, params: CancelPlan) -> Record:
    return await desk.trading.cancel_plan(params.plan_id, params.reason or "by hand")


METHODS = {
    "order.history": Method(Filters, history),
    "order.stats": Method(Stats, stats),
    "order.queue": Method(Queue, queue),
    "order.metrics": Method(Nothing, metrics),
    "order.review": Method(Nothing, review),
    "order.monitor": Method(One, monitor),
    "order.conditions": Method(One, conditions),
    "plan.list": Method(Plans, plan_list),
    "plan.show": Method(OnePlan, plan_show),
    "plan.cancel": Method(CancelPlan, plan_cancel),
}
