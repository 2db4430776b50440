"""How an order is to be worked: at once, step by step towards the market, or in slices over time."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.errors import ModelError
from engine.model.orders.requests import OrderRequest
from engine.model.terms import OrderType, TimeInForce

MAX_SLICES = 500
MAX_STEPS = 200
MAX_SECONDS = 7 * 86_400.0


class ExecutionStyle(StrEnum):
    """How an order is worked."""

    IMMEDIATE = "immediate"  # an ordinary order, no plan
    PROGRESSIVE = "progressive"  # rest, and move towards the market step by step
    TWAP = "twap"  # slices spread over time


class OnEnd(StrEnum):
    """What becomes of the rest when a plan is at its end."""

    CANCEL = "cancel"
    CROSS = "cross"  # take what the market has, within the order's own price


class Progressive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rest `distance_ticks` behind the best price of the own side; every `step_s` move towards the other side, `max_steps` times.

    A step is `step_ticks`, or `step_fraction` of the way to the other side's best price, and one tick at least. The order's
    price, if it has one, is never passed. Where distance and pace are left open they come from what was learned of earlier
    executions, or from the account's settings while that is too little.
    """

    distance_ticks: int | None = None
    step_s: float | None = None
    step_ticks: int | None = None
    step_fraction: Decimal = Decimal("0.5")
    max_steps: int = 5
    on_end: OnEnd = OnEnd.CANCEL

    def check(self) -> None:
        if self.distance_ticks is not None:
            _within("distance_ticks", self.distance_ticks, 0, 10_000)
        if self.step_s is not None:
            _within("step_s", self.step_s, 0.05, 86_400)
        if self.step_ticks is not None:
            _within("step_ticks", self.step_ticks, 1, 10_000)
        _within("step_fraction", float(self.step_fraction), 0.01, 1)
        _within("max_steps", self.max_steps, 0, MAX_STEPS)


class Twap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Equal slices every `interval_s` for `duration_s`, each moved in time by up to `jitter` of the interval.

    What slices did not fill is added to later ones, at most `catch_up` of a slice to each: a plan that fell behind, by a stop
    of the node for one, does not catch up at once. What is left after `duration_s` is worked on as long again at most.
    `passive` slices rest at the best price of the own side; others take, or rest at the order's price.
    """

    duration_s: float
    interval_s: float
    jitter: float = 0.0
    catch_up: Decimal = Decimal(1)
    passive: bool = False
    on_end: OnEnd = OnEnd.CANCEL

    def check(self) -> None:
        _within("duration_s", self.duration_s, 0.1, MAX_SECONDS / 2)
        _within("interval_s", self.interval_s, 0.1, self.duration_s)
        _within("jitter", self.jitter, 0, 0.5)
        _within("catch_up", float(self.catch_up), 0, 100)
        _within("duration_s / interval_s", self.duration_s / self.interval_s, 1, MAX_SLICES)


class ExecutionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole order, and how it is to be worked. `order.price` of a limit order is the price never to be passed."""

    order: OrderRequest
    style: ExecutionStyle = ExecutionStyle.IMMEDIATE
    progressive: Progressive | None = None
    twap: Twap | None = None

    def check(self) -> None:
        """Raise `ModelError` for the first rule the request breaks that needs no knowledge of the instrument."""
        self.order.check()
        for style, parameters in ((ExecutionStyle.PROGRESSIVE, self.progressive), (ExecutionStyle.TWAP, self.twap)):
            if parameters is not None and self.style is not style:
                raise ModelError(style, f"none for the style {self.style}", "parameters")
        if self.style is ExecutionStyle.IMMEDIATE:
            return
        _check_workable(self.order)
        if self.style is ExecutionStyle.TWAP and self.twap is None:
            raise ModelError("twap", "duration_s and interval_s", "none")
        for parameters in (self.progressive, self.twap):
            if parameters is not None:
                parameters.check()
        if self.order.post_only and self.on_end is OnEnd.CROSS:
            raise ModelError("on_end", "cancel for an order that may only rest", self.on_end)

    @property
    def pacing(self) -> Progressive:
        """The parameters of a progressive order, the usual ones where none were given."""
        return self.progressive or Progressive()

    @property
    def on_end(self) -> OnEnd:
        return self.twap.on_end if self.twap else self.pacing.on_end


def _check_workable(order: OrderRequest) -> None:
    """What an order may ask for that is worked in pieces: the rest would mean something else for each piece."""
    if order.order_type not in (OrderType.LIMIT, OrderType.MARKET):
        raise ModelError("order_type", "limit or market for an order that is worked", order.order_type)
    if order.time_in_force is not TimeInForce.GTC:
        raise ModelError("time_in_force", "gtc for an order that is worked", order.time_in_force)
    if order.plan:
        raise ModelError("plan", "none for an order that is worked", order.plan)
    for field in ("conditions", "any_of", "trail", "auto_cancel_s", "partial_fill", "on_error"):
        if getattr(order, field):
            raise ModelError(field, "none for an order that is worked", "one")
    _within("delay_s", order.delay_s, 0, MAX_SECONDS)
    if order.expires_after_s is not None:
        _within("expires_after_s", order.expires_after_s, 0.1, MAX_SECONDS)


def _within(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # neither is NaN
        raise ModelError(field, f"{low:g} to {high:g}", f"{value:g}")
