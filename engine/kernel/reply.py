"""The way back to a caller, and the chain of waiting callers that tells a cycle from a queue."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

import pykka
import trio

from engine.kernel.errors import ActorDown, CallCycle, CallFailed, CallTimeout, KernelError, Unanswered

R = TypeVar("R")


class Place(Protocol):
    """As much of an address as a reply needs: a name, and being the same object or not."""

    path: str


class Frame:
    """Who runs in this task: the actor whose mailbox loop it is (None elsewhere), and the call it serves."""

    __slots__ = ("address", "serving")

    def __init__(self, address: Place | None, serving: Reply[Any] | None = None) -> None:
        self.address = address
        self.serving = serving


_OUTSIDE = Frame(None)
FRAME: ContextVar[Frame] = ContextVar("tradenode_frame", default=_OUTSIDE)


class Reply(Generic[R]):
    """One call's way back. The first `send` or `fail` counts; later ones, and those after the deadline, are ignored.

    `caller` is the address whose mailbox loop stands still until the reply comes; `up` is the call that loop is
    serving meanwhile. Following `up` while calls are open finds every actor that waits for this one.
    """

    __slots__ = ("_task", "callee", "caller", "deadline_s", "done", "error", "on_done", "up", "value")

    def __init__(self, callee: Place, frame: Frame, deadline_s: float) -> None:
        self.callee = callee
        self.caller = frame.address
        self.up = frame.serving
        self.deadline_s = deadline_s
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.on_done: Callable[[Reply[R]], object] | None = None
        self._task: trio.lowlevel.Task | None = None

    def send(self, value: R) -> None:
        """Answer the caller."""
        if not self.done:
            self.value = value
            self._settle()

    def fail(self, error: BaseException) -> None:
        """Make the call raise CallFailed around `error`."""
        self.refuse(CallFailed(self.callee.path, error))

    def refuse(self, error: KernelError) -> None:
        """For the kernel: make the call raise `error` as it is."""
        if not self.done:
            self.error = error
            self._settle()

    def _settle(self) -> None:
        self._finish()
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _finish(self) -> None:
        self.done = True
        if self.on_done is not None:
            self.on_done(self)

    async def wait(self) -> R:
        """The value, or the error, or CallTimeout at the deadline. For the calling task only."""
        if not self.done:
            with trio.CancelScope(deadline=self.deadline_s):
                self._task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abandon)
        if self.error is not None:
            raise self.error
        value: R = self.value
        return value

    def _abandon(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        """The deadline passed, or the caller was cancelled: whatever comes now is late."""
        self._task = None
        self.error = CallTimeout(f"{self.callee.path} did not reply in time")
        self._finish()
        return trio.lowlevel.Abort.SUCCEEDED


class ThreadReply(Reply[Any]):
    """The way back to a thread that holds a pykka future."""

    __slots__ = ("future",)

    def __init__(self, callee: Place, deadline_s: float, future: pykka.Future[Any]) -> None:
        super().__init__(callee, _OUTSIDE, deadline_s)
        self.future = future

    def _settle(self) -> None:
        self._finish()
        if self.error is None:
            self.future.set(self.value)
        else:
            self.future.set_exception((type(self.error), self.error, self.error.__traceback__))


def refuse_cycle(callee: Place, frame: Frame) -> None:
    """Raise CallCycle if `callee` stands still until the calling task is done."""
    if frame.address is callee:
        raise CallCycle(f"{callee.path} calls itself")
    link, names = frame.serving, [frame.address.path if frame.address else "(task)"]
    while link is not None and not link.done:
        if link.caller is callee:
            raise CallCycle(f"{callee.path} waits for {' < '.join(names)}, which calls it")
        if link.caller is not None:
            names.append(link.caller.path)
        link = link.up


def down(path: str, why: str) -> ActorDown:
    """The error for a call or a message that meets nobody."""
    return ActorDown(f"{path}: {why}")


def unanswered(path: str, why: str) -> Unanswered:
    """The error for a call that was taken by somebody who is no more."""
    return Unanswered(f"{path}: {why}")
