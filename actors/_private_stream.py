"""An account's private stream: connect, listen, and again. What it says goes to the account as messages."""

from typing import ClassVar

import trio

from actors._account_desk import AccountDesk
from engine.kernel import Backoff, Context, Message, Overflow
from engine.net import Library, WebSocketError, WebSocketLimits, connect
from engine.venues.base import Connected, PrivateEvent, StreamTrouble, VenueError


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
    """Run `PrivateStream.run` as a task of the account. A disconnect is a state, not a failure.

    Connections are counted: what one says of itself may be read when it is dead already.
    """

    def __init__(self, desk: AccountDesk, ctx: Context) -> None:
        self._desk = desk
        self._settings = desk.settings
        self._ctx = ctx
        self._listening = trio.CancelScope()
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

    def give_up(self) -> None:
        """End the present connection for a new one: it does not tell what it should."""
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

    async def _listen(self) -> str:
        """One connection; why it ended."""
        try:
            with trio.CancelScope() as self._listening:
                await self._listen_once()
            return "given up"
        except trio.TooSlowError:
            return "nothing came in time"
        except (WebSocketError, VenueError) as error:
            return f"{type(error).__name__}: {error}"

    async def _listen_once(self) -> None:
        """Ends only by raising. The time to log in and subscribe is limited, and then the time between two frames."""
        adapter = self._desk.make_private()
        limits = WebSocketLimits(open_timeout_s=self._settings.connect_timeout_s)
        complete = False
        async with connect(adapter.url, library=Library.TRIO_WEBSOCKET, limits=limits) as socket:
            with trio.fail_after(self._settings.connect_timeout_s) as patience:
                for frame in adapter.greet():
                    await socket.send(frame)
                while True:
                    events, replies = adapter.receive(await socket.receive())
                    complete = self._pass_on(events) or complete
                    if complete:
                        patience.deadline = trio.current_time() + self._settings.silence_s
                    for reply in replies:
                        await socket.send(reply)

    def _pass_on(self, events: tuple[PrivateEvent, ...]) -> bool:
        """Tell the account; whether the connection is complete by this."""
        trouble = next((event for event in events if isinstance(event, StreamTrouble)), None)
        if trouble is not None:
            raise VenueError(trouble.reason)
        if events:
            self._ctx.self_ref.tell(StreamEvents(events, self.connection))
        return any(isinstance(event, Connected) for event in events)
