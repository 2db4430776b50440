"""Orders worked as many small ones: what their caller writes down, and how they look from outside."""

from collections.abc import Mapping
from typing import Any

import msgspec

from actors.messages import PlanStatus
from actors.trading.errors import bad_field, bad_value
from actors.trading.forms import OrderForm, in_our_words
from actors.trading.records import exact, moment
from engine.model import ZERO, ExecutionRequest, ExecutionStyle, ModelError, OrderRequest, Plan, Progressive, Twap

FIELD = "execution"
_PARAMETERS: dict[ExecutionStyle, type[Progressive | Twap]] = {
    ExecutionStyle.PROGRESSIVE: Progressive,
    ExecutionStyle.TWAP: Twap,
}


def execution_of(form: OrderForm, request: OrderRequest) -> ExecutionRequest:
    """How an order is to be worked: `STYLE`, or `{style, …its parameters}`. Raises AdvancedOrderError naming the field."""
    given = {"style": form.execution} if isinstance(form.execution, str) else dict(form.execution or {})
    style = given.pop("style", "")
    if style not in _PARAMETERS:
        raise bad_field(f"{FIELD}.style", f"one of {', '.join(ExecutionStyle)}", style)
    parameters = _parameters(ExecutionStyle(style), given)
    found = ExecutionRequest(
        order=request,
        style=ExecutionStyle(style),
        progressive=parameters if isinstance(parameters, Progressive) else None,
        twap=parameters if isinstance(parameters, Twap) else None,
    )
    try:
        found.check()
    except ModelError as error:
        raise bad_value(_placed(in_our_words(error))) from error
    return found


def _parameters(style: ExecutionStyle, given: Mapping[str, Any]) -> Progressive | Twap:
    wanted = _PARAMETERS[style]
    for name in given:
        if name not in wanted.__struct_fields__:
            raise bad_field(f"{FIELD}.{name}", f"one of {', '.join(wanted.__struct_fields__)}", "an unknown field")
    try:
        return msgspec.convert(given, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise bad_field(FIELD, f"parameters of the style {style}", error) from error


def _placed(error: ModelError) -> ModelError:
    """Parameters of a style are below `execution`."""
    ours = error.field.partition(" ")[0] in (*Progressive.__struct_fields__, *Twap.__struct_fields__)
    return ModelError(f"{FIELD}.{error.field}", error.expected, error.got) if ours else error


def plan_record(status: PlanStatus) -> dict[str, Any]:
    """The public record of a plan; figures and times as in an order's. `order_ids` are the newest of its orders."""
    plan = status.plan
    order = plan.request.order
    return {
        "plan_id": plan.plan_id,
        "account_id": plan.account,
        "instrument_name": order.instrument,
        "amount": exact(plan.amount),
        "direction": str(order.side),
        "order_type": str(order.order_type),
        "price": exact(order.price),
        "style": str(plan.request.style),
        "parameters": _shown(plan),
        "status": str(plan.state),
        "filled_amount": exact(plan.worked.amount),
        "taken_amount": exact(plan.worked.taken),
        "avg_price": exact(plan.worked.average_price or ZERO),
        "step": plan.step,
        "order_ids": list(plan.order_ids),
        "waits_for": status.waits_for,
        "reason": plan.reason,
        "strategy": order.strategy,
        "created_at": moment(plan.started_at_ms),
        "updated_at": moment(plan.updated_at_ms),
        "expires_at": moment(plan.expires_at_ms),
        "metadata": dict(order.metadata),
    }


def _shown(plan: Plan) -> dict[str, Any]:
    """What is in force, and who chose it."""
    parameters = plan.request.twap or plan.request.progressive
    shown: dict[str, Any] = msgspec.to_builtins(parameters) if parameters else {}
    if plan.pace is not None:
        pace = plan.pace
        shown |= {
            "distance_ticks": pace.distance_ticks,
            "step_s": pace.step_s,
            "chosen_by": str(pace.by),
            "why": pace.why,
        }
    return shown
