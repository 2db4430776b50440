"""Positions and balances as the venue states them, and how the day went."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from actors.account.desk import AccountDesk
from actors.account.keeper import Keeper
from actors.messages import GetHoldings, Holdings, HoldingsChanged
from engine.kernel import on
from engine.model import (
    ZERO,
    Balance,
    CashFlow,
    DayStart,
    ExternalOrder,
    ModelError,
    Position,
    Severity,
    begun,
    day_pnl,
    with_flows,
)
from engine.store import Change, Put

DOUBT_S = 30.0


class Holder(Keeper):
    """Stored when they moved, and told to those who judge orders by them.

    An answer is as old as its question. What the stream told of a position or a balance after a pass asked for it is newer than
    what the pass was answered, or as new, and stays: the next pass compares it.
    """

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__(desk)
        self._positions: dict[str, Position] = {}
        self._balances: dict[str, Balance] = {}
        self._heard_s: dict[str, float] = {}  # when the stream told of a holding, by key
        self._looked_ms = 0  # the venue's time of the last complete pass
        self._synced = False  # the stream is up, and a pass since it is was whole
        self._day: DayStart | None = None
        self._day_pnl: dict[str, Decimal] = {}  # as it was told last
        self._doubts: dict[str, float] = {}  # currencies whose result of the day cannot be told, and since when

    def _recall_holdings(self) -> None:
        """What was last stored."""
        mine, store = self._desk.account, self._desk.store
        self._positions = {key: row for key, row in store.table("positions").iterate() if row.account == mine}
        self._balances = {key: row for key, row in store.table("balances").iterate() if row.account == mine}
        self._day = store.meta(self._day_key, DayStart)

    def _heard_holdings(self, positions: list[Position], balances: list[Balance]) -> None:
        """News of the stream."""
        if not positions and not balances:
            return
        now_s = self.ctx.clock.monotonic_s()
        keys = {row.key for row in positions} | {row.key for row in balances}
        self._heard_s.update(dict.fromkeys(keys, now_s))
        self._store_holdings(positions, balances, "stream")
        self._tell_holdings()
        self._tell_watcher()

    def _take_holdings(
        self, positions: Iterable[Position], balances: Iterable[Balance], *, venue_ms: int, asked_s: float
    ) -> None:
        """All there are, as a pass found them when it asked at `asked_s` or later: what is not among them is flat, or empty."""
        held = {position.key: position for position in positions}
        owned = {balance.key: balance for balance in balances}
        for key, position in self._positions.items():
            if key not in held and position.amount:
                held[key] = _closed(position, venue_ms)
        for key, balance in self._balances.items():
            if key not in owned and (balance.balance or balance.equity):
                owned[key] = _emptied(balance, venue_ms)
        self._looked_ms = venue_ms
        self._doubts = {name: since_s for name, since_s in self._doubts.items() if since_s > asked_s}
        held = {key: row for key, row in held.items() if not self._heard_since(key, asked_s)}
        owned = {key: row for key, row in owned.items() if not self._heard_since(key, asked_s)}
        self._store_holdings(list(held.values()), list(owned.values()), "sync")
        self._begin_day()
        self._tell_holdings()

    def _heard_since(self, key: str, asked_s: float) -> bool:
        return self._heard_s.get(key, float("-inf")) >= asked_s

    def _begin_day(self) -> None:
        """At a pass, since only then all balances are of one moment. The beginning outlives a restart."""
        self._put_day(begun(self._day, self._balances.values(), self._now_ms(), from_ms=self._looked_ms))

    def _count_in_day(self, flows: Iterable[CashFlow]) -> None:
        """Lines of the statement that are news."""
        if self._day is not None:
            self._put_day(with_flows(self._day, flows))

    def _put_day(self, day: DayStart) -> None:
        if day != self._day:
            self._day = day
            self._write("account.day", Put("meta", self._day_key, day))

    @property
    def _day_key(self) -> str:
        return f"day:{self._desk.account}"

    def _store_holdings(self, positions: list[Position], balances: list[Balance], source: str) -> None:
        """Store what changed; an absurd figure is reported and not stored."""
        changes: list[Change] = []
        for position in filter(self._sane, positions):
            if _moved(self._positions.get(position.key), position):
                changes.append(Put("positions", position.key, position))
                changes.append(Put("position_changes", (position.key, position.updated_at_ms), position))
            self._positions[position.key] = position
        for balance in filter(self._sane, balances):
            if _cash(self._balances.get(balance.key)) != _cash(balance):
                changes.append(Put("balances", balance.key, balance))
            self._balances[balance.key] = balance
        if changes:
            self._write(f"account.{source}", *changes)

    def _sane(self, word: Position | Balance | CashFlow | ExternalOrder) -> bool:
        try:
            word.check()
        except ModelError as error:
            self._notify(Severity.ERROR, "venue.absurd", f"{word.key}: {error}")
            return False
        return True

    @on(GetHoldings)
    def get_holdings(self, _message: GetHoldings) -> Holdings:
        return self._holdings()

    def _holdings(self) -> Holdings:
        self._day_pnl = self._result_of_day()
        return Holdings(
            tuple(self._positions.values()),
            tuple(self._balances.values()),
            looked_ms=self._looked_ms,
            day=self._day.day if self._day else 0,
            day_pnl=self._day_pnl,
            in_step=self._synced,
        )

    def _result_of_day(self) -> dict[str, Decimal]:
        """Where it is not known whether money came or went, or whether the balance has it already, the result stays what it was;
        not for long, since a loss may be one.
        """
        now, since_s = day_pnl(self._day, self._balances.values()), self.ctx.clock.monotonic_s() - DOUBT_S
        doubtful = {name for name, doubted_s in self._doubts.items() if doubted_s > since_s}
        return now | {name: result for name, result in self._day_pnl.items() if name in doubtful}

    def _doubt(self, currencies: Iterable[str]) -> None:
        now_s = self.ctx.clock.monotonic_s()
        self._doubts.update((name, now_s) for name in currencies)

    def _tell_holdings(self) -> None:
        """The queue judges orders by it. Of several the newest one waits in a mailbox."""
        self._desk.orders.tell(HoldingsChanged(self._holdings()))

    def _tell_watcher(self) -> None:
        """It waits for what is held to change, and for the account to be in step."""
        self._desk.triggers.tell(HoldingsChanged(self._holdings()))


def _closed(position: Position, at_ms: int) -> Position:
    return msgspec.structs.replace(position, amount=ZERO, average_price=None, unrealised_pnl=ZERO, updated_at_ms=at_ms)


def _emptied(balance: Balance, at_ms: int) -> Balance:
    return Balance(
        account=balance.account,
        currency=balance.currency,
        balance=ZERO,
        equity=ZERO,
        available=ZERO,
        updated_at_ms=at_ms,
    )


def _moved(before: Position | None, after: Position) -> bool:
    """Whether the holding itself changed; marks move all the time and are not a change."""
    if before is None:
        return bool(after.amount)
    held = (before.amount, before.average_price, before.realised_pnl)
    return held != (after.amount, after.average_price, after.realised_pnl)


def _cash(balance: Balance | None) -> object:
    """What of a balance is worth a commit: equity and margins move with every mark."""
    return balance and balance.balance
