"""Positions and balances as the venue states them, and how the day went."""

from collections.abc import Iterable

import msgspec

from actors.account.desk import AccountDesk
from actors.account.keeper import Keeper
from actors.messages import GetHoldings, Holdings, HoldingsChanged
from engine.kernel import on
from engine.model import (
    ZERO,
    Balance,
    DayStart,
    ModelError,
    Position,
    Severity,
    begun,
    day_pnl,
)
from engine.store import Change, Put


class Holder(Keeper):
    """Stored when they moved, and told to those who judge orders by them."""

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__(desk)
        self._positions: dict[str, Position] = {}
        self._balances: dict[str, Balance] = {}
        self._looked_ms = 0  # the venue's time of the last complete pass
        self._day: DayStart | None = None

    def _recall_holdings(self) -> None:
        """What was last stored."""
        mine, store = self._desk.account, self._desk.store
        self._positions = {key: row for key, row in store.table("positions").iterate() if row.account == mine}
        self._balances = {key: row for key, row in store.table("balances").iterate() if row.account == mine}
        self._day = store.meta(self._day_key, DayStart)

    def _heard_holdings(self, positions: list[Position], balances: list[Balance]) -> None:
        """News of the stream."""
        if positions or balances:
            self._store_holdings(positions, balances, "stream")
            self._tell_holdings()

    def _take_holdings(self, positions: Iterable[Position], balances: Iterable[Balance], venue_ms: int) -> None:
        """All there are, as a pass found them at `venue_ms`: what is not among them is flat."""
        held = {position.key: position for position in positions}
        closed = [
            msgspec.structs.replace(position, amount=ZERO, average_price=None, updated_at_ms=venue_ms)
            for key, position in self._positions.items()
            if key not in held and position.amount
        ]
        self._looked_ms = venue_ms
        self._store_holdings([*held.values(), *closed], list(balances), "sync")
        self._begin_day()
        self._tell_holdings()

    def _begin_day(self) -> None:
        """At a pass, since only then all balances are of one moment. The beginning outlives a restart."""
        day = begun(self._day, self._balances.values(), self.ctx.clock.wall_ms())
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

    def _sane(self, holding: Position | Balance) -> bool:
        try:
            holding.check()
        except ModelError as error:
            self._notify(Severity.ERROR, "venue.absurd", f"{holding.key}: {error}")
            return False
        return True

    @on(GetHoldings)
    def get_holdings(self, _message: GetHoldings) -> Holdings:
        return self._holdings()

    def _holdings(self) -> Holdings:
        return Holdings(
            tuple(self._positions.values()),
            tuple(self._balances.values()),
            looked_ms=self._looked_ms,
            day=self._day.day if self._day else 0,
            day_pnl=day_pnl(self._day, self._balances.values()),
        )

    def _tell_holdings(self) -> None:
        """The queue judges orders by it and the watcher waits for it. Of several the newest one waits in a mailbox."""
        changed = HoldingsChanged(self._holdings())
        self._desk.orders.tell(changed)
        self._desk.triggers.tell(changed)


def _moved(before: Position | None, after: Position) -> bool:
    """Whether the holding itself changed; marks move all the time and are not a change."""
    if before is None:
        return bool(after.amount)
    held = (before.amount, before.average_price, before.realised_pnl)
    return held != (after.amount, after.average_price, after.realised_pnl)


def _cash(balance: Balance | None) -> object:
    """What of a balance is worth a commit: equity and margins move with every mark."""
    return balance and balance.balance
