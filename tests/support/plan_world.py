"""A venue and a clock in a few lines, for plans alone: every child is an order that a test fills, loses or refuses."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from engine.model import (
    ExecutionRequest,
    ExecutionStyle,
    Facts,
    Move,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Pace,
    Plan,
    Progressive,
    Quote,
    Side,
    Step,
    Submit,
    Twap,
    Withdraw,
    Worked,
    new_order,
    new_plan,
    next_step,
    part_of,
    taken,
    together,
)
from engine.model.plans.plan import ChosenBy
from tests.support.adversary import PERPETUAL

D = Decimal
RULES = Pace(distance_ticks=0, step_s=5.0, by=ChosenBy.RULES)


def whole(amount: int = 100, *, side: Side = Side.BUY, price: str | None = "50010", **changes: Any) -> OrderRequest:
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    return OrderRequest(
        instrument="sim:PERP",
        side=side,
        amount=D(amount),
        order_type=kind,
        price=None if price is None else D(price),
        **changes,
    )


def progressive(order: OrderRequest | None = None, **parameters: Any) -> ExecutionRequest:
    return ExecutionRequest(
        order=order or whole(), style=ExecutionStyle.PROGRESSIVE, progressive=Progressive(**parameters)
    )


def twap(
    order: OrderRequest | None = None, duration_s: float = 60.0, interval_s: float = 10.0, **parameters: Any
) -> ExecutionRequest:
    return ExecutionRequest(
        order=order or whole(),
        style=ExecutionStyle.TWAP,
        twap=Twap(duration_s=duration_s, interval_s=interval_s, **parameters),
    )


class PlanWorld:
    """One plan, its orders as the queue would know them, and what it may see."""

    def __init__(self, request: ExecutionRequest, *, pace: Pace = RULES, max_life_s: float = 600.0) -> None:
        self.now_ms = 1_000_000
        self.plan: Plan = new_plan(
            request,
            plan_id="n-plan-1",
            account="sim:main",
            now_ms=self.now_ms,
            pace=pace,
            instrument=PERPETUAL,
            max_life_s=max_life_s,
        )
        self.quote: Quote | None = Quote(D("50000"), D("50004"))
        self.orders: dict[str, Order] = {}  # by request key
        self.done: list[Submit | Move | Withdraw] = []
        self.waits_for = ""
        self.roll = 0.5
        self.refuse: Callable[[OrderRequest], bool] = lambda _request: False

    @property
    def order(self) -> Order:
        """The newest child."""
        return list(self.orders.values())[-1]

    @property
    def live(self) -> list[Order]:
        return [order for order in self.orders.values() if not order.state.terminal]

    @property
    def filled(self) -> Decimal:
        return sum((order.filled_amount for order in self.orders.values()), D(0))

    def facts(self) -> Facts:
        child = self.plan.child
        known = {order.order_id: order for order in self.orders.values()}
        worked: Worked = together(map(part_of, self.orders.values()))
        return Facts(
            now_ms=self.now_ms,
            instrument=PERPETUAL,
            quote=self.quote,
            stale="" if self.quote else "the book is stale",
            order=known[child.order_id] if child and child.order_id else None,
            worked=worked,
            roll=self.roll,
        )

    def decide(self) -> Step:
        return next_step(self.plan, self.facts())

    def look(self, *, seconds: float = 0.0) -> None:
        """Let time pass, then do all there is to do."""
        self.now_ms += round(seconds * 1000)
        for _ in range(20):
            step = self.decide()
            changed = step.plan != self.plan
            self.plan, self.waits_for = step.plan, step.waits_for
            if step.do is not None:
                self.done.append(step.do)
                self.do(step.do)
            elif not changed or self.plan.state.terminal:
                return
        raise AssertionError("the plan does not come to rest")

    def do(self, action: Submit | Move | Withdraw) -> None:
        if isinstance(action, Submit):
            self.submit(action.request)
        elif isinstance(action, Move):
            self.change(action.order_id, price=action.price)
        else:
            self.change(action.order_id, state=OrderState.CANCELLED)

    def submit(self, request: OrderRequest) -> None:
        assert not self.live, "two children at once"
        if request.request_key not in self.orders:
            made = new_order(request, order_id=f"n-{len(self.orders) + 1}", account="sim:main", now_ms=self.now_ms)
            made = msgspec.structs.replace(made, state=OrderState.OPEN, attempt=1, venue_order_id="V")
            if self.refuse(request):
                made = msgspec.structs.replace(made, state=OrderState.REJECTED, venue_order_id="", reason="no funds")
            self.orders[request.request_key] = made
        self.plan = taken(self.plan, self.orders[request.request_key].order_id)

    def change(self, order_id: str, **changes: Any) -> None:
        for key, order in self.orders.items():
            if order.order_id == order_id:
                self.orders[key] = msgspec.structs.replace(order, **changes)

    def fill(self, amount: int | None = None) -> None:
        """Of the newest child."""
        order = self.order
        more = order.remaining if amount is None else D(amount)
        filled = order.filled_amount + more
        state = OrderState.FILLED if filled >= order.amount else order.state
        self.change(order.order_id, filled_amount=filled, state=state, average_price=order.price or D(50004))
