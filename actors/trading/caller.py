"""What every function about orders needs: whom to ask, and what a stored order looks like from outside."""

from typing import Any, TypeVar

import msgspec

from actors.messages import Accepted, GetPlan
from actors.parts import AccountParts, NodeParts
from actors.trading.errors import AdvancedOrderError, bad_value, refused, unanswered
from actors.trading.forms import OrderForm, Orderly, order_form, unknown
from actors.trading.history import record_in
from actors.trading.plans import plan_record
from engine.kernel import KernelError, Ref, Request
from engine.model import Denial, ModelError, Order, OrderRequest, instrument_id, split_instrument
from engine.model.text import name as checked_name

R = TypeVar("R")

CALL_TIMEOUT_S = 15.0

Record = dict[str, Any]


class Caller:
    """Orders of a node. With a `strategy` every order is that strategy's own, and it hears what becomes of it."""

    def __init__(self, parts: NodeParts, *, strategy: str = "", timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._parts = parts
        self._strategy = strategy
        self._timeout_s = timeout_s

    def _form(self, given: Orderly, *, at: str = "") -> OrderForm:
        form = order_form(given, at=at)
        return msgspec.structs.replace(form, strategy=self._strategy) if self._strategy else form

    def _addressed(self, form: OrderForm) -> tuple[AccountParts, OrderRequest]:
        """The account it belongs to, and the request with the instrument's full name."""
        request = form.request()
        account = self._parts.account_for(request.instrument, request.account)
        if account is None:
            raise unknown(self._parts.nowhere(request.instrument, request.account))
        full = instrument_id(*split_instrument(request.instrument, self._parts.default_venue))
        return account, msgspec.structs.replace(request, instrument=full)

    def _holder(self, order_id: str) -> AccountParts:
        """The account of a stored order."""
        order = self._order(order_id)
        account = self._parts.account_for(order.instrument, order.account)
        if account is None:
            raise AdvancedOrderError("ACCOUNT_UNKNOWN", "account_id", "an account that is configured", order.account)
        return account

    def _worker(self, plan_id: str) -> AccountParts:
        """The account of a stored plan."""
        try:
            plan = self._parts.store.plan(checked_name(plan_id, "plan_id"))
        except ModelError as error:
            raise bad_value(error) from error
        account = next((one for one in self._parts.accounts() if plan is not None and one.name == plan.account), None)
        if account is None:
            raise AdvancedOrderError("PLAN_NOT_FOUND", "plan_id", "the id of a plan", plan_id)
        return account

    def _order(self, order_id: str) -> Order:
        try:
            order = self._parts.store.order(checked_name(order_id, "order_id"))
        except ModelError as error:
            raise bad_value(error) from error
        if order is None:
            raise AdvancedOrderError("ORDER_UNKNOWN", "order_id", "the id of a stored order", order_id)
        return order

    def _record(self, accepted: Accepted) -> Record:
        return record_in(self._parts.store, self._order(accepted.order_id))

    async def _plan_record(self, account: AccountParts, plan_id: str) -> Record:
        """The plan as its account's execution knows it."""
        status = await self._call(account.execution, GetPlan(plan_id))
        if status is None:
            raise AdvancedOrderError("PLAN_NOT_FOUND", "plan_id", "the id of a plan", plan_id)
        return plan_record(status)

    async def _accepted(self, account: AccountParts, message: Request[Accepted | Denial]) -> Accepted:
        answer = await self._call(account.orders, message)
        if isinstance(answer, Denial):
            raise refused(answer)
        return answer

    async def _call(self, ref: Ref, message: Request[R]) -> R:
        try:
            return await ref.call(message, timeout_s=self._timeout_s)
        except KernelError as error:
            raise unanswered(error) from error
