"""The limits of the account: before an order is taken, before it is sent, and before it is amended."""

from decimal import Decimal

import msgspec

from actors.messages import HoldingsChanged
from actors.orders.desk import OrdersDesk
from actors.orders.linking import Linking
from engine.kernel import on
from engine.model import (
    DAILY_LOSS,
    DOLLARS,
    RATE_LIMIT,
    ZERO,
    DataClass,
    Denial,
    Exposure,
    Fill,
    Gate,
    GateState,
    Instrument,
    InstrumentLimits,
    Order,
    OrderRequest,
    Severity,
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
    no_mark,
    plain,
    too_much,
)
from engine.store import Put

Wanted = OrderRequest | Order


class Rules(msgspec.Struct, frozen=True):
    """What the settings say of one instrument."""

    limits: InstrumentLimits
    allowed: bool


class AcceptedLoss(msgspec.Struct, frozen=True):
    """The result by currency with which a person resumed on `day`: from there losses count anew."""

    day: int
    pnl: dict[str, Decimal]


class Guarding(Linking):
    """What the account holds and has resting is followed here, change by change, to judge orders by.

    An order that may leave at once is judged by everything when it is asked for, and again before each attempt. One that
    has to wait for something is judged by its size when it is asked for; prices and positions will be others when it leaves,
    and are looked at then. What breaks a limit when it leaves is over; what time alone mends, waits.
    """

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        limits = self._settings.limits
        self._limits = limits
        self._rules_of: dict[str, Rules] = {}  # by instrument, of those the venue lists
        self._exposure = Exposure()
        self._heard_ms: int | None = None  # when the fill in hand was, by the venue's clock
        self._marks: dict[str, Decimal] = {}  # of positions, as the venue last said
        self._asked_pace = Throttle(limits.max_orders_per_s, limits.burst_s)
        self._sent_pace = Throttle(limits.max_orders_per_s, limits.burst_s)
        self._cancel_pace = Throttle(limits.max_cancels_per_s, limits.burst_s)
        self._gate_code = ""
        self._day = 0
        self._day_pnl: dict[str, Decimal] = {}
        self._accepted_loss = AcceptedLoss(0, {})

    def _recover_guard(self) -> None:
        """The gate, what of a loss was accepted, and what was held when it was last looked at."""
        store, account = self._desk.store, self._desk.account
        gate = store.gate(account)
        if gate is not None:
            self._gate, self._gate_code = gate.state, gate.code
        self._accepted_loss = store.meta(f"loss:{account}", AcceptedLoss) or self._accepted_loss
        mine = [row for _, row in store.table("positions").iterate() if row.account == account]
        self._exposure.report(mine, looked_ms=0)

    # ── what rests and what is held ───────────────────────────────────────────────────────────────────────────────────

    def _follow(self, before: Order | None, after: Order) -> None:
        at_ms = after.venue_updated_at_ms if self._heard_ms is None else self._heard_ms
        self._exposure.change(before, after, at_ms)

    def _take_fill(self, fill: Fill) -> None:
        self._heard_ms = fill.filled_at_ms
        try:
            super()._take_fill(fill)
        finally:
            self._heard_ms = None

    def _filled_elsewhere(self, fill: Fill) -> None:
        self._exposure.fill(fill.instrument, fill.side.sign * fill.amount, fill.filled_at_ms)

    @on(HoldingsChanged)
    def holdings_changed(self, message: HoldingsChanged) -> None:
        holdings = message.holdings
        self._exposure.report(holdings.positions, looked_ms=holdings.looked_ms)
        self._marks = {row.instrument: row.mark_price for row in holdings.positions if row.mark_price}
        self._day, self._day_pnl = holdings.day, holdings.day_pnl
        if holdings.looked_ms:
            self._doubt_currencies()
        self._judge_day()

    # ── judging orders ────────────────────────────────────────────────────────────────────────────────────────────────

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
        more = order.remaining - counted(order)
        return self._deny_now(order, instrument, stake, more) or self._deny_rate(order, self._sent_pace)

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
        return deny_by_lists(wanted, self._limits.permission, allowed=rules.allowed) or deny_size(
            wanted, instrument, rules.limits, mark
        )

    def _deny_meeting(self, wanted: Wanted, instrument: Instrument, stake: Stake) -> Denial | None:
        if (stake.offers if wanted.side is Side.BUY else stake.bids).best() is None:
            return None
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

    # ── the gate, and what closes it by itself ────────────────────────────────────────────────────────────────────────

    def _move_gate(self, state: GateState, reason: str, code: str = "") -> None:
        """Effective at once; the commit follows. A person who opens it accepts what was lost until then."""
        changes = []
        if state is GateState.ACTIVE and self._gate_code == DAILY_LOSS:
            self._accepted_loss = AcceptedLoss(self._day, self._day_pnl)
            changes.append(Put("meta", f"loss:{self._desk.account}", self._accepted_loss))
        self._gate_code = "" if state is GateState.ACTIVE else code or self._gate_code
        self._gate = state
        gate = Gate(state, reason, self._now_ms(), self._gate_code)
        changes.append(Put("meta", f"gate:{self._desk.account}", gate))
        self._ledger.write(self._commit(f"gate.{state}", tuple(changes)), lambda _seq: None)

    def _doubt_currencies(self) -> None:
        """A limit on a currency the account does not have limits nothing: a misspelt one must not go unnoticed."""
        for currency in self._limits.max_daily_loss.keys() - self._day_pnl.keys():
            has = ", ".join(sorted(self._day_pnl)) or "none yet"
            text = f"max_daily_loss: {self._desk.account} has no {currency}, so it limits nothing there; it has {has}"
            self._notify_once(f"no {currency}", Severity.WARNING, "account.limit_without_currency", text, None)

    def _judge_day(self) -> None:
        """Too large a loss closes the gate to what could make it larger, once."""
        if self._gate is GateState.HALTED or self._gate_code == DAILY_LOSS:
            return
        accepted = self._accepted_loss.pnl if self._accepted_loss.day == self._day else {}
        losses = too_much(self._day_pnl, self._limits.max_daily_loss, accepted)
        if not losses:
            return
        most = self._limits.max_daily_loss
        text = ", ".join(f"{plain(loss)} {name} of at most {plain(most[name])}" for name, loss in losses.items())
        self._move_gate(GateState.REDUCING, f"the day's loss is {text}", DAILY_LOSS)
        text = f"{self._desk.account} lost {text} today and only reduces until somebody resumes"
        self._notify(Severity.EMERGENCY, "account.daily_loss", text, None)
