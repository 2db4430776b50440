"""One instrument's market: its book, its prices, its conditional orders and its past."""

import math
from collections.abc import Callable
from decimal import Decimal

from engine.kernel import Entropy
from engine.simulator.book import Book
from engine.simulator.funding import Funding
from engine.simulator.instruments import Instrument
from engine.simulator.orders import Order, Reference, Side
from engine.simulator.tape import MAX_TRADES, Tape
from engine.simulator.triggers import Triggers

__all__ = ["Market"]

PREMIUM_MEMORY_S = 30.0


class Market:
    """`state` is open or closed; a dated future closes when it is delivered. `changed`: the book did, see BookSide."""

    def __init__(
        self,
        instrument: Instrument,
        *,
        start_ms: int,
        index: Decimal,
        volatility: float,
        volume: float,
        entropy: Entropy,
        changed: Callable[[], None],
        keep_trades: int = MAX_TRADES,
    ) -> None:
        self.instrument = instrument
        self.book = Book(changed)
        self.triggers: Triggers[Order] = Triggers()
        self.tape = Tape(
            instrument,
            start_ms=start_ms,
            price=index,
            volatility=volatility,
            volume=volume,
            entropy=entropy.fork("tape"),
            keep_trades=keep_trades,
        )
        self.funding: Funding | None = None
        if instrument.perpetual and instrument.funding_accrues:
            self.funding = Funding(instrument, start_ms=start_ms, index=index, entropy=entropy.fork("funding"))
        self.index = index
        self.mark = index
        self.settlement_price = index
        self.open_interest = Decimal(0)
        self.state = "open"
        self.delivery_price: Decimal | None = None
        self._premium: float | None = None
        self._marked_ms = start_ms
        self._charged = Decimal(0)

    @property
    def mid(self) -> float | None:
        bid, ask = self.book.best_price(Side.BUY), self.book.best_price(Side.SELL)
        if bid is None or ask is None:
            return None
        return float(bid + ask) / 2

    @property
    def min_price(self) -> Decimal:
        """The lowest price at which a sell is accepted."""
        return self.instrument.snap(self.mark * (1 - self.instrument.band), Side.SELL)

    @property
    def max_price(self) -> Decimal:
        """The highest price at which a buy is accepted."""
        return self.instrument.snap(self.mark * (1 + self.instrument.band), Side.BUY)

    def reference(self, reference: Reference) -> Decimal:
        if reference is Reference.INDEX:
            return self.index
        if reference is Reference.MARK:
            return self.mark
        return self.tape.last if self.tape.last is not None else self.mark

    def references(self) -> dict[Reference, Decimal]:
        return {reference: self.reference(reference) for reference in Reference}

    def remark(self, at_ms: int, index: Decimal) -> None:
        """Take a new index price: the mark is the index plus a 30 s average of the book's premium over it, bounded."""
        elapsed_s = (at_ms - self._marked_ms) / 1000
        self._marked_ms = at_ms
        self.index = index
        mid = self.mid
        if mid is not None:
            premium = mid / float(index) - 1.0
            before = premium if self._premium is None else self._premium
            self._premium = before + (premium - before) * -math.expm1(-elapsed_s / PREMIUM_MEMORY_S)
        bound = 0.005 if self.instrument.perpetual else 0.2
        premium = max(-bound, min(bound, self._premium or 0.0))
        self.mark = Decimal(float(index) * (1.0 + premium)).quantize(self.instrument.reference_step)
        if self.funding is not None:
            self.funding.accrue(at_ms, self.mark, index)

    @property
    def cumulative_funding(self) -> Decimal:
        return self._charged + (self.funding.cumulative if self.funding is not None else 0)

    def charge_funding(self, rate: Decimal) -> None:
        """Funding falls due at once, as a fraction of the mark, beside what accrues: positions pay it when they are looked at
        next."""
        self._charged += rate * self.instrument.value(Decimal(1), self.mark)
