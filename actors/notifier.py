"""The notifier: what people must know reaches them, once, and soon enough to matter.

Every notice goes to the log. From `warning` up it is stored before anything is sent, so that `tradenode notices` shows
it; from `error` up the store is also the outbox: what a channel has not taken is tried again after a restart and every
`retry_later_s`, for `keep_trying_s` after it happened. Delivery is at least once: a crash between the channel's answer
and its record sends a message again, which is better than never. Warnings and information are tried while the process
lives.

Sending happens in the outboxes (`actors._outbox`), two for each channel: one gathers and paces, one is for emergencies
and does neither. If the store does not answer, the notice is sent all the same: that the store is in trouble is news.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import msgspec
import trio

from actors._digest import Outgoing, at_least
from actors._outbox import Outbox, OutboxSettings, Pace
from actors._webhook import Channel, DeliveryFailed, Webhook, WebhookSettings
from actors.messages import Notify
from actors.recorder import Record
from engine.kernel import Actor, ChildSpec, KernelError, Message, OnExhausted, Overflow, Ref, Request, on
from engine.model import Notice, Severity
from engine.net import FunctionTransport
from engine.store import Commit, Put, Store

__all__ = [
    "ChannelResult",
    "Notifier",
    "NotifierDesk",
    "NotifierSettings",
    "TestChannels",
    "WebhookSettings",
    "notifier_spec",
]

STORED_FROM = Severity.WARNING
OUTBOX_FROM = Severity.ERROR
COMMIT_TIMEOUT_S = 5.0
MAX_INTAKE = 1000
MAX_TEXT = 4000
MAX_REFILL = 5000
_LEVELS = {
    Severity.INFO: "INFO",
    Severity.WARNING: "WARNING",
    Severity.ERROR: "ERROR",
    Severity.EMERGENCY: "CRITICAL",
}


class NotifierSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Channels beside the log, and how hard to try."""

    outbox: OutboxSettings = OutboxSettings()
    retry_later_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    keep_trying_s: Annotated[float, msgspec.Meta(ge=0)] = 86_400.0
    webhooks: dict[str, WebhookSettings] = {}


class NotifierDesk(msgspec.Struct, frozen=True):
    """What the notifier works with. `transport` is the network; None is the real one."""

    node: str
    store: Store
    recorder: Ref
    settings: NotifierSettings
    transport: FunctionTransport | None = None


class ChannelResult(msgspec.Struct, frozen=True):
    """Whether a channel took a test message."""

    channel: str
    ok: bool
    error: str = ""


class TestChannels(Request[tuple[ChannelResult, ...]], frozen=True):
    """Send a test message through every channel, at once and past all gathering."""

    __test__ = False  # pytest takes it for a test otherwise


class Refill(Message, frozen=True):
    """Time to look in the store for what was not delivered."""

    overflow = Overflow.CONFLATE


