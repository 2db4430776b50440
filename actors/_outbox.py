"""What one channel still has to send: gathered, paced, retried, bounded.

Ordinary notices wait `coalesce_s` for company and keep to the channel's rate; two messages a minute of that rate are
kept free for emergencies, which have an outbox of their own, wait for nothing and so are never behind a burst or a
retry.

Nothing here is durable. Who fills the outbox keeps the notices that matter in the store and fills it again from there;
what did not fit, or was given up after the last attempt, comes back that way.
"""

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import loguru
import msgspec
import trio

from actors._digest import Outgoing, messages_of
from actors._webhook import Channel, DeliveryFailed
from engine.kernel import Backoff, Entropy
from engine.model import Notice

WINDOW_S = 60.0
RESERVED = 2  # of a channel's messages a minute, for emergencies

Delivered = Callable[[str, Sequence[Notice]], Awaitable[None]]


class OutboxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How notices are gathered, and how long a channel that fails is tried before it gets a rest."""

    coalesce_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 8
    retry_min_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0
    retry_max_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0
    max_waiting: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000


class Pace:
    """Messages of the last minute on one channel. Times are the loop's own."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._sent_s: deque[float] = deque(maxlen=per_minute)

    def room(self, reserved: int) -> int:
        """How many messages may be sent now, leaving `reserved` of the rate alone."""
        since_s = trio.current_time() - WINDOW_S
        used = sum(sent_s > since_s for sent_s in self._sent_s)
        return max(1, self._per_minute - reserved) - used

    def sent(self) -> None:
        self._sent_s.append(trio.current_time())

    async def wait(self, reserved: int) -> None:
        """Return when there is room for one message."""
        while self.room(reserved) < 1:
            await trio.sleep_until(self._sent_s[0] + WINDOW_S)
            self._sent_s.popleft()


class Outbox:
    """Run `run` as a task of its own."""

    def __init__(
        self,
        channel: Channel,
        pace: Pace,
        settings: OutboxSettings,
        entropy: Entropy,
        delivered: Delivered,
        log: "loguru.Logger",
        *,
        urgent: bool,
    ) -> None:
        self._channel = channel
        self._pace = pace
        self._settings = settings
        self._entropy = entropy
        self._delivered = delivered
        self._log = log
        self._urgent = urgent
        self._reserved = 0 if urgent else RESERVED
        self._backoff = Backoff(
            min_s=settings.retry_min_s, max_s=max(settings.retry_min_s, settings.retry_max_s), jitter=0.2
        )
        self._waiting: OrderedDict[str, Notice] = OrderedDict()
        self._sending: set[str] = set()
        self._news = trio.Event()

    def add(self, notice: Notice) -> None:
        """Take a notice, unless it is here already. The oldest one makes room."""
        if notice.notice_id in self._waiting or notice.notice_id in self._sending:
            return
        if len(self._waiting) >= self._settings.max_waiting:
            _, oldest = self._waiting.popitem(last=False)
            self._log.debug(
                "no room on {} for one more notice: {} waits in the store alone", self._channel.name, oldest.kind
            )
        self._waiting[notice.notice_id] = notice
        self._news.set()

    async def run(self) -> None:
        """Send for as long as the notifier lives."""
        while True:
            await self._news.wait()
            if not self._urgent:
                await trio.sleep(self._settings.coalesce_s)
                await self._pace.wait(self._reserved)
            self._news = trio.Event()
            batch = list(self._waiting.values())
            self._waiting.clear()
            self._sending = {notice.notice_id for notice in batch}
            for message in messages_of(batch, self._pace.room(self._reserved)):
                await self._deliver(message)
                self._sending -= {notice.notice_id for notice in message.notices}

    async def _deliver(self, message: Outgoing) -> None:
        for attempt in range(1, self._settings.attempts + 1):
            if not self._urgent:
                await self._pace.wait(self._reserved)
            self._pace.sent()
            try:
                await self._channel.send(message)
            except DeliveryFailed as error:
                self._log.warning("notice {} not delivered (attempt {}): {}", message.kind, attempt, error)
            else:
                await self._delivered(self._channel.name, message.notices)
                return
            if attempt < self._settings.attempts:
                await trio.sleep(self._backoff.delay_s(attempt, self._entropy))
        self._log.error(
            "notice {} given up on {} after {} attempts", message.kind, self._channel.name, self._settings.attempts
        )
