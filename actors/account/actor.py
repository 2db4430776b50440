"""The account itself: it listens to its stream, and is in step or says that it is not."""

from functools import partial
from typing import ClassVar

import trio

from actors.account.asking import Asker, PassFailed, Snapshot
from actors.account.desk import AccountDesk
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
from engine.model import Balance, Fill, OrderReport, Position, SyncReport
from engine.venues.base import Connected, VenueError


class SyncDue(Message, frozen=True):
    """The timer of the periodic pass."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Account(Asker):
    """See the package's page."""

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__(desk)
        self._stream = PrivateStream(desk, self.ctx)
        self._synced = False
        self._report: SyncReport | None = None
        self._waiting: list[Reply[SyncReport]] = []
        self._wanted = trio.Event()

    async def on_start(self) -> None:
        """Remember what was last stored, then listen and keep in step. Nothing here waits for the venue."""
        await self._desk.recorder.call(Record(()), timeout_s=30.0)
        self.spawn(self._ledger.run, name="ledger")
        self._recall_holdings()
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

    @on(GetSyncReport)
    def get_report(self, _message: GetSyncReport) -> SyncReport | None:
        return self._report

    async def _keep_in_step(self) -> None:
        """One pass at a time, whenever one is wanted."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            waiting, self._waiting = self._waiting, []
            report = await self._step()
            for reply in waiting:  # who asked may read the store next
                self._ledger.after(partial(reply.send, report))
            if not report.whole:
                await self.ctx.clock.sleep(self._settings.sync_retry_s)
                self._wanted.set()

    async def _step(self) -> SyncReport:
        """One pass and what it found."""
        started_at_ms = self.ctx.clock.wall_ms()
        try:
            await self._pass()
            error = ""
        except (VenueError, PassFailed) as trouble:
            error = f"{type(trouble).__name__}: {trouble}"
            self.log.warning("sync failed, trying again: {}", error)
        self._report = SyncReport(
            account=self._desk.account, started_at_ms=started_at_ms, ended_at_ms=self.ctx.clock.wall_ms(), error=error
        )
        return self._report

    async def _pass(self) -> None:
        """All questions, taken by the queue and on disk; only then does the next pass look back less far.

        Raises `VenueError` and `PassFailed`.
        """
        connection, listening = self._stream.connection, self._stream.complete
        snapshot = await self._ask_everything()
        self._take_holdings(snapshot.positions, snapshot.balances, snapshot.venue_ms)
        listening = listening and connection == self._stream.connection
        if listening:
            self._doubt_stream(snapshot)
        await self._hand_over(Reconcile(snapshot.live, snapshot.fills, snapshot.asked_at_ms, listening))
        self._synced = listening and connection == self._stream.connection
        if listening and not self._synced:
            self._desk.orders.tell(Unsynced("the private stream ended during the pass"))
        self._move_cursor(snapshot.venue_ms)

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
