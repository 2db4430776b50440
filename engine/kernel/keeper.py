"""Keeps one group of children up: starts, judges, restarts and stops them, one step at a time.

A keeper's children are those whose fates are tied: all children of a `rest_for_one` or `one_for_all` supervisor, or a
single child of a `one_for_one` one, so that siblings without ties never wait for each other's handshakes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from engine.kernel.errors import StartFailed
from engine.kernel.exits import EventKind, Exit, ExitKind, State
from engine.kernel.node import Kid
from engine.kernel.spec import OnExhausted, Restart, Strategy

if TYPE_CHECKING:
    from engine.kernel.system import System


class Keeper:
    """`failure` is set when the group gave up; its supervisor then stops the subtree."""

    def __init__(
        self, system: System, strategy: Strategy, kids: list[Kid], forget: Callable[[Keeper, Kid], None]
    ) -> None:
        self._system = system
        self._strategy = strategy
        self._forget = forget
        self.kids = kids
        self.failure: Exit | None = None
        self.settled = trio.Event()  # all kids are up, or wait behind one that is parked, or it gave up
        self._finished = trio.Event()
        self._scope = trio.CancelScope()
        self._stop_deadline_s = float("inf")
        self._ends: list[tuple[Kid, int, Exit]] = []  # at most one per incarnation
        self._leaving: list[Kid] = []
        self._woken = trio.Event()
        self._nursery: trio.Nursery

    # -- its life ------------------------------------------------------------------------------------------------------

    async def run(self, gave_up: Callable[[Exit], None]) -> None:
        """Keep the group up until `stop`, or until it gives up."""
        try:
            async with trio.open_nursery() as self._nursery:
                with self._scope:
                    self.failure = await self._keep()
                await self._stop_kids(self.kids)
        finally:
            self._release()
        if self.failure is not None:
            gave_up(self.failure)

    def dismiss(self) -> None:
        """End soon, without anybody waiting for it."""
        self._scope.cancel()

    async def stop(self, deadline_s: float) -> None:
        """Stop the group in reverse order, even in the middle of a start or a backoff, and see it end."""
        self._stop_deadline_s = min(self._stop_deadline_s, deadline_s)
        self._scope.cancel()
        await self._finished.wait()

    def add(self, kid: Kid) -> None:
        """Take one more child, last in the order."""
        self.kids.append(kid)
        self._woken.set()

    async def remove(self, kid: Kid) -> None:
        """Stop one child and forget it; its siblings stay as they are."""
        if self._strategy is Strategy.ONE_FOR_ONE:
            await self.stop(float("inf"))
            self._drop(kid, "removed")
        elif kid in self.kids:
            self._leaving.append(kid)
            self._woken.set()
            await kid.removed.wait()

    def _release(self) -> None:
        self._finished.set()
        self.settled.set()
        for kid in self.kids:
            kid.settled.set()
            kid.removed.set()

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def _keep(self) -> Exit:
        while True:
            failure = await self._step()
            if failure is not None:
                return failure

    async def _step(self) -> Exit | None:
        self._woken = trio.Event()
        if self._ends:
            return await self._digest(*self._ends.pop(0))
        if self._leaving:
            await self._let_go(self._leaving.pop(0))
            return None
        kid = next((kid for kid in self.kids if kid.is_down), None)
        if kid is not None and kid.due_s <= trio.current_time():
            return await self._start(kid)
        if kid is None or kid.node.state is State.PARKED:
            self.settled.set()
        with trio.move_on_at(float("inf") if kid is None else kid.due_s):
            await self._woken.wait()
        return None

    async def _start(self, kid: Kid) -> Exit | None:
        def on_end(number: int, exit_: Exit) -> None:
            self._ends.append((kid, number, exit_))
            self._woken.set()

        exit_ = await kid.node.start(self._nursery, on_end)
        if exit_ is None:
            kid.book.started(trio.current_time())
            kid.settled.set()
            self._emit(EventKind.STARTED, kid, "")
            return None
        self._emit(EventKind.START_FAILED, kid, exit_.reason)
        if kid.dynamic and not kid.settled.is_set():
            kid.failure = exit_  # whoever asked for it decides
            self._drop(kid, exit_.reason)
            kid.settled.set()
            return None
        return await self._judge(kid, exit_)

    async def _digest(self, kid: Kid, number: int, exit_: Exit) -> Exit | None:
        if number != kid.node.incarnation or kid.node.state is not State.RUNNING:
            return None  # stale: that incarnation was already replaced or stopped
        if exit_.kind is not ExitKind.MOVED:
            self._emit(EventKind.CRASHED if exit_.is_crash else EventKind.ENDED, kid, exit_.reason)
        return await self._judge(kid, exit_)

    # -- what follows an end -------------------------------------------------------------------------------------------

    async def _judge(self, kid: Kid, exit_: Exit) -> Exit | None:
        """Decide and do what follows; the exit to give up with, if that is what follows."""
        now_s = trio.current_time()
        if kid.spec.exit_code is not None:
            return self._exit_process(kid, exit_, kid.spec.exit_code)
        if exit_.kind is ExitKind.MOVED:
            await self._move(kid, exit_.step, exit_.reason)
        elif not _wants_restart(kid.spec.restart, exit_):
            self._retire(kid, exit_.reason)
        elif exit_.is_crash and kid.node.ladder.fails(now_s):
            await self._move(kid, +1, exit_.reason)
        elif kid.book.exhausts(now_s):
            return await self._exhausted(kid, exit_)
        else:
            kid.node.restarts += 1
            delay_s = kid.book.delay_s()
            self._emit(EventKind.RESTARTING, kid, f"in {delay_s:.3f} s: {exit_.reason}")
            await self._bring_down(kid, State.BACKOFF, now_s + delay_s)
        return None

    def _exit_process(self, kid: Kid, exit_: Exit, code: int) -> Exit | None:
        never_ran = not kid.settled.is_set()
        self._retire(kid, exit_.reason)
        self._system.request_exit(code, f"{kid.node.path}: {exit_.reason}")
        return exit_ if never_ran else None

    async def _move(self, kid: Kid, direction: int, reason: str) -> None:
        kid.node.ladder.step(direction)
        self._emit(EventKind.STEPPED_DOWN if direction > 0 else EventKind.STEPPED_UP, kid, reason)
        await self._bring_down(kid, State.WAITING, trio.current_time())

    async def _exhausted(self, kid: Kid, exit_: Exit) -> Exit | None:
        self._emit(EventKind.EXHAUSTED, kid, exit_.reason)
        if kid.spec.on_exhausted is OnExhausted.ESCALATE:
            self._emit(EventKind.ESCALATED, kid, exit_.reason)
            kid.node.wait(State.WAITING)
            return Exit.crash(StartFailed(f"{kid.node.path} used up its restarts, last: {exit_.reason}"))
        kid.node.restarts += 1
        kid.book.reset()
        self._emit(EventKind.PARKED, kid, f"for {kid.spec.park_s:g} s: {exit_.reason}")
        await self._bring_down(kid, State.PARKED, trio.current_time() + kid.spec.park_s)
        return None

    async def _bring_down(self, kid: Kid, state: State, due_s: float) -> None:
        """Stop those tied to `kid`, in reverse order; all of them are to start at `due_s` or later, in order.

        As in OTP, a temporary sibling that is stopped along does not come back, and a transient one that had ended by
        itself starts anew with its group.
        """
        kid.node.wait(state)
        kid.due_s = due_s
        tied = [other for other in self._tied(kid) if other is not kid]
        for other in reversed(tied):
            await self._stop_kids([other])
            if other.spec.restart is Restart.TEMPORARY:
                self._retire(other, "stopped along with its siblings")
            elif not other.is_down or state is State.PARKED:
                other.node.wait(state if state is State.PARKED else State.WAITING)
            other.due_s = max(other.due_s, due_s)

    def _tied(self, kid: Kid) -> list[Kid]:
        if self._strategy is Strategy.ONE_FOR_ONE:
            return [kid]
        if self._strategy is Strategy.ONE_FOR_ALL:
            return list(self.kids)
        return self.kids[self.kids.index(kid) :]

    async def _stop_kids(self, kids: list[Kid]) -> None:
        for kid in reversed(kids):
            if kid.is_up:
                await kid.node.stop(self._stop_deadline_s)
                kid.node.wait(State.WAITING)

    # -- leaving -------------------------------------------------------------------------------------------------------

    async def _let_go(self, kid: Kid) -> None:
        await self._stop_kids([kid])
        self._drop(kid, "removed")

    def _retire(self, kid: Kid, reason: str) -> None:
        kid.node.retire(State.ENDED, reason)
        kid.settled.set()
        if kid.dynamic:
            self._drop(kid, reason)

    def _drop(self, kid: Kid, reason: str) -> None:
        """Give up the place, unless that was done already: two may ask, and the child may end by itself meanwhile."""
        if kid in self.kids:
            kid.node.retire(State.VACANT, reason)
            self.kids.remove(kid)
            self._forget(self, kid)
            kid.removed.set()

    def _emit(self, kind: EventKind, kid: Kid, reason: str) -> None:
        self._system.emit(kind, kid.node.path, kid.node.incarnation, kid.node.mode, reason)


def _wants_restart(restart: Restart, exit_: Exit) -> bool:
    if restart is Restart.PERMANENT:
        return True
    return restart is Restart.TRANSIENT and exit_.is_crash
