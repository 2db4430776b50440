"""A market that moves by itself: the exchange, the prices that drive it and the flow that trades in it, in steps of time."""

from collections.abc import Mapping
from decimal import Decimal
from heapq import heapify, heapreplace

from engine.kernel import Entropy
from engine.simulator.exchange import Exchange
from engine.simulator.flow import Flow, FlowStyle
from engine.simulator.prices import PricePath
from engine.simulator.risk import watch_margins

__all__ = ["Simulation"]

DAY_MS = 86_400_000
SETTLEMENT_MS = 8 * 3_600_000
CATCH_UP_MS = 5_000


class Simulation:
    """Advances in steps of `step_ms`; each step moves a share of the instruments' flows, so that the load is spread
    evenly and a step costs what it moves, however many instruments there are.

    An index may be driven by the path of another: `paths` maps an index name to its path. `settles_daily`: whether
    session profits are booked and day orders end at 08:00 UTC.
    """

    def __init__(
        self,
        exchange: Exchange,
        paths: Mapping[str, PricePath],
        styles: Mapping[str, FlowStyle],
        entropy: Entropy,
        *,
        step_ms: int = 50,
        settles_daily: bool = True,
    ) -> None:
        self.exchange = exchange
        self._paths = paths
        self._flows = [Flow(exchange, name, style, entropy.fork(name)) for name, style in styles.items()]
        start = exchange.now_ms
        # (when it moves next, its place among the flows): equal times move in the order of the styles.
        self._due = [(start + place * step_ms % flow.period_ms, place) for place, flow in enumerate(self._flows)]
        heapify(self._due)
        self._settle_ms = next_settlement(start) if settles_daily else None
        self.settled_ms: int | None = None

    @property
    def next_due_ms(self) -> int:
        return self._due[0][0]

    def advance(self, now_ms: int) -> None:
        """Do all that is due. After a long pause only the last seconds are lived through step by step."""
        if now_ms - self.next_due_ms > CATCH_UP_MS:
            self.skip_to(now_ms - CATCH_UP_MS)
        while self.next_due_ms <= now_ms:
            self._step(self.next_due_ms)
        self.exchange.clock_to(now_ms)

    def skip_to(self, at_ms: int) -> None:
        """Leave out the steps before a time."""
        while self._due[0][0] < at_ms:
            due, place = self._due[0]
            heapreplace(self._due, (at_ms + (due - at_ms) % self._flows[place].period_ms, place))

    def _step(self, at_ms: int) -> None:
        exchange = self.exchange
        exchange.clock_to(at_ms)
        if self._settle_ms is not None and at_ms >= self._settle_ms:
            self._settle_day()
        while self._due[0][0] <= at_ms:
            due, place = self._due[0]
            flow = self._flows[place]
            self._move(flow)
            heapreplace(self._due, (due + flow.period_ms, place))
        watch_margins(exchange)
        exchange.flush()

    def _move(self, flow: Flow) -> None:
        market, now_ms = flow.market, self.exchange.now_ms
        index = market.instrument.index
        price = Decimal(self._paths[index].price(now_ms)).quantize(market.instrument.reference_step)
        self.exchange.move_index(index, price)
        expires = market.instrument.expires_ms
        if market.state == "open" and expires is not None and now_ms >= expires:
            self.exchange.deliver(market)
        flow.step()

    def _settle_day(self) -> None:
        self.settled_ms = self.exchange.now_ms
        self._settle_ms = next_settlement(self.exchange.now_ms)
        self.exchange.expire_day_orders()
        for market in self.exchange.markets.values():
            if market.state == "open":
                self.exchange.settle(market)


def next_settlement(after_ms: int) -> int:
    """The next 08:00 UTC strictly after a time."""
    return after_ms + DAY_MS - (after_ms - SETTLEMENT_MS) % DAY_MS
