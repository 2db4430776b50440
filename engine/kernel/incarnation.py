"""One life of an actor: from its construction to its end, in one nursery of its own.

The loop takes what waits in batches and parks when nothing does. Plain handlers run one after the other inside
`_drain` without a trip through trio's scheduler (a reschedule costs about as much as ten messages); only an async
handler, a full batch or an empty mailbox gives the turn away.

While the loop is parked, `Ref.call` may run a plain handler on the *caller's* turn (`run_inline`). That is sound
because a parked loop means that nothing waits and nothing runs: no order is changed and no handler is entered twice.
A plain function cannot await, so it cannot call on: the depth is one by construction. An exception there reaches the
caller wrapped and ends this incarnation exactly as if the loop had run the handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import trio

from engine.kernel.actor import BIRTH, Actor
from engine.kernel.context import Context, Timer
from engine.kernel.errors import CallTimeout, KernelError, LadderMove
from engine.kernel.exits import Exit, ExitKind
from engine.kernel.handlers import Dispatch
from engine.kernel.mailbox import StopSignal
from engine.kernel.reply import FRAME, Frame, Reply, down

if TYPE_CHECKING:
    from engine.kernel.message import Message
    from engine.kernel.ref import Ref
    from engine.kernel.slot import Slot

_BATCH = range(32)
_BATCHES_PER_TURN = 32
_TURN_S = 0.002


class Incarnation:
    """The running side of one actor object. `verdict` is set as soon as its end is decided."""

    def __init__(self, slot: Slot, number: int, mode: str) -> None:
        self.slot = slot
        self.number = number
        self.mode = mode
        self.box = slot.mailbox
        self.watching: set[Slot] = set()
        self.ready = trio.Event()
        self.settled = trio.Event()  # ready, or ended before it was
        self.ended = trio.Event()
        self.verdict: Exit | None = None
        self.exit: Exit | None = None
        self.dispatch: Dispatch
        self.actor: Actor
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._task: trio.lowlevel.Task | None = None
        self._stop_signal: StopSignal | None = None
        self._frame = Frame(slot)
        self._in_hand: Reply[Any] | None = None
        self._deferred: set[Reply[Any]] = set()
        self._tasks = 0

    # -- birth ---------------------------------------------------------------------------------------------------------

    def construct(self, factory: Callable[[], Actor]) -> None:
        """Make the actor object. Raises what the factory raises."""
        token = BIRTH.set(self)
        try:
            actor = factory()
        finally:
            BIRTH.reset(token)
        if not isinstance(actor, Actor) or getattr(actor, "_incarnation", None) is not self:
            raise KernelError(f"{self.slot.path}: the factory must return a new Actor, got {actor!r}")
        self.actor = actor
        self.dispatch = Dispatch(actor, actor.handler_names)

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
        FRAME.set(self._frame)
        try:
            await self._live()
            exit_ = self.verdict or Exit(ExitKind.NORMAL, "ended by itself")
        except Exception as error:  # the supervisor is told; Cancelled, SystemExit, KeyboardInterrupt pass
            exit_ = self.verdict or Exit.crash(error)
        except BaseException as error:
            self._finish(Exit.crash(error))
            raise
        self._finish(exit_)

    async def _live(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self.actor.on_start()
                self.slot.became_ready(self)
                await self._loop()
                self.slot.up = False
                await self.actor.on_stop()
                nursery.cancel_scope.cancel()

    def _finish(self, exit_: Exit) -> None:
        self.exit = exit_
        self._nursery = None
        if self._in_hand is not None:
            self._in_hand.fail(down(self.slot.path, f"ended while it handled the call: {exit_.reason}"))
        for reply in list(self._deferred):
            reply.fail(down(self.slot.path, f"ended before it replied: {exit_.reason}"))
        self.slot.incarnation_ended(self)
        self.ended.set()

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def _loop(self) -> None:
        self._task = trio.lowlevel.current_task()
        box, batches, turn_ends_s = self.box, 0, trio.current_time() + _TURN_S
        while self.verdict is None:
            job = self._drain()
            if job is not None:
                await self._finish_async(job)
            elif not box.control and not box.user:
                if self.verdict is None:
                    await self._park()
                batches, turn_ends_s = 0, trio.current_time() + _TURN_S
            batches += 1
            if batches >= _BATCHES_PER_TURN or trio.current_time() >= turn_ends_s:
                await trio.lowlevel.checkpoint()
                batches, turn_ends_s = 0, trio.current_time() + _TURN_S

    def _drain(self) -> Coroutine[Any, Any, Any] | None:
        """Handle what waits, up to a batch. An async handler's coroutine is returned for the loop to await."""
        box, control, user, plain = self.box, self.box.control, self.box.user, self.dispatch.plain
        for _ in _BATCH:
            if control:
                item = control.popleft()
            elif user:
                item = user.popleft()
            else:
                return None
            handler = plain.get(item.__class__)
            if handler is None:
                job = self._open(item)
                if job is not None:
                    return job
                if self.verdict is not None:
                    return None
                continue
            box.handled += 1
            try:
                handler(item)
            except BaseException as error:
                self._count_failure(error)
                raise
        return None

    def _open(self, item: Any) -> Coroutine[Any, Any, Any] | None:
        """Handle an item that is wrapped, or new to the dispatch table, or has an async handler."""
        if item.__class__ is StopSignal:
            self._take_stop(item)
            return None
        message, reply = self.box.open_item(item)
        if reply is not None and self._expired(reply):
            return None
        self.box.handled += 1
        self._in_hand = self._frame.serving = reply
        try:
            handler, is_async = self.dispatch.find(type(message))
            result = handler(message)
        except BaseException as error:
            self._fail_in_hand(error)
            raise
        if is_async:
            coroutine: Coroutine[Any, Any, Any] = result
            return coroutine
        self._answer(result)
        return None

    async def _finish_async(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            result = await coroutine
        except BaseException as error:
            self._fail_in_hand(error)
            raise
        self._answer(result)

    def _answer(self, result: Any) -> None:
        reply, self._in_hand, self._frame.serving = self._in_hand, None, None
        if reply is not None:
            reply.send(result)

    def _fail_in_hand(self, error: BaseException) -> None:
        self._count_failure(error)
        reply, self._in_hand, self._frame.serving = self._in_hand, None, None
        if reply is not None:
            if isinstance(error, Exception) and not isinstance(error, LadderMove):
                reply.fail(error)
            else:
                reply.fail(down(self.slot.path, "ended while it handled the call"))

    def _count_failure(self, error: BaseException) -> None:
        if not isinstance(error, LadderMove):
            self.box.handled -= 1
            self.box.failed += 1

    def _expired(self, reply: Reply[Any]) -> bool:
        if not reply.done and trio.current_time() < reply.deadline_s:
            return False
        self.box.expired += 1
        reply.fail(CallTimeout(f"{self.slot.path}: the deadline passed while the call waited in the mailbox"))
        return True

    async def _park(self) -> None:
        self.box.sleeper = self
        await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def _unpark(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self.box.sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self) -> None:
        """Called by the mailbox when it was empty and no longer is."""
        self.box.sleeper = None
        assert self._task is not None
        trio.lowlevel.reschedule(self._task)

    # -- on the caller's turn ------------------------------------------------------------------------------------------

    def run_inline(self, handler: Callable[[Any], Any], message: Message, reply: Reply[Any]) -> None:
        """Handle a call while the loop is parked; `reply` is settled unless the handler deferred it."""
        box = self.box
        assert box.sleeper is self, "run_inline on an actor that is busy or has mail"
        box.accepted += 1
        box.handled += 1
        self._in_hand = self._frame.serving = reply
        try:
            result = handler(message)
        except Exception as error:
            self._fail_in_hand(error)
            self.end_with(Exit.crash(error))
        except BaseException as error:
            self._fail_in_hand(error)
            raise
        else:
            self._answer(result)

    # -- ends ----------------------------------------------------------------------------------------------------------

    def end_with(self, exit_: Exit) -> None:
        """Decide the end now: whatever runs is cancelled. The first verdict stands."""
        if self.verdict is None and self.exit is None:
            self.verdict = exit_
            self.slot.up = False
            self._scope.cancel()

    def end_in_order(self, exit_: Exit) -> None:
        """Ask for an end before the next message, with `on_stop`. A child that is not ready is cancelled instead."""
        if not self.ready.is_set():
            self.end_with(exit_)
        elif self._stop_signal is None and self.exit is None:
            self.slot.up = False
            self._stop_signal = StopSignal(exit_)
            self.box.signal(self._stop_signal)

    def end_normally(self) -> None:
        """The actor, or somebody through pykka's `stop`, wants it to end."""
        self.end_in_order(Exit(ExitKind.NORMAL, "ended by itself"))

    def _take_stop(self, signal: StopSignal) -> None:
        if signal is not self._stop_signal:
            self.box.expired += 1  # it was meant for an earlier incarnation
            return
        self.box.handled += 1
        if self.verdict is None:
            self.verdict = signal.exit

    def step(self, direction: int, reason: str) -> None:
        """End this incarnation for another mode; return if there is none in that direction."""
        if self.slot.has_mode(direction):
            self.end_with(Exit(ExitKind.MOVED, reason, step=direction))
            raise LadderMove(reason)

    # -- what the actor may ask for ------------------------------------------------------------------------------------

    def defer_reply(self) -> Reply[Any]:
        """Take the way back out of the kernel's hand."""
        reply, self._in_hand = self._in_hand, None
        if reply is None:
            raise KernelError(f"{self.slot.path}: defer_reply is for handlers of called messages, once per message")
        self._deferred.add(reply)
        reply.on_done = self._deferred.discard
        return reply

    def spawn(
        self, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...], name: str | None
    ) -> trio.CancelScope:
        """Run a task in the incarnation's nursery."""
        if self._nursery is None:
            raise KernelError(f"{self.slot.path}: tasks and timers need a running actor; use them from on_start on")
        if self._tasks >= self.actor.max_tasks:
            raise KernelError(f"{self.slot.path}: {self._tasks} tasks run, max_tasks allows no more")
        scope = trio.CancelScope()
        frame = Frame(None, self._frame.serving)
        self._tasks += 1
        label = name or getattr(async_fn, "__name__", "task")
        self._nursery.start_soon(self._spawned, scope, frame, async_fn, args, name=f"{self.slot.path}:{label}")
        return scope

    async def _spawned(
        self,
        scope: trio.CancelScope,
        frame: Frame,
        async_fn: Callable[..., Awaitable[object]],
        args: tuple[Any, ...],
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
        self.slot.tell_or_bury(message)

    async def _tick_always(self, period_s: float, message: Message) -> None:
        due_s = trio.current_time()
        while True:
            due_s = max(due_s + period_s, trio.current_time())
            await trio.sleep_until(due_s)
            self.slot.tell_or_bury(message)

    def watch(self, ref: Ref) -> None:
        """Register for `Down`."""
        ref.slot.watched_by(self)
