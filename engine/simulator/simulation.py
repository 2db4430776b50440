"""A market that moves by itself: the exchange, the prices that drive it and the flow that trades in it, in steps of time."""

from collections.abc import Mapping
from decimal import Decimal

from engine.kernel import Entropy
from engine.simulator.exchange import Exchange
from engine.simulator.flow import Flow, FlowStyle
from engine.simulator.market import PRICE_STEP
from engine.simulator.prices import PricePath
from engine.simulator.risk import watch_margins

__all__ = ["Simulation"]

DAY_MS = 86_400_000
SETTLEMENT_MS = 8 * 3_600_000
CATCH_UP_MS = 5_000


class Simulation:
    """Advances in steps of `STEP_MS`; each step moves one instrument's flow, so that the load is spread evenly.

    An index may be driven by the path of another: `paths` maps an index name to its path.
    """

    STEP_MS = 50

    def __init__(
        self, exchange: Exchange, paths: Mapping[str, PricePath], styles: Mapping[str, FlowStyle], entropy: Entropy
    ) -> None:
        self.exchange = exchange
        self._paths = paths
        self._flows = {name: Flow(exchange, name, style, entropy.fork(name)) for name, style in styles.items()}
        self._due: dict[str, int] = {}
        self._periods = {name: style.period_ms for name, style in styles.items()}
        start = exchange.now_ms
        for place, name in enumerate(styles):
            self._due[name] = start + place * self.STEP_MS % self._periods[name]
        self._next_ms = min(self._due.values())
        self._settle_ms = next_settlement(start)
        self.settled_ms: int | None = None

    @property
    def next_due_ms(self) -> int:
        return self._next_ms

    def advance(self, now_ms: int) -> None:
        """Do all that is due. After a long pause only the last seconds are lived through step by step."""
        if now_ms - self._next_ms > CATCH_UP_MS:
            self.skip_to(now_ms - CATCH_UP_MS)
        while self._next_ms <= now_ms:
            self._step(self._next_ms)
        self.exchange.clock_to(now_ms)

    def skip_to(self, at_ms: int) -> None:
        """Leave out the steps before a time."""
        for name, due in self._due.items():
            if due < at_ms:
                self._due[name] = at_ms + (due - at_ms) % self._periods[name]
        self._next_ms = min(self._due.values())

    def _step(self, at_ms: int) -> None:
        exchange = self.exchange
        exchange.clock_to(at_ms)
        if at_ms >= self._settle_ms:
            self._settle_day()
        for name, due in self._due.items():
            if due <= at_ms:
                self._move(name)
                self._due[name] = due + self._periods[name]
        watch_margins(exchange)
        exchange.flush()
        self._next_ms = min(self._due.values())

    def _move(self, name: str) -> None:
        market = self.exchange.markets[name]
        index = market.instrument.index
        price = Decimal(self._paths[index].price(self.exchange.now_ms)).quantize(PRICE_STEP)
        self.exchange.move_index(index, price)
        expires = market.instrument.expires_ms
        if market.state == "open" and expires is not None and self.exchange.now_ms >= expires:
            self.exchange.deliver(market)
        self._flows[name].step()

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