class Notifier(Actor):
    """See the module's page."""

    mailbox_capacity = 2000

    def __init__(self, desk: NotifierDesk) -> None:
        super().__init__()
        self._desk = desk
        self._settings = desk.settings
        self._intake: deque[Notice] = deque(maxlen=MAX_INTAKE)
        self._news = trio.Event()
        self._updating = trio.Lock()  # of delivered_to: read, change, write is one step
        self._channels: dict[str, Channel] = {
            name: Webhook(name, webhook, desk.node, desk.transport) for name, webhook in desk.settings.webhooks.items()
        }
        self._ordinary: dict[str, Outbox] = {}
        self._urgent: dict[str, Outbox] = {}

    async def on_start(self) -> None:
        for name, channel in self._channels.items():
            pace = Pace(channel.per_minute)
            self._ordinary[name] = self._outbox(channel, pace, urgent=False)
            self._urgent[name] = self._outbox(channel, pace, urgent=True)
        self.spawn(self._take_in, name="intake")
        self.ctx.self_ref.tell(Refill())
        self.every(self._settings.retry_later_s, Refill())

    def _outbox(self, channel: Channel, pace: Pace, *, urgent: bool) -> Outbox:
        entropy = self.ctx.entropy.fork(f"notifier/{channel.name}/{urgent}")
        outbox = Outbox(channel, pace, self._settings.outbox, entropy, self._delivered, self.log, urgent=urgent)
        self.spawn(outbox.run, name=f"{channel.name}-{'urgent' if urgent else 'ordinary'}")
        return outbox

    async def on_stop(self) -> None:
        """Store what came in last, so that the next start sends it."""
        await self._store(self._taken())
        for channel in self._channels.values():
            await channel.close()

    # ── taking in ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Notify)
    def notify(self, message: Notify) -> None:
        notice = message.notice
        if len(notice.text) > MAX_TEXT:
            notice = msgspec.structs.replace(notice, text=notice.text[:MAX_TEXT] + "…")
        log = self.log.bind(kind=notice.kind, order_id=notice.order_id)
        log.log(_LEVELS[notice.severity], "{}: {}", notice.kind, notice.text)
        self._intake.append(notice)
        self._news.set()

    async def _take_in(self) -> None:
        """Store what came in, as one group, then hand it to the channels."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            notices = self._taken()
            await self._store(notices)
            table = self._desk.store.table("notices")
            for notice in notices:
                self._hand_out(table.get(notice.notice_id) or notice)  # one that was told before knows who has it

    def _taken(self) -> list[Notice]:
        notices = list(self._intake)
        self._intake.clear()
        return notices

    async def _store(self, notices: Sequence[Notice]) -> None:
        table = self._desk.store.table("notices")
        new = [n for n in notices if at_least(n, STORED_FROM) and table.get(n.notice_id) is None]
        commits = [
            Commit("notice.raised", (Put("notices", notice.notice_id, notice),), actor=self.ctx.path) for notice in new
        ]
        await self._record(commits)

    async def _record(self, commits: Sequence[Commit]) -> None:
        if not commits:
            return
        try:
            await self._desk.recorder.call(Record(tuple(commits)), timeout_s=COMMIT_TIMEOUT_S)
        except KernelError as error:
            self.log.error("{} notices are not stored: {}", len(commits), error)

    def _hand_out(self, notice: Notice) -> None:
        for name, channel in self._channels.items():
            if at_least(notice, channel.min_severity) and name not in notice.delivered_to:
                boxes = self._urgent if notice.severity is Severity.EMERGENCY else self._ordinary
                boxes[name].add(notice)

    # ── the store as outbox ────────────────────────────────────────────────────────────────────────────────────────────

    @on(Refill)
    def refill(self, message: Refill) -> None:
        for notice in reversed(list(self._undelivered())):
            self._hand_out(notice)

    def _undelivered(self) -> Iterator[Notice]:
        """Stored notices that may still be owed to a channel, newest first."""
        since_ms = self.ctx.clock.wall_ms() - int(self._settings.keep_trying_s * 1000)
        table = self._desk.store.table("notices")
        for at_ms, notice_id in self._desk.store.index("notices_by_time").iterate(reverse=True, limit=MAX_REFILL):
            if at_ms < since_ms:
                return
            notice = table.get(notice_id)
            if notice is not None and at_least(notice, OUTBOX_FROM):
                yield notice

    async def _delivered(self, channel: str, notices: Sequence[Notice]) -> None:
        """Note that a channel took them. Those that are not stored need no note."""
        async with self._updating:
            table = self._desk.store.table("notices")
            stored = [row for row in (table.get(n.notice_id) for n in notices if at_least(n, STORED_FROM)) if row]
            changes = tuple(
                Put("notices", row.notice_id, msgspec.structs.replace(row, delivered_to=(*row.delivered_to, channel)))
                for row in stored
                if channel not in row.delivered_to
            )
            if changes:
                await self._record([Commit("notice.delivered", changes, note=channel, actor=self.ctx.path)])

    # ── testing ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(TestChannels)
    def test_channels(self, message: TestChannels) -> None:
        self.spawn(self._test, self.defer_reply().send, name="test")

    async def _test(self, reply: Callable[[tuple[ChannelResult, ...]], None]) -> None:
        now_ms = self.ctx.clock.wall_ms()
        notice = Notice(
            notice_id="test",
            at_ms=now_ms,
            severity=Severity.INFO,
            kind="notify.test",
            text="a test",
            actor=self.ctx.path,
        )
        self.log.info("notify.test: a test")
        message = Outgoing(notice.severity, notice.kind, notice.text, now_ms, (notice,))
        results = [ChannelResult("log", ok=True)]
        for channel in self._channels.values():
            try:
                await channel.send(message)
            except DeliveryFailed as error:
                results.append(ChannelResult(channel.name, ok=False, error=str(error)))
            else:
                results.append(ChannelResult(channel.name, ok=True))
        reply(tuple(results))


def notifier_spec(desk: NotifierDesk) -> ChildSpec:
    """The notifier's place in the tree, under `root/services`."""
    return ChildSpec("notifier", lambda: Notifier(desk), on_exhausted=OnExhausted.PARK, park_s=30.0)
