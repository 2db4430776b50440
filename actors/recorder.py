"""The recorder: everything the node must not forget goes through it, and comes back only when it is on disk.

A flush costs the same for one entry as for hundreds, so what arrives while a flush is under way waits and goes together
as the next group: one transaction, one flush, then every caller is answered. Under load the groups grow by themselves
and nobody tunes a delay.

The disk blocks, the loop must not: in production the store is written by a thread of its own, a `pykka.ThreadingActor`.
Runs under a mock clock write inline, because a real thread would let that clock run past every deadline.

A commit that fails, or does not come back in time, ends the process: memory and disk no longer agree, and a new start
is the one way back. The supervisor never restarts this actor.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
import pykka
import trio

from actors._store_host import Done, Host, InlineHost, Job, Outcome, StoreThread
from engine.kernel import (
    Actor,
    ActorDown,
    MailboxFull,
    Message,
    Overflow,
    Ref,
    Reply,
    Request,
    on,
)
from engine.store import (
    ALARM_FRACTION,
    GATE_FRACTION,
    Commit,
    CommitRefused,
    JournalEntry,
    Prepared,
    Store,
    StoreError,
    StoreFull,
    Usage,
)

__all__ = [
    "CheckReaders",
    "CheckUsage",
    "CommitTimeout",
    "Committed",
    "Done",
    "Host",
    "Enter",
    "InlineHost",
    "Observe",
    "Record",
    "Recorder",
    "RecorderFull",
    "RecorderSettings",
    "Retain",
    "StoreUsage",
    "ThreadHost",
]

T = TypeVar("T")
STORE_EXIT_CODE = StoreError.exit_code
MAX_GROUP_COMMITS = 4096
MAX_WAITING_COMMITS = 100_000
MAX_OBSERVERS = 64
READER_CHECK_S = 60.0
USAGE_CHECK_S = 10.0
RETAIN_PAUSE_S = 0.1  # between rounds, so that commits go first
MS_PER_DAY = 86_400_000


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the store keeps what has ended, and how long a commit may take. 0 days keep everything in place."""

    commit_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0
    retain_days: Annotated[float, msgspec.Meta(ge=0, le=36_500)] = 90.0
    retain_every_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 3600.0


class RecorderFull(Exception):
    """More commits wait for the disk than the recorder may hold; nothing was recorded."""


class CommitTimeout(Exception):
    """A commit did not come back: whether it is on disk is known after a new start."""


class Record(Request[tuple[int, ...]], frozen=True):
    """Make commits durable, together and in order; the reply is their journal numbers.

    None at all is a barrier: the reply comes when everything recorded before is durable. A commit that cannot be stored
    refuses the whole request (`CommitRefused`) and touches nobody else's; so does `RecorderFull`. Both arrive as the
    cause of a `CallFailed`.
    """

    commits: tuple[Commit, ...]


class Enter(Message, frozen=True):
    """Make commits durable; nobody waits for it, and when there is no room the oldest are lost. For what is worth an entry and no delay."""

    overflow: ClassVar[Overflow] = Overflow.DROP_OLDEST
    commits: tuple[Commit, ...]


class Observe(Message, frozen=True):
    """Tell `observer` every `StoreUsage` from now on, a mark that was crossed before at once, and with `commits` every `Committed`."""

    observer: Ref
    commits: bool = True


class Committed(Message, frozen=True):
    """What became durable. After a gap before `first_seq` (a slow observer, the store's own upkeep) the journal has the rest."""

    overflow: ClassVar[Overflow] = Overflow.DROP_OLDEST
    first_seq: int
    entries: tuple[JournalEntry, ...]


class StoreUsage(Message, frozen=True):
    """The store crossed a mark, up or down: `alarm` above 50 %, `gate_closed` above 80 %."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    usage: Usage
    alarm: bool
    gate_closed: bool


class CheckReaders(Message, frozen=True):
    """Free what readers that died still hold."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class CheckUsage(Message, frozen=True):
    """Look how full the store is."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Retain(Message, frozen=True):
    """Move what is past retention out of the way."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class ThreadHost:
    """In a thread of its own: production."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ref = StoreThread.start(store, trio.lowlevel.current_trio_token())

    def submit(self, job: Callable[[Store], Any], done: Done) -> None:
        try:
            self._ref.tell(Job(job, done))
        except pykka.ActorDeadError as error:
            done(Outcome(error=error))

    async def aside(self, job: Callable[[Store], T]) -> T:
        return await trio.to_thread.run_sync(job, self._store, abandon_on_cancel=True)

    def close(self) -> None:
        if self._ref.is_alive():
            self._ref.stop(block=False)


class Waiting(msgspec.Struct, frozen=True):
    """One caller's request, encoded; without `reply` nobody waits for it."""

    commits: tuple[Commit, ...]
    prepared: list[Prepared]
    reply: Reply[tuple[int, ...]] | None

    @property
    def given_up(self) -> bool:
        return self.reply is not None and self.reply.done


