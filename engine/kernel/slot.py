"""A leaf of the tree: one address, and the incarnations that come and go behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka
import trio
from loguru import logger

from engine.kernel.address import Address
from engine.kernel.errors import StartFailed
from engine.kernel.exits import Exit, ExitKind, State
from engine.kernel.incarnation import Incarnation
from engine.kernel.mailbox import Envelope, StopSignal
from engine.kernel.restarts import Ladder
from engine.kernel.tree import TreeNode

if TYPE_CHECKING:
    from engine.kernel.spec import ChildSpec
    from engine.kernel.system import System

CANCEL_GRACE_S = 1.0
INTERNAL_ERROR = 70


class Slot(Address):
    """Made vacant by `System.address`, then placed; outlives every incarnation."""

    def __init__(self, system: System, path: str) -> None:
        super().__init__(system, path)
        self.restarts = 0
        self.last_error = ""
        self.current: Incarnation | None = None
        self.spec: ChildSpec
        self.ladder: Ladder
        self.nursery: trio.Nursery
        self._on_end: Callable[[int, Exit], None]
        self._stop_futures: list[pykka.Future[Any]] = []

    # -- placing -------------------------------------------------------------------------------------------------------

    def place(self, spec: ChildSpec) -> None:
        """Become a child: hold messages from now on."""
        assert self.state in (State.VACANT, State.ENDED), f"{self.path} is taken"
        self.spec = spec
        self.ladder = Ladder(len(spec.rungs()), spec.ladder)
        self.wait(State.WAITING)

    def wait(self, state: State) -> None:
        """Be down for a while: hold what may be held, and keep nobody waiting for a reply while parked."""
        self.state = state
        self.mailbox.open(self.mailbox.capacity)
        if self.ref.actor_stopped.is_set():
            self.ref.actor_stopped.clear()
            pykka.ActorRegistry.register(self.ref)
        if state is State.PARKED:
            self.withdraw(lambda item: isinstance(item, Envelope), state.value)

    def retire(self, state: State, reason: str) -> None:
        """Nobody will run here (again): what waits becomes dead letters, callers are told."""
        self.state = state
        self.mailbox.room = 0
        self.withdraw(lambda _item: True, reason)
        self.ref.actor_stopped.set()
        pykka.ActorRegistry.unregister(self.ref)
        self.watchers.notify(reason)
        if state is State.VACANT:
            self.system.displace(self.path)

    # -- lives ---------------------------------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """The name of the present mode; empty without a ladder."""
        return self.spec.rungs()[self.ladder.rung].name if self.state is not State.VACANT else ""

    async def start(self, nursery: trio.Nursery, on_end: Callable[[int, Exit], None]) -> Exit | None:
        """Start a new incarnation and wait until it is ready: None, or how it failed.

        `on_end` is told of the end of an incarnation that had become ready, unless `stop` caused it.
        """
        self.state = State.STARTING
        self.nursery, self._on_end = nursery, on_end
        self.incarnation += 1
        life = Incarnation(self, self.incarnation, self.mode)
        try:
            life.construct(self.spec.rungs()[self.ladder.rung].factory)
        except Exception as error:  # noqa: BLE001 - a failed start is the supervisor's to judge
            exit_ = Exit.crash(error)
            self._note_crash(exit_, life.number)
            return exit_
        self.current = life
        self.mailbox.open(life.actor.mailbox_capacity)
        self.ref.actor_class = type(life.actor)
        life.actor._start_actor_loop()
        return await self._handshake(life)

    async def _handshake(self, life: Incarnation) -> Exit | None:
        timeout_s = self.spec.start_timeout_s
        with trio.move_on_after(timeout_s):
            await life.settled.wait()
        if life.ready.is_set():
            return None
        if life.exit is None:
            late = Exit.crash(StartFailed(f"{self.path}: on_start took longer than {timeout_s} s"))
            life.end_with(late)
            await self._see_it_end(life)
            return late
        return life.exit

    def became_ready(self, life: Incarnation) -> None:
        """`on_start` returned."""
        self.state = State.RUNNING
        self.up = life.verdict is None
        life.ready.set()
        life.settled.set()

    def incarnation_ended(self, life: Incarnation) -> None:
        """The task of an incarnation is done."""
        exit_ = life.exit
        assert exit_ is not None and self.current is life, f"{self.path}: a second incarnation ran"
        self.up = False
        self.current = None
        for _ in self.mailbox.withdraw(lambda item: isinstance(item, StopSignal)):
            self.mailbox.expired += 1
        if exit_.is_crash:
            self._note_crash(exit_, life.number)
        for watchers in life.watching:
            watchers.drop(life)
        self.watchers.notify(exit_.reason)
        self._answer_stops()
        life.settled.set()
        if life.ready.is_set() and exit_.kind is not ExitKind.STOPPED:
            self._on_end(life.number, exit_)

    def _note_crash(self, exit_: Exit, number: int) -> None:
        self.last_error = exit_.reason
        logger.bind(actor=self.path).opt(exception=exit_.error).error(
            "{} incarnation {} crashed: {}", self.path, number, exit_.reason
        )

    # -- stopping ------------------------------------------------------------------------------------------------------

    async def stop(self, deadline_s: float) -> None:
        """Stop message → the child's stop timeout (or `deadline_s`, if sooner) → cancel → 1 s → process exit 70."""
        life = self.current
        if life is None:
            return
        self.state = State.STOPPING
        life.end_in_order(Exit(ExitKind.STOPPED, "stopped by its supervisor"))
        with trio.move_on_at(min(trio.current_time() + self.spec.stop_timeout_s, deadline_s)):
            await life.ended.wait()
        if not life.ended.is_set():
            logger.bind(actor=self.path).warning("{} did not stop within its deadline: cancelling", self.path)
            life.end_with(Exit(ExitKind.STOPPED, "cancelled at its stop deadline"))
            await self._see_it_end(life)

    async def _see_it_end(self, life: Incarnation) -> None:
        with trio.move_on_after(CANCEL_GRACE_S):
            await life.ended.wait()
        if not life.ended.is_set():
            self.system.die(INTERNAL_ERROR, f"{self.path} did not end within {CANCEL_GRACE_S} s of being cancelled")

    def kill(self, error: BaseException) -> bool:
        """Crash the present incarnation; False if nobody runs."""
        if self.current is None:
            return False
        self.current.end_with(Exit.crash(error))
        return True

    def stop_asked(self, future: pykka.Future[Any] | None) -> None:
        """pykka's `ActorRef.stop` from a thread: end the present incarnation in order, then set `future`."""
        if future is not None:
            self._stop_futures.append(future)
        if self.current is None:
            self._answer_stops()
        else:
            self.current.end_normally()

    def _answer_stops(self) -> None:
        futures, self._stop_futures = self._stop_futures, []
        for future in futures:
            future.set(None)

    # -- looking -------------------------------------------------------------------------------------------------------

    def tree(self) -> TreeNode:
        """This leaf as a value."""
        return TreeNode(
            path=self.path,
            kind="actor",
            state=self.state,
            mode=self.mode,
            incarnation=self.incarnation,
            restarts=self.restarts,
            last_error=self.last_error,
            mailbox=self.mailbox.counters(),
        )
