"""The stream's actor: one connection after the other, and each replaced before the venue ends it."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import trio

from actors.stream.link import Link, StreamSettings, tell
from actors.stream.messages import Pulse, Resnapshot, Resubscribe, StreamChanged
from engine.kernel import Actor, Backoff, Message, Ref, on
from engine.model import VenueState
from engine.venues.base import StreamAdapter

_LEAVE_S = 1.0  # an unsubscription and the subscription after it may be carried out by different workers of the venue
_ROTATED_AT = (0.75, 0.9)  # of a connection's life; shards do not do it together
_LATELY_S = 10.0  # a symbol the old connection heard from since then must be heard from on the new one
_LOOK_S = 0.1


class _ComeBack(Message, frozen=True):
    """To itself: the second half of `Resubscribe`."""

    symbol: str


class StreamPlan(msgspec.Struct, frozen=True):
    """What one stream carries: a fresh adapter for each connection, and whom each symbol's frames are for."""

    adapter: Callable[[], StreamAdapter]
    feeds: Mapping[str, Ref]
    intervals: Sequence[str]
    state: VenueState
    pulse: Pulse = msgspec.field(default_factory=Pulse)


class Stream(Actor):
    """Owns the connections: the present one, and at times its replacement."""

    def __init__(self, plan: StreamPlan, settings: StreamSettings) -> None:
        super().__init__()
        self._plan = plan
        self._settings = settings
        self._backoff = Backoff(min_s=settings.retry_min_s, max_s=settings.retry_max_s, jitter=0.5)
        self._present: Link | None = None
        self._next: Link | None = None

    async def on_start(self) -> None:
        self._tell_all(StreamChanged(up=False, at_s=self.ctx.clock.monotonic_s(), reason="not connected yet"))
        self.spawn(self._keep_connected)

    @on(Resnapshot)
    def resnapshot(self, message: Resnapshot) -> None:
        self._ask(lambda adapter: adapter.resnapshot(message.symbol))

    @on(Resubscribe)
    def resubscribe(self, message: Resubscribe) -> None:
        """What is still subscribed would be sent no second time: first leave, and come back when that has been carried out."""
        self._ask(lambda adapter: adapter.unsubscribe((message.symbol,), self._plan.intervals))
        self.after(_LEAVE_S, _ComeBack(message.symbol))

    @on(_ComeBack)
    def come_back(self, message: _ComeBack) -> None:
        self._ask(lambda adapter: adapter.subscribe((message.symbol,), self._plan.intervals))

    def _ask(self, frames: Callable[[StreamAdapter], Sequence[bytes]]) -> None:
        for link in (self._present, self._next):
            if link is not None:
                link.ask(frames)

    def _tell_all(self, message: StreamChanged) -> None:
        for feed in self._plan.feeds.values():
            tell(feed, message)

    # ── one connection after the other ─────────────────────────────────────────────────────────────────────────────────

    async def _keep_connected(self) -> None:
        attempts = 0
        while True:
            began_s = self.ctx.clock.monotonic_s()
            reason = await self._stay_connected()
            ended_s = self.ctx.clock.monotonic_s()
            self._tell_all(StreamChanged(up=False, at_s=ended_s, reason=reason))
            self._plan.state.reconnects += 1
            attempts = 1 if ended_s - began_s >= self._settings.healthy_after_s else attempts + 1
            delay_s = self._backoff.delay_s(attempts, self.ctx.entropy)
            self.log.warning("disconnected, trying again in {:.1f} s: {}", delay_s, reason)
            await trio.sleep(delay_s)

    async def _stay_connected(self) -> str:
        """A connection and its replacements, until one breaks that nothing has replaced; returns why."""
        ended: list[str] = []
        async with trio.open_nursery() as nursery:

            async def live(link: Link) -> None:
                reason = await link.run()
                if link is self._present:
                    ended.append(reason)
                    nursery.cancel_scope.cancel()

            self._present = self._link(self._up)
            nursery.start_soon(live, self._present)
            nursery.start_soon(self._rotate, lambda link: nursery.start_soon(live, link))
        self._present = self._next = None
        return ended[0]

    def _link(self, on_open: Callable[[Link], None]) -> Link:
        plan = self._plan
        return Link(
            plan.adapter(),
            plan.feeds,
            plan.intervals,
            self._settings,
            self.ctx.clock,
            self.log,
            on_open,
            self._heard,
        )

    def _up(self, link: Link) -> None:
        self._tell_all(StreamChanged(up=True, at_s=link.since_s))

    def _heard(self, at_s: float) -> None:
        self._plan.pulse.heard_s = at_s

    # ── make before break ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _rotate(self, start: Callable[[Link], None]) -> None:
        """Replace the present connection before its life is over, and the next one, for ever."""
        while True:
            present, attempts = self._present, 0
            life_s = present.adapter.life_s if present is not None else None
            if life_s is None:
                return
            await trio.sleep(life_s * self.ctx.entropy.uniform(*_ROTATED_AT))
            while not await self._replace(start):
                attempts += 1
                await trio.sleep(self._backoff.delay_s(attempts, self.ctx.entropy))

    async def _replace(self, start: Callable[[Link], None]) -> bool:
        """Whether a new connection has taken the place of the present one."""
        old, new = self._present, self._link(lambda _: None)
        assert old is not None, "rotation lives in the nursery of the present connection"
        self._next = new
        start(new)
        settled = await self._settled(old, new)
        self._next = None
        if settled:
            self._present = new
            old.end("replaced")
        else:
            new.end("it did not settle")
            self.log.warning("the next connection is not made yet: {}", new.ended)
        return settled

    async def _settled(self, old: Link, new: Link) -> bool:
        """Whether `new` brings data, within the time there is of every symbol that `old` heard from lately."""
        with trio.move_on_after(self._settings.acknowledged_within_s + self._settings.settled_within_s):
            while not new.ended:
                await trio.sleep(_LOOK_S)
                since_s = self.ctx.clock.monotonic_s() - _LATELY_S
                known = new.heard.keys()
                if new.opened and known and all(at_s < since_s or name in known for name, at_s in old.heard.items()):
                    return True
        return new.opened and bool(new.heard) and not new.ended