class Recorder(Actor):
    """See the module's page."""

    mailbox_capacity = 10_000

    def __init__(
        self, store: Store, settings: RecorderSettings | None = None, host: Callable[[Store], Host] = ThreadHost
    ) -> None:
        super().__init__()
        self._store = store
        self._settings = settings or RecorderSettings()
        self._make_host = host
        self._waiting: list[Waiting] = []
        self._waiting_commits = 0
        self._writing = False
        self._idle = trio.Event()
        self._failed = trio.Event()
        self._error: Exception | None = None
        self._patience = trio.CancelScope()
        self._observers: dict[str, Observe] = {}
        self._crossed = StoreUsage(Usage(0, 1, 0, 0), alarm=False, gate_closed=False)
        self._retaining = False

    async def on_start(self) -> None:
        self._host = self._make_host(self._store)
        self._idle.set()
        self.spawn(self._watch, name="watch")
        self.every(READER_CHECK_S, CheckReaders())
        self.every(USAGE_CHECK_S, CheckUsage())
        self.check_usage(CheckUsage())
        if self._settings.retain_days > 0:
            self.every(self._settings.retain_every_s, Retain())

    async def on_stop(self) -> None:
        """Finish what was taken; the supervisor's stop deadline bounds it."""
        await self._idle.wait()

    # ── commits ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Record)
    def record(self, message: Record) -> tuple[int, ...] | None:
        if self._error is not None:
            raise self._error
        if not message.commits and not self._writing:
            return ()
        reply = self.defer_reply()
        try:
            self._take_in(message.commits, reply)
        except (CommitRefused, RecorderFull) as error:
            self.log.error("refused a commit: {}", error)
            reply.fail(error)
        return None

    @on(Enter)
    def enter(self, message: Enter) -> None:
        if self._error is not None:
            return
        try:
            self._take_in(message.commits, None)
        except (CommitRefused, RecorderFull) as error:
            self.log.error("not entered: {}", error)

    def _take_in(self, commits: tuple[Commit, ...], reply: Reply[tuple[int, ...]] | None) -> None:
        """Into the next group. Raises `CommitRefused`, `RecorderFull`."""
        if self._waiting_commits + len(commits) > MAX_WAITING_COMMITS:
            raise RecorderFull(f"{self._waiting_commits} commits wait, no room for {len(commits)} more")
        now_ms = self.ctx.clock.wall_ms()
        prepared = [self._store.prepare(commit, now_ms) for commit in commits]
        self._waiting.append(Waiting(commits, prepared, reply))
        self._waiting_commits += len(prepared)
        if not self._writing:
            self._write_next()

    def _write_next(self) -> None:
        """Hand the next group to the host, or rest."""
        group = self._take()
        while not group and self._waiting:
            group = self._take()  # all callers of the last one gave up
        self._writing = bool(group)
        if not group:
            self._idle.set()
            self._patience.deadline = math.inf
            return
        if self._idle.is_set():
            self._idle = trio.Event()
        self._patience.deadline = trio.current_time() + self._settings.commit_timeout_s
        prepared = [item for waiting in group for item in waiting.prepared]
        self._host.submit(lambda store: store.write(prepared), lambda outcome: self._written(group, prepared, outcome))

    def _take(self) -> list[Waiting]:
        """What goes into the next group: whole requests, as many as fit, without callers that gave up."""
        count = size = 0
        for waiting in self._waiting:
            size += len(waiting.prepared)
            if count and size > MAX_GROUP_COMMITS:
                break
            count += 1
        taken = self._waiting[:count]
        del self._waiting[:count]
        self._waiting_commits -= sum(len(waiting.prepared) for waiting in taken)
        return [waiting for waiting in taken if not waiting.given_up]

    def _written(self, group: list[Waiting], prepared: list[Prepared], outcome: Outcome) -> None:
        """A group is on disk: answer, tell, go on. Called by the loop itself, where nothing may be raised."""
        if outcome.error is not None:
            self._fail(outcome.error)
            return
        try:
            self._answer(group, prepared, outcome.value)
            self._write_next()
        except Exception as error:  # noqa: BLE001 - a bug here ends this actor instead of the loop
            self._fail(error)

    def _answer(self, group: list[Waiting], prepared: list[Prepared], seqs: list[int]) -> None:
        at = 0
        for waiting in group:
            if waiting.reply is not None:
                waiting.reply.send(tuple(seqs[at : at + len(waiting.prepared)]))
            at += len(waiting.prepared)
        if seqs and any(observed.commits for observed in self._observers.values()):
            commits = (commit for waiting in group for commit in waiting.commits)
            entries = tuple(item.entry(commit) for item, commit in zip(prepared, commits, strict=True))
            self._tell_observers(Committed(seqs[0], entries))

    def _fail(self, error: Exception) -> None:
        """Memory and disk no longer agree: end the process, and this actor at once."""
        if self._error is None:
            self._error = error
            self._failed.set()
            self.log.critical("the store failed, the process ends: {}", error)
            self.ctx.system.request_exit(STORE_EXIT_CODE, str(error))

    async def _watch(self) -> None:
        """Crash when a job failed, or when the disk has not answered for too long."""
        try:
            with self._patience:
                await self._failed.wait()
            error = self._error or self._too_slow()
            self._fail(error)
            raise error
        finally:
            self._host.close()

    async def _run(self, job: Callable[[Store], T]) -> T:
        """The value of a job that changes the store, between two groups."""
        outcomes: list[Outcome] = []
        arrived = trio.Event()

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            arrived.set()

        self._host.submit(job, done)
        with trio.move_on_after(self._settings.commit_timeout_s):
            await arrived.wait()
        outcome = outcomes[0] if outcomes else Outcome(error=self._too_slow())
        if outcome.error is not None:
            self._fail(outcome.error)
            raise outcome.error
        value: T = outcome.value
        return value

    def _too_slow(self) -> CommitTimeout:
        return CommitTimeout(f"no answer from the disk within {self._settings.commit_timeout_s} s")

    # ── observers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Observe)
    def observe(self, message: Observe) -> None:
        if message.observer.path not in self._observers and len(self._observers) >= MAX_OBSERVERS:
            self.log.error("no room for observer {}: {} are watching", message.observer.path, MAX_OBSERVERS)
            return
        self._observers[message.observer.path] = message
        if self._crossed.alarm:
            self._tell(message.observer, self._crossed)

    def _tell_observers(self, message: Committed | StoreUsage) -> None:
        for observed in self._observers.values():
            if observed.commits or isinstance(message, StoreUsage):
                self._tell(observed.observer, message)

    def _tell(self, observer: Ref, message: Message) -> None:
        try:
            observer.tell(message)
        except (MailboxFull, ActorDown):
            return  # what it misses shows as a gap, and the journal has it

    # ── upkeep ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(CheckReaders)
    def check_readers(self, message: CheckReaders) -> None:
        freed = self._store.reader_check()
        if freed:
            self.log.info("freed {} slots of readers that died", freed)

    @on(CheckUsage)
    def check_usage(self, message: CheckUsage) -> None:
        usage = self._store.usage()
        marks = (usage.fraction >= ALARM_FRACTION, usage.fraction >= GATE_FRACTION)
        if marks != (self._crossed.alarm, self._crossed.gate_closed):
            self._crossed = StoreUsage(usage, alarm=marks[0], gate_closed=marks[1])
            self.log.warning("the store is {:.0%} full", usage.fraction)
            self._tell_observers(self._crossed)

    @on(Retain)
    def retain(self, message: Retain) -> None:
        if not self._retaining:
            self._retaining = True
            self.spawn(self._retain, name="retention")

    async def _retain(self) -> None:
        """Round after round until nothing is past retention."""
        before_ms = self.ctx.clock.wall_ms() - round(self._settings.retain_days * MS_PER_DAY)
        try:
            more = True
            while more:
                more = await self._retain_some(before_ms)
                await trio.sleep(RETAIN_PAUSE_S)
        except StoreFull as error:
            self.log.error("no room for an archive, retention waits: {}", error)
        finally:
            self._retaining = False

    async def _retain_some(self, before_ms: int) -> bool:
        deleted = await self._run(lambda store: store.expire(before_ms))
        archive = await self._host.aside(lambda store: store.archive(before_ms))
        if archive is not None:
            await self._run(lambda store: store.drop_archived(archive))
        return deleted > 0 or archive is not None
