"""One actor's message loop: takes what waits in batches, and parks when nothing does.

Plain handlers run one after the other inside `_drain` without a trip through trio's scheduler, which costs as much as
ten messages; only an async handler, a full turn or an empty mailbox gives the turn away.

While the loop is parked, a plain handler may run on the turn of whoever *calls* (`run_called`), or *tells* a message
whose class says `prompt` (`run_told`); so it may on the turn of one of the actor's own timers. That is sound because a
parked loop means that nothing waits and nothing runs: no order is changed and no handler is entered twice. A plain
function cannot await, so it cannot call on, and what it tells meanwhile goes to mailboxes: the depth is one. An exception
there ends the incarnation exactly as if the loop had run the handler; it reaches a caller wrapped, and a teller not at
all.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import trio

from engine.kernel.errors import CallTimeout, KernelError, LadderMove
from engine.kernel.exits import Exit
from engine.kernel.handlers import Dispatch
from engine.kernel.host import BATCH, BATCHES_PER_TURN, TURN_S
from engine.kernel.mailbox import StopSignal
from engine.kernel.reply import Frame, Reply, unanswered

if TYPE_CHECKING:
    from engine.kernel.incarnation import Incarnation
    from engine.kernel.message import Message

_BATCH = range(BATCH)


class Loop:
    """Serves one incarnation's mailbox. `frame` tells calls made in its task, or in tasks it spawns, who waits."""

    def __init__(self, life: Incarnation, dispatch: Dispatch) -> None:
        self._life = life
        self._path = life.slot.path
        self._box = life.slot.mailbox
        self._host = life.slot.system.host
        self._task: trio.lowlevel.Task | None = None
        self._in_hand: Reply[Any] | None = None
        self._deferred: set[Reply[Any]] = set()
        self._stop_signal: StopSignal | None = None
        self.frame = Frame(life.slot)
        self.plain = dispatch.plain
        self._find = dispatch.find

    # -- taking --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handle messages until the incarnation's end is decided."""
        self._task = trio.lowlevel.current_task()
        life, box, batches, turn_ends_s = self._life, self._box, 0, trio.current_time() + TURN_S
        while life.verdict is None:
            coroutine = self._drain()
            if coroutine is not None:
                await self._await(coroutine)
            elif not box.control and not box.user and life.verdict is None:
                await self._park()
                batches, turn_ends_s = 0, trio.current_time() + TURN_S
            batches += 1
            if batches >= BATCHES_PER_TURN or trio.current_time() >= turn_ends_s:
                await trio.lowlevel.checkpoint()
                batches, turn_ends_s = 0, trio.current_time() + TURN_S

    def _drain(self) -> Coroutine[Any, Any, Any] | None:
        """Handle what waits, up to a batch. An async handler's coroutine is returned, to be awaited."""
        life, box, plain = self._life, self._box, self.plain
        control, user = box.control, box.user
        for _ in _BATCH:
            if control:
                item = control.popleft()
            elif user:
                item = user.popleft()
            else:
                return None
            handler = plain.get(item.__class__)
            if handler is not None:
                box.handled += 1
                try:
                    handler(item)
                except BaseException as error:
                    self._count_failure(error)
                    raise
            else:
                coroutine = self._open(item)
                if coroutine is not None:
                    return coroutine
            if life.verdict is not None:
                return None
        return None

    def _open(self, item: Any) -> Coroutine[Any, Any, Any] | None:
        """Handle an item that is wrapped, or new to the dispatch table, or has an async handler."""
        if item.__class__ is StopSignal:
            self._take_stop(item)
            return None
        message, reply = self._box.open_item(item)
        if reply is not None and self._expired(reply):
            return None
        self._box.handled += 1
        self._in_hand = self.frame.serving = reply
        try:
            handler, is_async = self._find(type(message))
            result = handler(message)
        except BaseException as error:
            self._fail(error)
            raise
        if is_async:
            coroutine: Coroutine[Any, Any, Any] = result
            return coroutine
        self._answer(result)
        return None

    async def _await(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            result = await coroutine
        except BaseException as error:
            self._fail(error)
            raise
        self._answer(result)

    # -- on another's turn, while parked -------------------------------------------------------------------------------

    def run_called(self, handler: Callable[[Any], Any], message: Message, reply: Reply[Any]) -> None:
        """Handle a call; `reply` is settled unless the handler deferred it."""
        box, host = self._box, self._host
        assert box.sleeper is self, "a handler was to run inside an actor that is busy or has mail"
        box.at_once += 1
        self._in_hand = self.frame.serving = reply
        host.inline = True
        try:
            result = handler(message)
        except BaseException as error:  # noqa: BLE001 - passed on to whom it concerns
            self._fail_inline(error)
        else:
            self._answer(result)
        finally:
            host.inline = False

    def run_told(self, message: Message) -> bool:
        """Handle what was told, unless that takes a task of its own or the turn is used up: then False."""
        handler, host = self.plain.get(message.__class__), self._host
        if handler is None or host.inline or not (host.prompts or host.allows_prompts()):
            return False
        host.prompts -= 1
        self._box.at_once += 1
        host.inline = True
        try:
            handler(message)
        except BaseException as error:  # noqa: BLE001 - passed on to whom it concerns
            self._fail_inline(error)
        finally:
            host.inline = False
        return True

    def _fail_inline(self, error: BaseException) -> None:
        """The supervisor and a caller are told; only what is meant for the whole process goes on to the sender."""
        self._fail(error)
        if not isinstance(error, Exception):
            raise error
        self._life.end_with(Exit.crash(error))

    # -- parking -------------------------------------------------------------------------------------------------------

    async def _park(self) -> None:
        self._box.sleeper = self
        await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def _unpark(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._box.sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self) -> None:
        """Called when the mailbox was empty and no longer is."""
        assert self._task is not None, "only a parked loop is woken"
        self._box.sleeper = None
        trio.lowlevel.reschedule(self._task)

    # -- answering -----------------------------------------------------------------------------------------------------

    def defer_reply(self) -> Reply[Any]:
        """Take the way back out of the loop's hand."""
        reply, self._in_hand = self._in_hand, None
        if reply is None:
            raise KernelError(f"{self._path}: defer_reply is for handlers of called messages, once per message")
        self._deferred.add(reply)
        reply.on_done = self._deferred.discard
        return reply

    def abandon(self, reason: str) -> None:
        """The incarnation has ended: tell everybody who waits for a reply of it."""
        for reply in [*self._deferred, self._in_hand]:
            if reply is not None:
                reply.refuse(unanswered(self._path, f"ended before it replied: {reason}"))

    def _answer(self, result: Any) -> None:
        reply, self._in_hand, self.frame.serving = self._in_hand, None, None
        if reply is not None:
            reply.send(result)

    def _fail(self, error: BaseException) -> None:
        self._count_failure(error)
        reply, self._in_hand, self.frame.serving = self._in_hand, None, None
        if reply is None:
            return
        if isinstance(error, Exception) and not isinstance(error, LadderMove):
            reply.fail(error)
        else:
            reply.refuse(unanswered(self._path, "ended while it handled the call"))

    def _count_failure(self, error: BaseException) -> None:
        if not isinstance(error, LadderMove):
            self._box.handled -= 1
            self._box.failed += 1

    def _expired(self, reply: Reply[Any]) -> bool:
        if not reply.done and trio.current_time() < reply.deadline_s:
            return False
        self._box.expired += 1
        reply.refuse(CallTimeout(f"{self._path}: the deadline passed while the call waited in the mailbox"))
        return True

    # -- stopping ------------------------------------------------------------------------------------------------------

    def ask_to_stop(self, exit_: Exit) -> None:
        """End before the next message."""
        if self._stop_signal is None:
            self._stop_signal = StopSignal(exit_)
            self._box.signal(self._stop_signal)

    def _take_stop(self, signal: StopSignal) -> None:
        assert signal is self._stop_signal, "a stop signal outlived its incarnation"
        self._box.handled += 1
        self._life.verdict = signal.exit
