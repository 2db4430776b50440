"""One account at a venue: its private stream, and the passes that keep the node in step with the exchange.

The private stream is fast and may miss something; a pass over REST is slow and complete. So the stream is trusted for
news and never for silence: a pass runs before the first order may leave, after every reconnect, on a timer, and when
somebody noticed that something is missing. The order gate is open only between a successful pass and the next
disconnect.

A pass asks for live orders, fills since the last complete pass (with an overlap), positions and balances. Any query
that fails fails the pass: nothing is concluded from half an answer, and it is tried again. Only fills are facts by
themselves: after days away they come in many pages, and each page is on disk before the next is asked for.
Orders and fills go to the order queue, which alone decides about them. Positions and balances are stored here, as the
venue states them and never from our own arithmetic, and those who judge orders by them are told whenever any of it moved.

A stream may be acknowledged, beat its heart and say nothing. If a pass finds a fill that the stream should have told
long ago, the connection is given up for a new one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import msgspec
import trio

from actors._account_desk import AccountDesk, AccountSettings
from actors._ledger import Ledger
from actors._private_stream import PrivateStream, StreamDown, StreamEvents
from actors.messages import (
    GetHoldings,
    HearFills,
    Holdings,
    HoldingsChanged,
    Notify,
    Reconcile,
    SyncNow,
    SyncSoon,
    Unsynced,
    VenueReachable,
    VenueWord,
    ask_venue,
)
from actors.recorder import Record
from engine.kernel import (
    Actor,
    ActorDown,
    CallFailed,
    CallTimeout,
    MailboxFull,
    Message,
    Overflow,
    Reply,
    Request,
    on,
)
from engine.model import (
    ZERO,
    Balance,
    DayStart,
    Fill,
    ModelError,
    Notice,
    OrderReport,
    Position,
    Severity,
    begun,
    day_pnl,
)
from engine.store import Change, Commit, Put
from engine.venues.base import Connected, FillPage, VenueError, VenueRest

__all__ = ["Account", "AccountDesk", "AccountSettings"]

MAX_FILL_PAGES = 200


class SyncDue(Message, frozen=True):
    """The timer of the periodic pass."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Snapshot(msgspec.Struct, frozen=True):
    """All answers of one pass; `asked_at_ms` is before the first question."""

    asked_at_ms: int
    venue_ms: int
    live: tuple[OrderReport, ...]
    fills: tuple[Fill, ...]
    positions: tuple[Position, ...]
    balances: tuple[Balance, ...]


