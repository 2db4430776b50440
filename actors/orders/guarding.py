"""The limits of the account: before an order is taken, before it is sent, and before it is amended."""

from decimal import Decimal

import msgspec

from actors.orders.desk import OrdersDesk
from actors.orders.holding import Holding
from engine.model import (
    DOLLARS,
    RATE_LIMIT,
    ZERO,
    DataClass,
    Denial,
    Instrument,
    InstrumentLimits,
    Order,
    OrderRequest,
    Side,
    Stake,
    Throttle,
    counted,
    denied,
    deny_at_door,
    deny_by_gate,
    deny_by_lists,
    deny_by_venue,
    deny_count,
    deny_exposure,
    deny_meeting,
    deny_position,
    deny_price,
    deny_size,
    is_native,
    no_mark,
)

Wanted = OrderRequest | Order


class Rules(msgspec.Struct, frozen=True):
    """What the settings say of one instrument."""

    limits: InstrumentLimits
    allowed: bool


class Guarding(Holding):
    """Every order is judged twice: when it is asked for, and before each attempt.

    One that may leave at once is judged by everything both times. One that has to wait for something is judged by its size
    when it is asked for; prices and positions will be others when it leaves, and are looked at then. What breaks a limit when
    it leaves is over; what time alone mends, waits.
    """

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        limits = self._settings.limits
        self._rules_of: dict[str, Rules] = {}  # by instrument, of those the venue lists
        self._asked_pace = Throttle(limits.max_orders_per_s, limits.burst_s)
        self._sent_pace = Throttle(limits.max_orders_per_s, limits.burst_s)
        self._cancel_pace = Throttle(limits.max_cancels_per_s, limits.burst_s)

    def _deny(self, request: OrderRequest, instrument: Instrument | None, *, linked: bool = False) -> Denial | None:
        """The first reason of the limits not to take this order. `linked`: another order must be filled before it leaves."""
        exposure = self._exposure
        refusal = deny_by_gate(request, self._gate, self._gate_code) or deny_at_door(
            request, instrument, limits=self._limits, waiting=exposure.waiting, live=exposure.live
        )
        if refusal is not None or instrument is None:
            return refusal
        stake = exposure.of(instrument.instrument_id)
        refusal = deny_count(request, stake, self._rules_for(instrument).limits)
        if refusal is None and (linked or request.delay_s or request.conditions or request.any_of or request.trail):
            refusal = self._deny_kind(request, instrument, self._mark(request.instrument))
        elif refusal is None:
            refusal = self._deny_now(request, instrument, stake, request.amount)
        return refusal or self._deny_rate(request, self._asked_pace)

    def _may_leave(self, order: Order) -> Denial | None:
        instrument = self._instrument(order.instrument)
        if instrument is None:
            return None  # it does not leave before its instrument is known
        stake = self._exposure.of(order.instrument)
        for one in self._members(order) if is_native(order) else (order,):
            refusal = self._deny_now(one, instrument, stake, one.remaining - counted(one))
            if refusal is not None:
                return refusal
        return self._deny_rate(order, self._sent_pace)

    def _may_cancel(self) -> bool:
        allowed = self._cancel_pace.allows(self.ctx.clock.monotonic_s())
        if allowed:
            self._cancel_pace.take()
        return allowed

    def _deny_amend(self, order: Order, amended: OrderRequest, instrument: Instrument) -> Denial | None:
        more = max(ZERO, amended.amount - order.filled_amount - counted(order))
        stake = self._exposure.of(order.instrument)
        return self._deny_now(amended, instrument, stake, more) or self._deny_rate(amended, self._asked_pace)

    def _deny_now(self, wanted: Wanted, instrument: Instrument, stake: Stake, more: Decimal) -> Denial | None:
        """Everything that is judged by what is now. `more` of it is not counted in `stake` yet."""
        limits = self._rules_for(instrument).limits
        mark = self._mark(wanted.instrument)
        return (
            self._deny_kind(wanted, instrument, mark)
            or deny_by_venue(wanted, instrument, mark)
            or deny_price(wanted, limits, mark)
            or self._deny_meeting(wanted, instrument, stake)
            or deny_position(wanted, more, instrument, stake, limits, mark)
            or self._deny_exposure(wanted, instrument, more)
        )

    def _deny_kind(self, wanted: Wanted, instrument: Instrument, mark: Decimal | None) -> Denial | None:
        rules = self._rules_for(instrument)
        keys = self._desk.keys
        return (
            (keys and keys.deny(wanted.order_type))
            or deny_by_lists(wanted, self._limits.permission, allowed=rules.allowed)
            or deny_size(wanted, instrument, rules.limits, mark)
        )

    def _deny_meeting(self, wanted: Wanted, instrument: Instrument, stake: Stake) -> Denial | None:
        if (stake.offers if wanted.side is Side.BUY else stake.bids).best() is None:
            return None
        if isinstance(wanted, Order) and wanted.native_trail:
            return None  # a stop, as any other
        reach = self._reach(wanted, instrument) if wanted.price is None else wanted.price
        return deny_meeting(wanted, stake, self._limits.self_trade, reach)

    def _deny_rate(self, wanted: Wanted, pace: Throttle) -> Denial | None:
        """Asking takes it. What reduces is not held up, and what comes after it pays."""
        if self._limits.max_orders_per_s is None:
            return None
        if not wanted.reduce_only and not pace.allows(self.ctx.clock.monotonic_s()):
            return denied(RATE_LIMIT, "max_orders_per_s", f"at most {self._limits.max_orders_per_s} a second", "more")
        pace.take()
        return None

    def _deny_exposure(self, wanted: Wanted, instrument: Instrument, more: Decimal) -> Denial | None:
        """Looks at every instrument of the account, and only for an order that makes one of them larger."""
        most = self._limits.max_exposure_notional
        if most is None or wanted.reduce_only:
            return None
        name = instrument.instrument_id
        stake = self._exposure.of(name)
        worst = stake.worst(wanted.side) + more
        if worst <= stake.held_against(wanted.side):
            return None
        amounts = {other: held.largest for other, held in self._exposure.stakes.items()}
        amounts[name] = max(worst, amounts.get(name, ZERO))
        total = ZERO
        for other, amount in amounts.items():
            value = self._dollars(other, amount) if amount else ZERO
            if value is None:
                return no_mark(other)
            total += value
        return deny_exposure(total, most)

    def _dollars(self, name: str, amount: Decimal) -> Decimal | None:
        """What `amount` is worth in dollars of any kind; None where no price is known."""
        instrument = self._instrument(name)
        mark = self._mark(name) or self._marks.get(name)
        if instrument is None or (mark is None and not instrument.inverse):
            return None
        value = instrument.notional(amount, mark or Decimal(1))
        if instrument.quote in DOLLARS:
            return value
        market = self._desk.venue.markets.get(instrument.symbol)
        index = market.ticker.index if market is not None and self._mark(name) is not None else None
        return None if index is None else value * Decimal(repr(index))

    def _reach(self, wanted: Wanted, instrument: Instrument) -> Decimal | None:
        """The worst price a market order takes, if the book is fresh and deep enough to tell."""
        market = self._desk.venue.markets.get(instrument.symbol)
        fresh = market.fresh.get(DataClass.BOOK) if market is not None else None
        if market is None or fresh is None or fresh.stale(self.ctx.clock.monotonic_s()):
            return None
        left = float(wanted.amount)
        for price, amount in market.book.asks() if wanted.side is Side.BUY else market.book.bids():
            left -= amount
            if left <= 0:
                return Decimal(repr(price))
        return None

    def _rules_for(self, instrument: Instrument) -> Rules:
        name = instrument.instrument_id
        rules = self._rules_of.get(name)
        if rules is None:
            rules = self._rules_of[name] = Rules(self._limits.of(name), self._limits.allows(name))
        return rules
