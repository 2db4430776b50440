"""What the account holds and has resting, and the gate that a day's loss closes."""

from decimal import Decimal
from functools import partial

import msgspec

from actors.messages import HoldingsChanged, Notify
from actors.orders.desk import OrdersDesk
from actors.orders.linking_native import LinkingNative
from engine.kernel import on
from engine.model import DAILY_LOSS, Exposure, Fill, Gate, GateState, Notice, Order, Severity, plain, too_much
from engine.store import Put


class AcceptedLoss(msgspec.Struct, frozen=True):
    """The result by currency with which a person resumed on `day`: from there losses count anew."""

    day: int
    pnl: dict[str, Decimal]


class Holding(LinkingNative):
    """Followed change by change: every decision about an order, every fill, and what the account says it holds."""

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        self._limits = self._settings.limits
        self._exposure = Exposure()
        self._heard_ms: int | None = None  # when the fill in hand was, by the venue's clock
        self._marks: dict[str, Decimal] = {}  # of positions, as the venue last said
        self._gate_code = ""
        self._day = 0
        self._day_pnl: dict[str, Decimal] = {}
        self._accepted_loss = AcceptedLoss(0, {})
        self._accepting = False  # a person resumed, and what was lost by then is not known yet

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

    def _take_fill(self, fill: Fill, *, missed: bool = False) -> None:
        self._heard_ms = fill.filled_at_ms
        try:
            super()._take_fill(fill, missed=missed)
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
        accepted = self._accept_loss()
        if accepted:
            self._ledger.write(self._commit("gate.loss_accepted", tuple(accepted)), lambda _seq: None)
        self._judge_day()

    # ── the gate, and what closes it by itself ────────────────────────────────────────────────────────────────────────

    def _move_gate(self, state: GateState, reason: str, *, code: str = "", notice: Notice | None = None) -> None:
        """Effective at once; the commit follows, and has with it what people must hear of it. A person who opens the gate
        accepts what was lost until then.
        """
        self._accepting = state is GateState.ACTIVE and self._gate_code == DAILY_LOSS
        self._gate_code = "" if state is GateState.ACTIVE else code or self._gate_code
        self._gate = state
        gate = Gate(state, reason, self._now_ms(), self._gate_code)
        puts = [Put("meta", f"gate:{self._desk.account}", gate), *self._accept_loss()]
        if notice is not None:
            puts.append(Put("notices", notice.notice_id, notice))
        self._ledger.write(self._commit(f"gate.{state}", tuple(puts)), partial(self._told_gate, notice))

    def _told_gate(self, notice: Notice | None, _seq: int) -> None:
        if notice is not None:
            self._desk.notifier.tell(Notify(notice))

    def _accept_loss(self) -> list[Put]:
        """As soon as it is known how much that is: right after a start the account has not been looked at."""
        if not self._accepting or not self._day:
            return []
        self._accepting = False
        self._accepted_loss = AcceptedLoss(self._day, self._day_pnl)
        return [Put("meta", f"loss:{self._desk.account}", self._accepted_loss)]

    def _doubt_currencies(self) -> None:
        """A limit on a currency the account does not have limits nothing: a misspelt one must not go unnoticed."""
        for currency in sorted(self._limits.max_daily_loss.keys() - self._day_pnl.keys()):
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
        words = f"{self._desk.account} lost {text} today and only reduces until somebody resumes"
        notice = self._notice(Severity.EMERGENCY, "account.daily_loss", words, None)
        self._move_gate(GateState.REDUCING, f"the day's loss is {text}", code=DAILY_LOSS, notice=notice)
