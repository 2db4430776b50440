"""Conditional orders, which live apart from orders: with numbers of their own, and a life that ends in an order.

NEW, then TRIGGERING when the condition holds, TRIGGERED when the exchange took the order, FINISHED when that order is over;
or CANCELED, EXPIRED (its time was over, or there was no position to close), REJECTED (the exchange did not take the order).
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.errors import ApiError
from engine.simulator.binance_usdm.trading.holder import Holder
from engine.simulator.binance_usdm.trading.placing import (
    ALGO_TYPES,
    PREVENTIONS,
    TIMES_IN_FORCE,
    matched_price,
    place,
    watch_end,
)
from engine.simulator.binance_usdm.trading.terms import Terms
from engine.simulator.binance_usdm.trading.timers import Timers
from engine.simulator.checks import closable
from engine.simulator.exchange import Exchange
from engine.simulator.orders import ZERO, Kind, Lifetime, Order, OrderSpec, Reference, Side, Trigger, holding_of
from engine.simulator.triggers import Triggers

__all__ = ["FAR", "Algo", "AlgoDesk", "Trailing"]

FAR = Decimal("1e12")  # where a trailing buy starts from
PROTECTION = Decimal("0.05")  # how far mark and last may lie apart for a protected one to fire


class Trailing(Trigger, kw_only=True):
    """Follows the best price at a distance that is a share of it, from the time `activate` was reached."""

    rate: Decimal
    activate: Decimal | None = None
    is_active: bool = False

    def trail(self, side: Side, reference: Decimal) -> None:
        selling = side is Side.SELL
        if self.activate is None or (reference >= self.activate if selling else reference <= self.activate):
            self.is_active = True
        if not self.is_active:
            return
        if selling:
            self.price = max(self.price, reference * (1 - self.rate))
        else:
            self.price = min(self.price, reference * (1 + self.rate))

    def met(self, side: Side, reference: Decimal) -> bool:
        return self.is_active and super().met(side, reference)


class Algo(msgspec.Struct, kw_only=True, eq=False):
    algo_id: int
    client_id: str
    holder: Holder
    symbol: str
    side: Side
    leg: str
    type: str
    lifetime: str
    quantity: Decimal
    price: Decimal | None
    trigger: Trigger | None
    working: str
    reduce_only: bool
    close: bool
    protect: bool
    prevention: str
    price_match: str
    good_till_ms: int
    created_ms: int
    updated_ms: int
    status: str = "NEW"
    triggered_ms: int = 0
    order: Order | None = None
    reason: str = ""

    @property
    def order_id(self) -> str:
        """Its name among conditions."""
        return str(self.algo_id)

    @property
    def actual_id(self) -> str:
        """The number of the order it became."""
        return "" if self.order is None else self.order.order_id

    @property
    def trigger_price(self) -> Decimal:
        """The price asked for; of a trailing one the price at which it was activated, if that was asked for."""
        if isinstance(self.trigger, Trailing):
            return self.trigger.activate or ZERO
        return ZERO if self.trigger is None else self.trigger.price


class AlgoDesk:
    """The conditional orders of all accounts. `tell` is called at each step of a life."""

    def __init__(
        self,
        exchange: Exchange,
        desks: dict[str, Desk],
        timers: Timers,
        draw_id: Callable[[], str],
        tell: Callable[[Algo], None],
    ) -> None:
        self._exchange = exchange
        self._timers = timers
        self._desks = desks
        self._draw_id = draw_id
        self._tell = tell
        self._waiting: dict[str, Triggers[Algo]] = {symbol: Triggers() for symbol in desks}

    def add(self, algo: Algo) -> None:
        assert algo.trigger is not None, "a conditional order has a condition"
        algo.holder.keep(algo)
        self._waiting[algo.symbol].add(algo, algo.trigger)
        if algo.good_till_ms:
            self._timers.set(_timer(algo), algo.good_till_ms, lambda: self.end(algo, "EXPIRED"))
        self._tell(algo)

    def end(self, algo: Algo, status: str) -> None:
        """Take one off that still waits."""
        self._timers.clear(_timer(algo))
        self._waiting[algo.symbol].remove(algo)
        self._close(algo, status)

    def finish(self, algo: Algo) -> None:
        """The order it became is over."""
        self._close(algo, "FINISHED")

    def follow(self, symbol: str) -> None:
        """Prices moved: fire what is met."""
        waiting = self._waiting[symbol]
        if not len(waiting):
            return
        for algo in waiting.fired(self._desks[symbol].market.references()):
            if algo.protect and self._is_torn(symbol):
                assert algo.trigger is not None, "it was met"
                waiting.add(algo, algo.trigger)
            else:
                self._fire(algo)

    def _is_torn(self, symbol: str) -> bool:
        market = self._desks[symbol].market
        return abs(market.reference(Reference.LAST) / market.mark - 1) > PROTECTION

    def _fire(self, algo: Algo) -> None:
        self._timers.clear(_timer(algo))
        algo.triggered_ms = self._exchange.now_ms
        self._step(algo, "TRIGGERING")
        if algo.close:
            algo.quantity = closable(algo.holder.account, holding_of(algo.symbol, algo.leg), algo.side)
            if not algo.quantity:
                self._close(algo, "EXPIRED")
                return
        try:
            algo.order = place(self._exchange, algo.holder, self._spec(algo)).order
        except ApiError as error:
            algo.reason = error.msg
            self._close(algo, "REJECTED")
            return
        watch_end(self._exchange, self._timers, algo.order)
        self._step(algo, "TRIGGERED")

    def _spec(self, algo: Algo) -> OrderSpec:
        kind, own_id = ALGO_TYPES[algo.type], self._draw_id()
        price = algo.price
        if algo.price_match != "NONE":
            price = matched_price(self._desks[algo.symbol], algo.side, algo.price_match)
        return OrderSpec(
            instrument=algo.symbol,
            side=algo.side,
            amount=algo.quantity,
            kind=kind,
            price=price,
            lifetime=TIMES_IN_FORCE[algo.lifetime] if kind is Kind.LIMIT else Lifetime.IMMEDIATE_OR_CANCEL,
            post_only=algo.lifetime == "GTX",
            reject_post_only=True,
            reduce_only=algo.reduce_only or algo.close,
            label=own_id,
            leg=algo.leg,
            self_trading=PREVENTIONS[algo.prevention],
            terms=Terms(
                client_id=own_id,
                type=kind.value.upper(),
                original_type=algo.type,
                lifetime=algo.lifetime,
                prevention=algo.prevention,
                price_match=algo.price_match,
                good_till_ms=algo.good_till_ms,
                working=algo.working,
                protect=algo.protect,
                close=algo.close,
                stop_price=algo.trigger_price,
                algo_id=algo.algo_id,
            ),
        )

    def _close(self, algo: Algo, status: str) -> None:
        del algo.holder.open_algos[algo.algo_id]
        self._step(algo, status)

    def _step(self, algo: Algo, status: str) -> None:
        algo.status = status
        algo.updated_ms = self._exchange.now_ms
        self._tell(algo)


def _timer(algo: Algo) -> tuple[str, int]:
    return "algo", algo.algo_id
