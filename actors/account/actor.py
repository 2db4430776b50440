"""The account itself: it listens to its stream, and is in step or says that it is not."""

from collections.abc import Iterable
from typing import ClassVar

import trio

from actors.account.asking import PassFailed, Snapshot
from actors.account.desk import AccountDesk
from actors.account.reckoning import Accountant
from actors.account.stream import PrivateStream, StreamDown, StreamEvents
from actors.messages import (
    GetSyncReport,
    KeyReplaced,
    Reconcile,
    SyncNow,
    SyncSoon,
    Unsynced,
    VenueReachable,
    VenueWord,
)
from actors.recorder import Record
from engine.kernel import Message, Overflow, Reply, on
from engine.model import Balance, Discrepancy, Fill, OrderReport, Position, SyncReport, SyncResult
from engine.venues.base import Connected, VenueError

MAX_REPORTED = 1000


class SyncDue(Message, frozen=True):
    """The timer of the periodic pass."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Uncompared:
    """The newest pass whose balances are still to be compared, since when passes wait for that, and who does."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._since_ms = 0
        self._waiting: list[Reply[SyncReport]] = []
        self._there = trio.Event()

    def add(self, snapshot: Snapshot, started_at_ms: int, waiting: Iterable[Reply[SyncReport]]) -> None:
        self._since_ms = started_at_ms if self._snapshot is None else self._since_ms
        self._snapshot = snapshot
        self._waiting += waiting
        self._there.set()

    async def take(self) -> tuple[Snapshot, int, list[Reply[SyncReport]]]:
        """Wait for one."""
        await self._there.wait()
        taken = self._snapshot
        assert taken is not None, "what is there has a pass"
        waiting, self._waiting, self._snapshot, self._there = self._waiting, [], None, trio.Event()
        return taken, self._since_ms, waiting


