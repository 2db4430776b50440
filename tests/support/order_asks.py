"""Asking an order queue for orders, in tests of it."""

from decimal import Decimal
from typing import Any

from actors.messages import Accepted, SubmitOrder
from engine.model import Condition, ConditionType, Denial, Operator, OrderRequest, Side
from tests.support.adversary import PERPETUAL
from tests.support.order_rig import Rig


def a_request(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "instrument": PERPETUAL.instrument_id,
        "side": Side.BUY,
        "amount": Decimal(10),
        "price": Decimal(50_000),
        "good_for_s": 600.0,
    }
    return OrderRequest(**{**fields, **changes})


async def place(rig: Rig, **changes: Any) -> str:
    answer = await rig.orders.call(SubmitOrder(a_request(**changes)), timeout_s=10)
    assert isinstance(answer, Accepted), answer
    return answer.order_id


async def refused(rig: Rig, **changes: Any) -> Denial:
    answer = await rig.orders.call(SubmitOrder(a_request(**changes)), timeout_s=10)
    assert isinstance(answer, Denial), answer
    return answer


#: Never true by itself: nobody publishes the figure.
NEVER = Condition(type=ConditionType.CUSTOM, operator=Operator.ABOVE, value=1, field="nobody")
