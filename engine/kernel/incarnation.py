"""One life of an actor: from its construction to its end, in one nursery of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from engine.kernel.actor import BIRTH, Actor
from engine.kernel.context import Context, Timer
from engine.kernel.errors import KernelError, LadderMove, describe
from engine.kernel.exits import Exit, ExitKind
from engine.kernel.handlers import Dispatch
from engine.kernel.loop import Loop
from engine.kernel.message import Request
from engine.kernel.reply import FRAME, Frame, Reply

if TYPE_CHECKING:
    from engine.kernel.message import Message
    from engine.kernel.ref import Ref
    from engine.kernel.slot import Slot
    from engine.kernel.watchers import Watchers


class Incarnation:
    """The running side of one actor object. `verdict` is set once its end is decided, `exit` once it has ended."""

    def __init__(self, slot: Slot, number: int, mode: str) -> None:
        self.slot = slot
        self.number = number
        self.mode = mode
        self.watching: set[Watchers] = set()
        self.ready = trio.Event()
        self.settled = trio.Event()  # ready, or ended before it was
        self.ended = trio.Event()
        self.verdict: Exit | None = None
        self.exit: Exit | None = None
        self.actor: Actor
        self._loop: Loop
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._tasks = 0

    # -- from birth to end ---------------------------------------------------------------------------------------------

    def construct(self, factory: Callable[[], Actor]) -> None:
        """Make the actor object. Raises what the factory raises."""
        token = BIRTH.set(self)
        try:
            actor: object = factory()
        finally:
            BIRTH.reset(token)
        if not isinstance(actor, Actor) or getattr(actor, "_incarnation", None) is not self:
            raise KernelError(f"{self.slot.path}: the factory must return an Actor made for this start, got {actor!r}")
        self.actor = actor
        self._loop = Loop(self, Dispatch(actor, actor.handler_names))

    def context(self) -> Context:
        """What the actor is told about its place."""
        system = self.slot.system
        return Context(
            path=self.slot.path,
            incarnation=self.number,
            mode=self.mode,
            self_ref=self.slot.ref,
            clock=system.clock,
            entropy=system.entropy.fork(f"{self.slot.path}#{self.number}"),
            system=system,
        )

    def begin(self) -> None:
        """Start running, in the nursery of the slot's keeper. The task holds the actor for as long as it lives."""
        self.slot.nursery.start_soon(self._run, name=self.slot.path)

    async def _run(self) -> None:
        FRAME.set(self._loop.frame)
        try:
            await self._live()
            assert self.verdict is not None, "the loop ends by a verdict only"
            exit_ = self.verdict
        except Exception as error:  # noqa: BLE001 - any failure is the supervisor's to judge
            exit_ = self._blame(error)
        except BaseException as error:
            self._finish(Exit(ExitKind.STOPPED, f"torn down: {describe(error)}", error))
            raise
        self._finish(exit_)

    def _blame(self, error: Exception) -> Exit:
        """An orderly end that went wrong is a crash; what was to be a crash or a move stays that one."""
        if self.verdict is None or self.verdict.kind in (ExitKind.NORMAL, ExitKind.STOPPED):
            return Exit.crash(error)
        return self.verdict

    async def _live(self) -> None:
        with self._scope:
            async with trio.open_nursery() as self._nursery:
                await self.actor.on_start()
                self.slot.became_ready(self)
                await self._loop.run()
                self.slot.up = False
                if not self._scope.cancel_called:
                    await self.actor.on_stop()
                self._nursery.cancel_scope.cancel()

    def _finish(self, exit_: Exit) -> None:
        self.exit = self.verdict = exit_
        self._nursery = None
        self._loop.abandon(exit_.reason)
        self.slot.incarnation_ended(self)
        self.ended.set()

    # -- ends ----------------------------------------------------------------------------------------------------------

    def end_with(self, exit_: Exit) -> None:
        """Decide the end now: whatever runs is cancelled. An earlier verdict stands, unless it was to end by itself."""
        if self.exit is None:
            if self.verdict is None or self.verdict.kind is ExitKind.NORMAL:
                self.verdict = exit_
            self.slot.up = False
            self._scope.cancel()

    def end_in_order(self, exit_: Exit) -> None:
        """Ask for an end before the next message, with `on_stop`. A child that is not ready is cancelled instead."""
        if not self.ready.is_set():
            self.end_with(exit_)
        elif self.verdict is None:
            self.slot.up = False
            self._loop.ask_to_stop(exit_)

    def end_normally(self) -> None:
        """The actor, or somebody through pykka's `stop`, wants it to end."""
        self.end_in_order(Exit(ExitKind.NORMAL, "ended by itself"))

    def step(self, direction: int, reason: str) -> None:
        """End this incarnation for another mode; return if there is none in that direction."""
        if self.slot.ladder.can_step(direction):
            self.end_with(Exit(ExitKind.MOVED, reason, step=direction))
            raise LadderMove(reason)

    # -- what the actor may ask for ------------------------------------------------------------------------------------

    def defer_reply(self) -> Reply[Any]:
        """The way back of the message in hand."""
        return self._loop.defer_reply()

    def watch(self, ref: Ref) -> None:
        """Register for `Down`."""
        ref.address.watchers.add(self)

    def spawn(
        self, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...], name: str | None
    ) -> trio.CancelScope:
        """Run a task in the incarnation's nursery."""
        if self._nursery is None:
            raise KernelError(f"{self.slot.path}: tasks and timers need a running actor; use them from on_start on")
        if self._tasks >= self.actor.max_tasks:
            raise KernelError(f"{self.slot.path}: {self._tasks} tasks run, max_tasks allows no more")
        self._tasks += 1
        scope, frame = trio.CancelScope(), Frame(None, self._loop.frame.serving)
        label = name or getattr(async_fn, "__name__", "task")
        self._nursery.start_soon(self._spawned, scope, frame, async_fn, args, name=f"{self.slot.path}:{label}")
        return scope

    async def _spawned(
        self, scope: trio.CancelScope, frame: Frame, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> None:
        FRAME.set(frame)
        try:
            with scope:
                await async_fn(*args)
        finally:
            self._tasks -= 1

    def after(self, delay_s: float, message: Message) -> Timer:
        """One message to the actor itself, later."""
        return Timer(self.spawn(self._tick_once, (delay_s, message), "after"))

    def every(self, period_s: float, message: Message) -> Timer:
        """Messages to the actor itself, periodically."""
        if not period_s > 0:
            raise ValueError(f"{self.slot.path}: a period must be more than 0 s, got {period_s}")
        return Timer(self.spawn(self._tick_always, (period_s, message), "every"))

    async def _tick_once(self, delay_s: float, message: Message) -> None:
        await trio.sleep(max(0.0, delay_s))
        self._tick(message)

    async def _tick_always(self, period_s: float, message: Message) -> None:
        due_s = trio.current_time() + period_s
        while True:
            await trio.sleep_until(due_s)
            self._tick(message)
            late_s = trio.current_time() - due_s
            due_s += period_s * (1 + late_s // period_s)  # in step with the first tick

    def _tick(self, message: Message) -> None:
        """In the timer's own turn if the actor is idle: hundreds of actors look at their clocks all the time."""
        idle = self.slot.mailbox.sleeper is self._loop and not isinstance(message, Request)
        if not idle or not self._loop.run_told(message):
            self.slot.tell_or_bury(message)
