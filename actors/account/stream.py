"""An account's private stream: connect, listen, and again. What it says goes to the account as messages.

Some venues entitle a connection by something that REST brings and that runs out unless it is renewed, and some say nothing for
hours, so that a peer that is gone without a word is found out by pings alone. A second task sees to both, so that a slow answer
delays no event.

A venue that ends connections after a day is not waited for: before that, at a moment chosen at random and when nothing is being
told, the connection is left for a new one. That is a disconnect like any other, followed by a pass, so it needs no second
connection beside the first.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar

import trio
from loguru import logger

from actors.account.desk import AccountDesk
from actors.messages import ask_venue
from engine.kernel import Backoff, Context, Message, Overflow
from engine.model import OrderState, split_instrument
from engine.net import Connection, Library, WebSocketError, WebSocketLimits, connect
from engine.venues.base import (
    Connected,
    PrivateAdapter,
    PrivateEvent,
    Refused,
    StreamTrouble,
    VenueError,
    VenueRest,
)

_LULL_S = 2.0  # nothing was told for so long: a good moment to leave
_NO_LULL_S = 600.0  # a moment that never comes is not waited for longer
_EARLIER = 0.05  # of its life, at most: how much earlier a connection is left, so that accounts do not leave together


class StreamEvents(Message, frozen=True):
    """What one frame of the private stream said, and on which connection."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    events: tuple[PrivateEvent, ...]
    connection: int


