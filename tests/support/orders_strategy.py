"""A strategy that places orders of every kind through its own door, and notes what it heard."""

from decimal import Decimal
from typing import Any, ClassVar

from actors.messages import Accepted, AcceptedLinked, FillUpdate, Planned, SubmitLinked
from actors.strategy import Strategy, StrategyParams
from engine.model import (
    Denial,
    ExecutionRequest,
    ExecutionStyle,
    LinkKind,
    Order,
    OrderRequest,
    OrderType,
    Plan,
    Side,
    Twap,
)
from engine.venues.base import Applied


class OrdersParams(StrategyParams, frozen=True, kw_only=True, tag="every_kind_of_order"):
    instrument: str


class EveryKind(Strategy):
    """Every life of it is in `lives`, the newest last. It begins to trade once there is a price, in its first life alone."""

    Params = OrdersParams
    params: OrdersParams
    lives: ClassVar[list["EveryKind"]] = []

    async def started(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.states: dict[str, list[str]] = {}
        self.sets: list[AcceptedLinked | Denial] = []
        self.plans: list[str] = []
        self.fills = 0
        self.follow(self.params.instrument, Applied.BOOK | Applied.TICKER)
        self.lives.append(self)

    def price(self, share: str) -> Decimal:
        """A whole price, `share` of the best bid."""
        best = self.market(self.params.instrument).book.best_bid()
        assert best is not None, "asked for once there is a price"
        return Decimal(int(Decimal(repr(best[0])) * Decimal(share)))

    def trade(self) -> None:
        """Begin: what waits in a task, what does not at once."""
        self.spawn(self._ask)
        exit_ = self._order(side=Side.SELL, price=self.price("1.05"), reduce_only=True)
        self.submit_linked(LinkKind.OTO, [exit_], self._order(price=self.price("0.95")))
        self.submit_many([self._order(price=self.price("0.94")), self._order(price=self.price("0.93"))])
        order = self._order(order_type=OrderType.MARKET)
        twap = Twap(duration_s=0.4, interval_s=0.2)
        self.execute(ExecutionRequest(order=order, style=ExecutionStyle.TWAP, twap=twap))

    async def _ask(self) -> None:
        name, trading = self.params.instrument, self.trading
        self.records["now"] = await trading.submit_advanced_order(name, 20, "buy", "market", execute_immediately=True)
        self.records["when"] = await trading.create_conditional_order(
            name, "10", "buy", ["figure.mood>=1"], price=self.price("0.96")
        )

    def _order(self, **changes: Any) -> OrderRequest:
        fields: dict[str, Any] = {"instrument": self.params.instrument, "side": Side.BUY, "amount": Decimal(20)}
        return OrderRequest(**fields | changes)

    def answered(self, request: OrderRequest, answer: Accepted | Denial) -> None:
        assert isinstance(answer, Accepted), answer

    def answered_set(self, request: SubmitLinked, answer: AcceptedLinked | Denial) -> None:
        self.sets.append(answer)

    def answered_plan(self, request: ExecutionRequest, answer: Planned | Accepted | Denial) -> None:
        assert isinstance(answer, Planned), answer

    def plan_changed(self, plan: Plan) -> None:
        self.plans.append(str(plan.state))

    def order_changed(self, order: Order) -> None:
        self.states.setdefault(order.order_id, []).append(str(order.state))

    def filled(self, update: FillUpdate) -> None:
        self.fills += 1
