"""Cancelling many orders at once."""

from collections.abc import Sequence
from functools import partial

from actors.messages import CancelAll, CancelPlans
from actors.orders.lifecycle import Lifecycle
from engine.kernel import on
from engine.venues.base import VenueError


class Sweeping(Lifecycle):
    """Every order's own cancel is stored, sent and resent until it is answered.

    When everything is to go, the venue's own sweep strikes first: one request that needs no list of ours, and reaches orders we
    do not know of. It proves nothing, so the single cancels follow, a moment later or once it is answered.
    """

    @on(CancelAll)
    def cancel_all(self, message: CancelAll) -> None:
        chosen = [
            order
            for order in self._orders.values()
            if not order.state.terminal
            and message.instrument in ("", order.instrument)
            and message.strategy in ("", order.strategy)
        ]
        live = [order.order_id for order in chosen if order.state.may_be_live]
        everything = not message.instrument and not message.strategy and self._synced and bool(live)
        if everything:
            self._hold_back(live)
        for order in chosen:
            self._want_cancel(order, message.reason)
        self._desk.execution.tell(CancelPlans(message.instrument, message.strategy, message.reason))
        reply = self.defer_reply()
        self._ledger.after(partial(reply.send, len(chosen)))
        if everything:
            self._ledger.after(partial(self._begin_sweep, live))

    def _hold_back(self, live: Sequence[str]) -> None:
        """Single cancels wait for the sweep, and not for long."""
        from_s = self.ctx.clock.monotonic_s() + self._settings.retry_s
        self._not_before_s.update(dict.fromkeys(live, from_s))

    def _begin_sweep(self, live: Sequence[str]) -> None:
        self.spawn(self._sweep, live, name="sweep")

    async def _sweep(self, live: Sequence[str]) -> None:
        try:
            await self._ask("cancel", lambda rest: rest.cancel_everything())
        except VenueError as error:
            self.log.warning("the venue's own sweep is not confirmed: {}", error)
        for order_id in live:
            self._not_before_s.pop(order_id, None)
            self._proceed(order_id)
