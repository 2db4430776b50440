"""The limits of the account, before an order is taken and before it is sent."""

from actors.orders.linking import Linking
from engine.model import Denial, Fill, Instrument, Order, OrderRequest, deny_order


class Guarding(Linking):
    """What the account holds and has resting is followed here, to judge orders by."""

    def _deny(self, request: OrderRequest, instrument: Instrument | None) -> Denial | None:
        """The first reason of the limits not to take this order."""
        return deny_order(
            request,
            instrument,
            limits=self._settings.limits,
            gate=self._gate,
            waiting=sum(map(len, self._queues.values())),
            live=len(self._orders),
            mark=self._mark(request.instrument),
        )

    def _may_leave(self, order: Order) -> Denial | None:
        return None

    def _may_cancel(self) -> bool:
        return True

    def _follow(self, before: Order | None, after: Order) -> None:
        """Nothing is counted yet."""

    def _filled_elsewhere(self, fill: Fill) -> None:
        """Nothing is counted yet."""