class Account(Actor):
    """See the module's page."""

    mailbox_capacity = 10_000

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__()
        self._desk = desk
        self._settings = desk.settings
        self._ledger = Ledger(desk.recorder)
        self._positions: dict[str, Position] = {}
        self._balances: dict[str, Balance] = {}
        self._looked_ms = 0  # the venue's time of the last complete pass
        self._day: DayStart | None = None
        self._stream = PrivateStream(desk, self.ctx)
        self._synced = False
        self._waiting: list[Reply[bool]] = []
        self._wanted = trio.Event()

    async def on_start(self) -> None:
        """Remember what was last stored, then listen and keep in step. Nothing here waits for the venue."""
        await self._desk.recorder.call(Record(()), timeout_s=30.0)
        self.spawn(self._ledger.run, name="ledger")
        mine = self._desk.account
        self._positions = {
            key: row for key, row in self._desk.store.table("positions").iterate() if row.account == mine
        }
        self._balances = {key: row for key, row in self._desk.store.table("balances").iterate() if row.account == mine}
        self._day = self._desk.store.meta(self._day_key, DayStart)
        self._desk.orders.tell(Unsynced("the account has not been reconciled yet"))
        self.spawn(self._stream.run, name="private stream")
        self.spawn(self._stream.attend, name="private stream upkeep")
        self.spawn(self._keep_in_step, name="sync")
        self.every(self._settings.sync_every_s, SyncDue())

    # ── the private stream ────────────────────────────────────────────────────────────────────────────────────────────

    @on(StreamEvents)
    def stream_events(self, message: StreamEvents) -> None:
        reports = tuple(event for event in message.events if isinstance(event, OrderReport))
        fills = tuple(event for event in message.events if isinstance(event, Fill))
        if reports or fills:
            self._desk.orders.tell(VenueWord(reports, fills))
        positions = [event for event in message.events if isinstance(event, Position)]
        balances = [event for event in message.events if isinstance(event, Balance)]
        if positions or balances:
            self._store_holdings(positions, balances, "stream")
            self._tell_holdings()
        complete = any(isinstance(event, Connected) for event in message.events)
        if complete and self._stream.heard_complete(message.connection):
            self.log.info("private stream connected")
            self._wanted.set()

    @on(StreamDown)
    def stream_down(self, message: StreamDown) -> None:
        self.log.warning("private stream down: {}", message.reason)
        if self._synced:
            self._synced = False
            self._desk.orders.tell(Unsynced(message.reason))

    # ── passes ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(SyncDue)
    def sync_due(self, _message: SyncDue) -> None:
        self._wanted.set()

    @on(SyncSoon)
    def sync_soon(self, message: SyncSoon) -> None:
        self.log.info("sync wanted: {}", message.reason)
        self._wanted.set()

    @on(VenueReachable)
    def venue_reachable(self, _message: VenueReachable) -> None:
        self._wanted.set()

    @on(SyncNow)
    def sync_now(self, _message: SyncNow) -> None:
        self._waiting.append(self.defer_reply())
        self._wanted.set()

    async def _keep_in_step(self) -> None:
        """One pass at a time, whenever one is wanted."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            waiting, self._waiting = self._waiting, []
            done = await self._step()
            for reply in waiting:  # who asked may read the store next
                self._ledger.after(partial(reply.send, done))
            if not done:
                await self.ctx.clock.sleep(self._settings.sync_retry_s)
                self._wanted.set()

    async def _step(self) -> bool:
        """One pass, taken by the queue and on disk; only then does the next one look back less far."""
        connection = self._stream.connection
        listening = self._stream.complete
        snapshot = await self._pass()
        if snapshot is None:
            return False
        self._take_holdings(snapshot)
        listening = listening and connection == self._stream.connection
        if listening:
            self._doubt_stream(snapshot)
        if not await self._hand_over(Reconcile(snapshot.live, snapshot.fills, snapshot.asked_at_ms, listening)):
            return False
        self._synced = listening and connection == self._stream.connection
        if listening and not self._synced:
            self._desk.orders.tell(Unsynced("the private stream ended during the pass"))
        self._move_cursor(snapshot.venue_ms)
        return True

    async def _hand_over(self, message: Request[bool]) -> bool:
        """Whether the order queue took it and has it on disk."""
        try:
            return await self._desk.orders.call(message, timeout_s=self._settings.query_timeout_s)
        except (ActorDown, CallTimeout, CallFailed, MailboxFull) as error:
            self.log.warning("the order queue did not take a pass, trying again: {}", error)
            return False

    def _move_cursor(self, venue_ms: int) -> None:
        cursor = Put("meta", self._cursor_key, venue_ms)
        self._ledger.write(Commit("account.synced", (cursor,), actor=self.ctx.path), _nothing)

    def _doubt_stream(self, snapshot: Snapshot) -> None:
        """Give the connection up if a fill happened well within its life and it has not told it until now."""
        newest_ms = snapshot.venue_ms - int(self._settings.deaf_after_s * 1000)
        oldest_ms = snapshot.venue_ms - int((self._stream.complete_for_s - self._settings.deaf_after_s) * 1000)
        stored = self._desk.store.table("fills")
        for fill in snapshot.fills:
            if oldest_ms < fill.filled_at_ms < newest_ms and stored.get(fill.key) is None:
                self.log.warning("the private stream is connected and did not tell of fill {}", fill.key)
                self._stream.give_up()
                return

    async def _pass(self) -> Snapshot | None:
        """All questions, or None if one of them was not answered."""
        asked_at_ms = self.ctx.clock.wall_ms()
        try:
            venue_ms = await self._ask("time", lambda rest: rest.server_time_ms())
            live = await self._ask("open orders", lambda rest: rest.open_orders())
            fills = await self._fills(self._since_ms(venue_ms))
            positions = await self._ask("positions", lambda rest: rest.positions())
            balances = await self._ask("balances", lambda rest: rest.balances())
        except VenueError as error:
            self.log.warning("sync failed, trying again: {}: {}", type(error).__name__, error)
            return None
        return Snapshot(asked_at_ms, venue_ms, live, fills, positions, balances)

    async def _fills(self, since_ms: int) -> tuple[Fill, ...]:
        """The newest fills from `since_ms` on. What does not fit in one page goes to the queue page by page before, so
        that a long absence is caught up with in any number of passes.
        """
        before: set[str] = set()
        for _ in range(MAX_FILL_PAGES):
            page: FillPage = await self._ask("fills", partial(_fills_since, since_ms=since_ms))
            if page.complete:
                return page.fills
            keys = {fill.key for fill in page.fills}
            if keys <= before:
                raise VenueError(f"fills since {since_ms}: a full page brought nothing new")
            if not await self._hand_over(HearFills(page.fills)):
                raise VenueError(f"fills since {since_ms}: the order queue did not take them")
            before = keys
            since_ms = max(fill.filled_at_ms for fill in page.fills)
            self._move_cursor(since_ms)
        raise VenueError(f"fills since {since_ms}: more than {MAX_FILL_PAGES} pages, the rest comes with the next pass")

    def _since_ms(self, venue_ms: int) -> int:
        """Where a pass begins to read fills: behind the last complete pass, or far back when there was none."""
        cursor: int | None = self._desk.store.meta(self._cursor_key, int)
        if cursor is None:
            return venue_ms - int(self._settings.first_lookback_s * 1000)
        return cursor - int(self._settings.overlap_s * 1000)

    def _take_holdings(self, snapshot: Snapshot) -> None:
        held = {position.key for position in snapshot.positions}
        closed = [
            msgspec.structs.replace(position, amount=ZERO, average_price=None, updated_at_ms=snapshot.venue_ms)
            for key, position in self._positions.items()
            if key not in held and position.amount
        ]
        self._looked_ms = snapshot.venue_ms
        self._store_holdings([*snapshot.positions, *closed], list(snapshot.balances), "sync")
        self._begin_day()
        self._tell_holdings()

    def _begin_day(self) -> None:
        """At a pass, since only then all balances are of one moment. The beginning outlives a restart."""
        day = begun(self._day, self._balances.values(), self.ctx.clock.wall_ms())
        if day != self._day:
            self._day = day
            put = Put("meta", self._day_key, day)
            self._ledger.write(Commit("account.day", (put,), actor=self.ctx.path), _nothing)

    @property
    def _cursor_key(self) -> str:
        return f"synced:{self._desk.account}"

    @property
    def _day_key(self) -> str:
        return f"day:{self._desk.account}"

    # ── holdings ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _store_holdings(self, positions: list[Position], balances: list[Balance], source: str) -> None:
        """Store what changed; an absurd figure is reported and not stored."""
        changes: list[Change] = []
        for position in positions:
            if not self._sane(position):
                continue
            if _moved(self._positions.get(position.key), position):
                changes.append(Put("positions", position.key, position))
                changes.append(Put("position_changes", (position.key, position.updated_at_ms), position))
            self._positions[position.key] = position
        for balance in balances:
            if not self._sane(balance):
                continue
            if _cash(self._balances.get(balance.key)) != _cash(balance):
                changes.append(Put("balances", balance.key, balance))
            self._balances[balance.key] = balance
        if changes:
            self._ledger.write(Commit(f"account.{source}", tuple(changes), actor=self.ctx.path), _nothing)

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

    async def _ask(self, what: str, do: Callable[[Any], Any]) -> Any:
        return await ask_venue(
            self._desk.session, what, do, account=self._desk.account, timeout_s=self._settings.query_timeout_s
        )

    def _notify(self, severity: Severity, kind: str, text: str) -> None:
        notice = Notice(
            notice_id=self.ctx.entropy.token(12),
            at_ms=self.ctx.clock.wall_ms(),
            severity=severity,
            kind=kind,
            text=text,
            actor=self.ctx.path,
        )
        self._desk.notifier.tell(Notify(notice))


async def _fills_since(rest: VenueRest, *, since_ms: int) -> FillPage:
    return await rest.fills_since(since_ms)


def _moved(before: Position | None, after: Position) -> bool:
    """Whether the holding itself changed; marks move all the time and are not a change."""
    if before is None:
        return bool(after.amount)
    held = (before.amount, before.average_price, before.realised_pnl)
    return held != (after.amount, after.average_price, after.realised_pnl)


def _cash(balance: Balance | None) -> object:
    """What of a balance is worth a commit: equity and margins move with every mark."""
    return balance and balance.balance


def _nothing(_seq: int) -> None:
    pass
