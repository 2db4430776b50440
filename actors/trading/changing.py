"""Changing orders that are there, and the figures some of them wait for."""

from actors.messages import AmendOrder, CancelOrder, CancelPlan, PublishFigure, ResolveOrder, Verdict
from actors.trading.caller import Caller, Record
from actors.trading.errors import bad_field, bad_value, refused
from actors.trading.forms import Figure, figure
from engine.model import Denial, ModelError
from engine.model.text import name as checked_name


class Changing(Caller):
    """Every change is stored before it is answered."""

    async def cancel_order(self, order_id: str, reason: str = "manual") -> Record:
        """Want it cancelled: stored, and resent until the venue answers. Its record. Raises AdvancedOrderError."""
        account = self._holder(order_id)
        return self._record(await self._accepted(account, CancelOrder(order_id, reason)))

    async def amend_order(self, order_id: str, amount: Figure | None = None, price: Figure | None = None) -> Record:
        """New absolute values for an open order; None keeps one. Its record. Raises AdvancedOrderError."""
        if amount is None and price is None:
            raise bad_field("amount", "a new amount, a new price or both", "neither")
        account = self._holder(order_id)
        message = AmendOrder(order_id, figure(amount, "amount"), figure(price, "price"))
        return self._record(await self._accepted(account, message))

    async def resolve_order(self, order_id: str, verdict: str, note: str = "") -> Record:
        """Decide about an order that waits for a person: `retry`, `close` or `ask` (see `Verdict`). Its record. Raises AdvancedOrderError."""
        if verdict not in list(Verdict):
            raise bad_field("verdict", f"one of {', '.join(Verdict)}", verdict)
        account = self._holder(order_id)
        return self._record(await self._accepted(account, ResolveOrder(order_id, Verdict(verdict), note)))

    async def cancel_plan(self, plan_id: str, reason: str = "manual") -> Record:
        """End a plan; it is over when the order it has at the venue is. Its record. Raises AdvancedOrderError."""
        account = self._worker(plan_id)
        answer = await self._call(account.execution, CancelPlan(plan_id, reason))
        if isinstance(answer, Denial):
            raise refused(answer)
        return await self._plan_record(account, plan_id)

    def publish_figure(self, name: str, value: Figure) -> None:
        """A figure of one's own, for conditions of type `custom` of every account. Raises AdvancedOrderError."""
        try:
            checked_name(name, "name")
        except ModelError as error:
            raise bad_value(error) from error
        exact = figure(value, "value")
        if exact is None:
            raise bad_field("value", "a number", value)
        for account in self._parts.accounts():
            account.triggers.tell(PublishFigure(name, exact))