class StreamDown(Message, frozen=True):
    """The private stream ended."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    reason: str


class PrivateStream:
    """Run `PrivateStream.run` and `PrivateStream.attend` as tasks of the account. A disconnect is a state, not a failure.

    Connections are counted: what one says of itself may be read when it is dead already.
    """

    def __init__(self, desk: AccountDesk, ctx: Context) -> None:
        self._desk = desk
        self._settings = desk.settings
        self._ctx = ctx
        self._log = logger.bind(actor=ctx.path)
        self._listening = trio.CancelScope()
        self._attending = trio.CancelScope()
        self._present: tuple[PrivateAdapter, Connection] | None = None
        self._opened = trio.Event()
        self._reason = ""
        self._leave_s = math.inf
        self._complete_since_s: float | None = None
        self.connection = 0

    @property
    def complete(self) -> bool:
        """Whether the present connection is logged in and has every channel."""
        return self._complete_since_s is not None

    @property
    def complete_for_s(self) -> float:
        return 0.0 if self._complete_since_s is None else self._ctx.clock.monotonic_s() - self._complete_since_s

    def heard_complete(self, connection: int) -> bool:
        """Connection `connection` said that it is complete; False if that is history."""
        if connection == self.connection:
            self._complete_since_s = self._ctx.clock.monotonic_s()
        return connection == self.connection

    def give_up(self, reason: str = "given up") -> None:
        """End the present connection for a new one: it does not tell what it should."""
        self._reason = reason
        self._listening.cancel()

    async def run(self) -> None:
        """For ever. Only a connection that held for a while makes the next attempt come soon."""
        backoff = Backoff(min_s=self._settings.backoff_min_s, max_s=self._settings.backoff_max_s, jitter=0.3)
        failures = 0
        while True:
            reason = await self._listen()
            failures = 1 if self.complete_for_s > self._settings.backoff_max_s else failures + 1
            self._complete_since_s = None
            self.connection += 1
            self._ctx.self_ref.tell(StreamDown(reason))
            await self._ctx.clock.sleep(backoff.delay_s(failures, self._ctx.entropy))

    async def attend(self) -> None:
        """For ever: what the present connection needs from REST, when it needs it, and signs of life from a silent one."""
        while True:
            await self._opened.wait()
            present, self._opened = self._present, trio.Event()
            if present is not None:
                with trio.CancelScope() as self._attending:
                    await self._attend_to(*present)

    async def _attend_to(self, adapter: PrivateAdapter, socket: Connection) -> None:
        async with trio.open_nursery() as nursery:
            if adapter.renew_every_s is not None:
                nursery.start_soon(self._keep_renewed, adapter, adapter.renew_every_s)
            if adapter.quiet:
                nursery.start_soon(self._keep_asking, socket)
            if adapter.guard_every_s is not None:
                nursery.start_soon(self._keep_guarded, adapter, adapter.guard_every_s)

    async def _keep_asking(self, socket: Connection) -> None:
        while True:
            await self._ctx.clock.sleep(self._settings.ping_every_s)
            try:
                await socket.ping()
            except WebSocketError as error:
                self.give_up(str(error))
                return

    async def _keep_guarded(self, adapter: PrivateAdapter, every_s: float) -> None:
        """The venue waits for this; when it does not come, orders are cancelled, which is what it is for."""
        while True:
            try:
                await self._ask("countdown", partial(adapter.guard, symbols=self._symbols_with_orders()))
            except VenueError as error:
                self._log.warning("the venue's countdown was not put off: {}", error)
            await self._ctx.clock.sleep(every_s)

    def _symbols_with_orders(self) -> set[str]:
        live = self._desk.store.live_orders(self._desk.account)
        return {split_instrument(order.instrument, "")[1] for order in live if order.state is not OrderState.WAITING}

    async def _keep_renewed(self, adapter: PrivateAdapter, every_s: float) -> None:
        """Until the venue says that it is lost: the connection is then given up before it falls silent. Anything else that goes
        wrong is tried again; there is time."""
        pause_s = every_s
        while True:
            await self._ctx.clock.sleep(pause_s)
            try:
                await self._renew(adapter)
                pause_s = every_s
            except Refused as error:
                self.give_up(str(error))
                return
            except VenueError:
                pause_s = min(every_s, self._settings.backoff_max_s)

    async def _renew(self, adapter: PrivateAdapter) -> None:
        await self._ask("private stream", adapter.renew)

    async def _ask(self, what: str, do: Callable[[VenueRest], Awaitable[None]]) -> None:
        await ask_venue(
            self._desk.session, what, do, account=self._desk.account, timeout_s=self._settings.query_timeout_s
        )

    async def _listen(self) -> str:
        """One connection; why it ended."""
        try:
            with trio.CancelScope() as self._listening:
                await self._listen_once()
            return self._reason
        except trio.TooSlowError:
            return "it had lived long enough" if trio.current_time() >= self._leave_s else "nothing came in time"
        except (WebSocketError, VenueError) as error:
            return f"{type(error).__name__}: {error}"

    async def _listen_once(self) -> None:
        """Ends only by raising. The time to log in and subscribe is limited, and then the time between two frames."""
        adapter = self._desk.make_private()
        if adapter.renew_every_s is not None:
            await self._renew(adapter)
        settings = self._settings
        limits = WebSocketLimits(open_timeout_s=settings.connect_timeout_s, pong_timeout_s=settings.pong_timeout_s)
        async with connect(adapter.url, library=Library.TRIO_WEBSOCKET, limits=limits) as socket:
            self._leave_s = self._end_of_life_s(adapter)
            self._present = (adapter, socket)
            self._opened.set()
            try:
                await self._hear(adapter, socket)
            finally:
                self._present = None
                self._attending.cancel()

    def _end_of_life_s(self, adapter: PrivateAdapter) -> float:
        if adapter.life_s is None:
            return math.inf
        return trio.current_time() + adapter.life_s * (1.0 - _EARLIER * self._ctx.entropy.random())

    async def _hear(self, adapter: PrivateAdapter, socket: Connection) -> None:
        with trio.fail_after(self._settings.connect_timeout_s) as patience:
            for frame in adapter.greet():
                await socket.send(frame)
            complete = adapter.quiet and self._pass_on((Connected(),))
            while True:
                if complete:
                    patience.deadline = self._patience_s(adapter)
                events, replies = adapter.receive(await socket.receive())
                complete = self._pass_on(events) or complete
                for reply in replies:
                    await socket.send(reply)

    def _patience_s(self, adapter: PrivateAdapter) -> float:
        """Until when to wait for the next frame of a complete connection: its silence, or a lull at the end of its life."""
        now_s = trio.current_time()
        silence_s = math.inf if adapter.quiet else now_s + self._settings.silence_s
        lull_s = max(self._leave_s, min(now_s + _LULL_S, self._leave_s + _NO_LULL_S))
        return min(silence_s, lull_s)

    def _pass_on(self, events: tuple[PrivateEvent, ...]) -> bool:
        """Tell the account; whether the connection is complete by this."""
        trouble = next((event for event in events if isinstance(event, StreamTrouble)), None)
        if trouble is not None:
            raise VenueError(trouble.reason)
        if events:
            self._ctx.self_ref.tell(StreamEvents(events, self.connection))
        return any(isinstance(event, Connected) for event in events)
