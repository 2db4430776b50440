"""What is asked of the execution of an account, and what it tells."""

from typing import Any, ClassVar

import msgspec
import pykka

from actors.messages.orders import Accepted
from engine.kernel import Message, Overflow, Request
from engine.model import Denial, ExecutionRequest, Order, Plan


class Planned(msgspec.Struct, frozen=True):
    """The plan is on disk. It will be worked, or end with a reason; it cannot be forgotten."""

    plan_id: str


class Execute(Request[Planned | Accepted | Denial], frozen=True):
    """Work an order in the style it asks for; an immediate one is an ordinary order and answered as such.

    `owner`, if any, is told every update of the plan, and of its orders and fills, while this process lives. The same request
    key twice is one plan.
    """

    request: ExecutionRequest
    owner: pykka.ActorRef[Any] | None = None


class CancelPlan(Request[Planned | Denial], frozen=True):
    """End a plan. Answered once that is on disk; it is over when its last order is."""

    plan_id: str
    reason: str = ""


class CancelPlans(Message, frozen=True):
    """End every plan, or those of one instrument or strategy: their orders were all wanted cancelled."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    instrument: str = ""
    strategy: str = ""
    reason: str = ""


class PlanStatus(msgspec.Struct, frozen=True):
    """A plan as it is known now, and what it waits for."""

    plan: Plan
    waits_for: str = ""


class GetPlan(Request[PlanStatus | None], frozen=True):
    """One plan of the account, over or not."""

    plan_id: str


class GetPlans(Request[tuple[PlanStatus, ...]], frozen=True):
    """Plans at work, and with `ended` the newest of those that are over, `limit` of each at most."""

    ended: bool = False
    limit: int = 100


class PlanUpdate(Message, frozen=True):
    """A plan changed and the change is on disk."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    plan: Plan
    seq: int


class GetOrderByKey(Request[Order | None], frozen=True):
    """The order of the account that was asked for with this key, over or not.

    None: there is none, and whatever was asked before this question was asked in vain.
    """

    request_key: str