class Account(Accountant):
    """See the package's page."""

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__(desk)
        self._stream = PrivateStream(desk, self.ctx)
        self._report: SyncReport | None = None
        self._waiting: list[tuple[Reply[SyncReport], bool]] = []
        self._uncompared = Uncompared()
        self._reckon_from_s = 0.0  # earliest next reading of the statement that nobody asked for

    async def on_start(self) -> None:
        """Remember what was last stored, then listen and keep in step. Nothing here waits for the venue."""
        await self._desk.recorder.call(Record(()), timeout_s=30.0)
        self.spawn(self._ledger.run, name="ledger")
        self._recall_holdings()
        self._recall_strangers()
        self._recall_statement()
        self._out_of_step("the account has not been reconciled yet")
        self.spawn(self._stream.run, name="private stream")
        self.spawn(self._stream.attend, name="private stream upkeep")
        self.spawn(self._keep_in_step, name="sync")
        self.spawn(self._keep_reckoning, name="reckoning")
        self.every(self._settings.sync_every_s, SyncDue())

    # ── the private stream ────────────────────────────────────────────────────────────────────────────────────────────

    @on(StreamEvents)
    def stream_events(self, message: StreamEvents) -> None:
        reports = tuple(event for event in message.events if isinstance(event, OrderReport))
        fills = tuple(event for event in message.events if isinstance(event, Fill))
        if reports or fills:
            self._desk.orders.tell(VenueWord(reports, fills))
        self._heard_reports(reports)
        positions = [event for event in message.events if isinstance(event, Position)]
        balances = [event for event in message.events if isinstance(event, Balance)]
        self._heard_holdings(positions, balances)
        complete = any(isinstance(event, Connected) for event in message.events)
        if complete and self._stream.heard_complete(message.connection):
            self.log.info("private stream connected")
            self._wanted.set()

    @on(KeyReplaced)
    def key_replaced(self, _message: KeyReplaced) -> None:
        """What was opened with the old pair ends with it, sooner or later: better now, when a new one is at hand."""
        self._stream.give_up("the key pair was replaced")

    @on(StreamDown)
    def stream_down(self, message: StreamDown) -> None:
        self.log.warning("private stream down: {}", message.reason)
        if self._synced:
            self._out_of_step(message.reason)

    def _out_of_step(self, reason: str) -> None:
        """Orders wait, and what is held may change unheard."""
        self._synced = False
        self._desk.orders.tell(Unsynced(reason))
        self._desk.triggers.tell(Unsynced(reason))

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
    def sync_now(self, message: SyncNow) -> None:
        self._waiting.append((self.defer_reply(), message.holdings_only))
        self._wanted.set()

    @on(GetSyncReport)
    def get_report(self, _message: GetSyncReport) -> SyncReport | None:
        return self._report

    async def _keep_in_step(self) -> None:
        """One pass at a time, whenever one is wanted."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            waiting, self._waiting = self._waiting, []
            started_at_ms = self._now_ms()
            try:
                snapshot = await self._pass()
            except (VenueError, PassFailed) as trouble:
                error = f"{type(trouble).__name__}: {trouble}"
                self.log.warning("sync failed, trying again: {}", error)
                self._report = self._report_of(started_at_ms, error=error)
                self._answer([reply for reply, _ in waiting], self._report)
                await self.ctx.clock.sleep(self._settings.sync_retry_s)
                self._wanted.set()
            else:
                await self._on_disk()
                soon = [reply for reply, holdings_only in waiting if holdings_only]
                later = [reply for reply, holdings_only in waiting if not holdings_only]
                self._answer(soon, self._report_of(started_at_ms, unchecked="not waited for"))
                if later or self._doubts or self.ctx.clock.monotonic_s() >= self._reckon_from_s:
                    self._uncompared.add(snapshot, started_at_ms, later)

    async def _keep_reckoning(self) -> None:
        """Compare the balances of the newest pass with the statement, one after the other."""
        while True:
            snapshot, started_at_ms, waiting = await self._uncompared.take()
            self._reckon_from_s = self.ctx.clock.monotonic_s() + self._settings.statement_every_s
            unchecked = await self._reckon(snapshot.balances, snapshot.venue_ms, snapshot.asked_s)
            await self._on_disk()
            self._report = self._report_of(started_at_ms, unchecked=unchecked, results=self._results())
            self._answer(waiting, self._report)

    def _answer(self, waiting: Iterable[Reply[SyncReport]], report: SyncReport) -> None:
        for reply in waiting:
            reply.send(report)

    def _report_of(
        self, started_at_ms: int, *, error: str = "", unchecked: str = "", results: tuple[SyncResult, ...] = ()
    ) -> SyncReport:
        return SyncReport(
            account=self._desk.account,
            started_at_ms=started_at_ms,
            ended_at_ms=self._now_ms(),
            results=results,
            discrepancies=self._found_since(started_at_ms),
            error=error,
            unchecked=unchecked,
            mode=self._settings.mode,
        )

    async def _pass(self) -> Snapshot:
        """All questions, taken by the queue and on disk; only then does the next pass look back less far.

        Raises `VenueError` and `PassFailed`.
        """
        connection, listening = self._stream.connection, self._stream.complete
        snapshot = await self._ask_everything(self._stream.complete_for_s)
        moved = self._large_moves(snapshot.balances)
        if moved:
            await self._read_in_haste(moved, snapshot.venue_ms, snapshot.asked_s)
        self._take(snapshot)
        listening = listening and connection == self._stream.connection
        if listening:
            self._doubt_stream(snapshot)
        await self._hand_over(_word(snapshot, listening=listening))
        self._synced = listening and connection == self._stream.connection
        if listening and not self._synced:
            self._out_of_step("the private stream ended during the pass")
        self._tell_watcher()
        self._move_cursor(snapshot.venue_ms)
        return snapshot

    def _take(self, snapshot: Snapshot) -> None:
        self._take_holdings(
            snapshot.positions, snapshot.balances, venue_ms=snapshot.venue_ms, asked_s=snapshot.holdings_asked_s
        )
        self._see(snapshot.balances)
        self._take_reports(snapshot.live, snapshot.asked_at_ms)

    def _found_since(self, at_ms: int) -> tuple[Discrepancy, ...]:
        table = self._desk.store.table("discrepancies")
        keys = self._desk.store.index("discrepancies_by_time").iterate(start=(at_ms,), limit=MAX_REPORTED)
        found = (table.get(key) for _, key in keys)
        return tuple(one for one in found if one is not None and one.account == self._desk.account)

    def _doubt_stream(self, snapshot: Snapshot) -> None:
        """Give the connection up if a fill happened well within its life and it has not told it until now."""
        told = snapshot.told
        if told is None:
            return
        stored = self._desk.store.table("fills")
        for fill in snapshot.fills:
            if told.since_ms < fill.filled_at_ms < told.until_ms and stored.get(fill.key) is None:
                self.log.warning("the private stream is connected and did not tell of fill {}", fill.key)
                self._stream.give_up()
                return


def _word(snapshot: Snapshot, *, listening: bool) -> Reconcile:
    """A pass as the order queue is told of it."""
    return Reconcile(
        snapshot.live,
        snapshot.fills,
        snapshot.asked_at_ms,
        listening,
        told=snapshot.told if listening else None,
        positions=snapshot.positions,
        positions_known=True,
        venue_ms=snapshot.venue_ms,
    )
