"""The background market of one instrument: makers that quote a ladder around the index, and takers that hit it.

The ladder follows the index the cheap way: only the rungs that came too close or fell too far behind are replaced. A
maker's new quote is an ordinary order, so when the index runs through a client's order, the client is filled. Flow
accounts are the house's: they never run out of money and leave no history.
"""

import math
from decimal import Decimal

import msgspec

from engine.kernel import Entropy
from engine.simulator.amending import Amendment
from engine.simulator.exchange import Exchange
from engine.simulator.orders import Kind, Lifetime, Order, OrderSpec, Side, State

__all__ = ["Flow", "FlowStyle"]

SIDES = tuple(Side)
DAYS_A_YEAR_MS = 365 * 86_400_000


class FlowStyle(msgspec.Struct, frozen=True, kw_only=True):
    """`basis` is the yearly premium of a dated future, `premium` the constant one of a perpetual, as a fraction.
    A taker's median order is `take_steps` amount steps; some are those of liquidated traders who are not simulated."""

    period_ms: int = 250
    rungs: int = 24
    reach: float = 0.0015  # how far behind the best price the ladder extends, as a fraction
    spread: float = 0.00002  # between the two best quotes, as a fraction
    trades_per_s: float = 2.5
    quote_steps: int = 2000
    take_steps: int = 60
    basis: float = 0.0
    premium: float = 0.0
    liquidations_per_h: float = 0.0


class Flow:
    def __init__(self, exchange: Exchange, instrument: str, style: FlowStyle, entropy: Entropy) -> None:
        self._exchange = exchange
        self.market = exchange.market(instrument)
        self._style = style
        self.period_ms = style.period_ms
        self._liquidation_odds = style.liquidations_per_h * style.period_ms / 3_600_000
        self._entropy = entropy
        self._maker = f"~maker-{instrument}"
        self._taker = f"~taker-{instrument}"
        exchange.open_account(self._maker, {}, house=True)
        exchange.open_account(self._taker, {}, house=True)
        self._ladders: dict[Side, list[Order]] = {Side.BUY: [], Side.SELL: []}

    def step(self) -> None:
        """Follow the index, then trade a little."""
        if self.market.state != "open":
            return
        fair = self._fair()
        quotes = [(side, self._quote(side, fair)) for side in SIDES]
        for side, ticks in quotes:
            self._clear(side, ticks)
        for side, ticks in quotes:
            self._fill_ladder(side, ticks)
        self._stir()
        expected = self._style.trades_per_s * self._style.period_ms / 1000
        for _ in range(self._draw_count(expected)):
            self._take()
        if self._liquidation_odds and self._entropy.random() < self._liquidation_odds:
            self._take(liquidated=True)

    def _fair(self) -> float:
        index = float(self.market.index)
        expires = self.market.instrument.expires_ms
        if expires is None or not self._style.basis:
            return index * (1.0 + self._style.premium)
        years = max(0, expires - self._exchange.now_ms) / DAYS_A_YEAR_MS
        return index * math.exp(self._style.basis * years)

    def _quote(self, side: Side, fair: float) -> int:
        """The best price to quote, in ticks."""
        tick = float(self.market.instrument.tick)
        half = fair * self._style.spread / 2
        return math.floor((fair - half) / tick) if side is Side.BUY else math.ceil((fair + half) / tick)

    def _price(self, ticks: int) -> Decimal:
        return ticks * self.market.instrument.tick

    def _clear(self, side: Side, best_ticks: int) -> None:
        """Cancel rungs that are now too close to the middle or too far behind, and drop those that were filled.

        A ladder is in order of price, best first, and is filled from there: only its ends need a look.
        """
        ladder = self._ladders[side]
        best = self._price(best_ticks)
        far = self._price(best_ticks - round(self._sign(side) * best_ticks * self._style.reach * 2))
        most = self._style.rungs + 6
        first, end = 0, len(ladder)
        while first < end and self._is_inside(side, ladder[first], best):
            first += 1
        while first < end and (end - first > most or self._is_far(side, ladder[end - 1], far)):
            end -= 1
        for order in ladder[:first] + ladder[end:]:
            if order.state is State.OPEN:
                self._exchange.cancel(order)
        self._ladders[side] = ladder[first:end]

    @staticmethod
    def _is_inside(side: Side, order: Order, best: Decimal) -> bool:
        """Whether a rung is gone or better than the best price to quote."""
        assert order.price is not None, "rungs are limit orders"
        return order.state is not State.OPEN or (order.price != best and side.reaches(order.price, best))

    @staticmethod
    def _is_far(side: Side, order: Order, far: Decimal) -> bool:
        assert order.price is not None, "rungs are limit orders"
        return order.state is not State.OPEN or side.reaches(far, order.price)

    def _fill_ladder(self, side: Side, best_ticks: int) -> None:
        ladder = self._ladders[side]
        if not ladder or ladder[0].price != self._price(best_ticks):
            self._place(side, best_ticks, at_front=True)
        while len(ladder) < self._style.rungs:
            if not self._place(side, self._behind(side, ladder, best_ticks), at_front=False):
                return

    def _behind(self, side: Side, ladder: list[Order], best_ticks: int) -> int:
        """A price for the next rung: gaps are random, on average the reach divided by the rungs."""
        gap = max(1, round(best_ticks * self._style.reach / self._style.rungs * 2 * self._entropy.random()))
        last = ladder[-1].price if ladder else None
        ticks = best_ticks if last is None else int(last / self.market.instrument.tick)
        return ticks - self._sign(side) * gap

    def _place(self, side: Side, ticks: int, *, at_front: bool) -> bool:
        spec = OrderSpec(
            instrument=self.market.instrument.name,
            side=side,
            amount=self._amount(self._style.quote_steps),
            price=self._price(ticks),
        )
        order = self._exchange.submit(self._maker, spec).order
        if order.state is State.OPEN:
            ladder = self._ladders[side]
            ladder.insert(0 if at_front else len(ladder), order)
        return order.state is State.OPEN

    def _stir(self) -> None:
        """Change the amount of one rung, so that the book lives even when the index rests."""
        side = Side.BUY if self._entropy.random() < 0.5 else Side.SELL
        ladder = self._ladders[side]
        if not ladder:
            return
        order = ladder[self._entropy.randrange(len(ladder))]
        amount = order.filled + self._amount(self._style.quote_steps)
        if order.state is State.OPEN and amount != order.amount:
            self._exchange.amend(order, Amendment(amount=amount))

    def _take(self, *, liquidated: bool = False) -> None:
        side = Side.BUY if self._entropy.random() < 0.5 else Side.SELL
        spec = OrderSpec(
            instrument=self.market.instrument.name,
            side=side,
            amount=self._amount(self._style.take_steps),
            kind=Kind.MARKET,
            lifetime=Lifetime.IMMEDIATE_OR_CANCEL,
            is_liquidation=liquidated,
        )
        self._exchange.submit(self._taker, spec)

    def _amount(self, median_steps: int) -> Decimal:
        """A log-uniform amount within a factor of twelve on either side of the median."""
        steps = max(1, round(median_steps * math.exp(self._entropy.uniform(-2.5, 2.5))))
        return steps * self.market.instrument.min_amount

    def _draw_count(self, expected: float) -> int:
        """How many trades happen in this step: Poisson, at most eight."""
        limit, product = math.exp(-expected), self._entropy.random()
        count = 0
        while product > limit and count < 8:
            count += 1
            product *= self._entropy.random()
        return count

    @staticmethod
    def _sign(side: Side) -> int:
        return 1 if side is Side.BUY else -1
