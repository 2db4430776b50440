"""A leaf of the tree: one address, one mailbox, one ref, and the incarnations that come and go behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka
import trio
from loguru import logger

from engine.kernel.actor import Actor
from engine.kernel.bridge import Inbox
from engine.kernel.errors import KernelError, MailboxOverflow, StartFailed, describe
from engine.kernel.exits import Exit, ExitKind, State
from engine.kernel.incarnation import Incarnation
from engine.kernel.mailbox import Envelope, Mailbox, StopSignal
from engine.kernel.message import Down, Message, Policy, policy_of
from engine.kernel.ref import Ref
from engine.kernel.reply import Reply, down
from engine.kernel.restarts import Ladder
from engine.kernel.tree import TreeNode

if TYPE_CHECKING:
    from engine.kernel.spec import ChildSpec
    from engine.kernel.system import System

_CANCEL_GRACE_S = 1.0
_INTERNAL_ERROR = 70


class Slot:
    """`up` says whether the present incarnation takes requests. Made vacant by `System.address`, then placed."""

    def __init__(self, system: System, path: str) -> None:
        self.system = system
        self.path = path
        self.mailbox = Mailbox(path)
        self.mailbox.room = 0
        self.inbox = Inbox(self)
        self.ref = Ref(self, Actor)
        self.state = State.VACANT
        self.up = False
        self.incarnation = 0
        self.restarts = 0
        self.last_error = ""
        self.current: Incarnation | None = None
        self.spec: ChildSpec
        self.ladder: Ladder
        self.nursery: trio.Nursery
        self._on_end: Callable[[int, Exit], None]
        self._watchers: dict[Incarnation, None] = {}

    # -- messages ------------------------------------------------------------------------------------------------------

    def tell(self, message: Message) -> None:
        """The part of `Ref.tell` that is not the common case."""
        policy = policy_of(type(message))
        if not self.up and (policy.refuse_while_down or self.mailbox.closed):
            if policy.refuse_while_down:
                raise down(self.path, self.state.value)
            self.bury(message, f"the address is {self.state.value}")
            return
        try:
            self.mailbox.put(message, policy)
        except MailboxOverflow as error:
            self.bury(message, "mailbox full")
            if self.current is not None:
                self.current.end_with(Exit.crash(error))

    def tell_or_bury(self, message: Message) -> None:
        """Tell on behalf of a sender who cannot be told no."""
        try:
            self.tell(message)
        except KernelError as error:
            self.bury(message, describe(error))

    def call(self, message: Message, reply: Reply[Any]) -> None:
        """Put a called message in the mailbox. Raises ActorDown or MailboxFull."""
        policy: Policy = policy_of(type(message))
        if self.mailbox.closed or (policy.refuse_while_down and not self.up):
            raise down(self.path, self.state.value)
        self.mailbox.put_call(message, policy, reply)

    def bury(self, message: Message, reason: str) -> None:
        """Make a message a dead letter."""
        self.system.dead_letters.bury(self.path, message, reason)

    def stop_asked(self, future: pykka.Future[Any] | None) -> None:
        """pykka's `ActorRef.stop` from a thread: end the present incarnation in order."""
        if self.current is not None:
            self.current.end_normally()
        if future is not None:
            future.set(None)

    # -- placing -------------------------------------------------------------------------------------------------------

    def place(self, spec: ChildSpec) -> None:
        """Become a child: hold messages from now on."""
        assert self.state in (State.VACANT, State.ENDED), f"{self.path} is taken"
        self.spec = spec
        self.ladder = Ladder(len(spec.rungs()), spec.ladder)
        self.wait(State.WAITING)

    def wait(self, state: State) -> None:
        """Be down for a while: hold what may be held, and keep nobody waiting who asked somebody that is parked."""
        self.state = state
        self.mailbox.open(self.mailbox.capacity)
        if state is State.PARKED:
            self._withdraw(lambda item: isinstance(item, Envelope), state.value)

    def retire(self, state: State, reason: str) -> None:
        """Nobody will run here (again): what waits becomes dead letters, callers are told."""
        self.state = state
        self.mailbox.room = 0
        self._withdraw(lambda item: True, reason)
        self.ref.actor_stopped.set()
        pykka.ActorRegistry.unregister(self.ref)
        self._tell_watchers(reason)

    def _withdraw(self, doomed: Callable[[Any], bool], reason: str) -> None:
        for message, reply in self.mailbox.withdraw(doomed):
            self.mailbox.dead += 1
            if reply is not None:
                reply.fail(down(self.path, reason))
            elif not isinstance(message, StopSignal):
                self.bury(message, reason)

    # -- lives ---------------------------------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """The name of the present mode."""
        return self.spec.rungs()[self.ladder.rung].name if self.state is not State.VACANT else ""

    def has_mode(self, direction: int) -> bool:
        """Whether the ladder has a rung one step lower (+1) or better (-1)."""
        return self.ladder.can_step(direction)

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
        except Exception as error:
            return self._start_failed(error)
        self._welcome(life)
        with trio.move_on_after(self.spec.start_timeout_s):
            await life.settled.wait()
        if life.ready.is_set():
            return None
        if life.exit is None:
            late = Exit.crash(StartFailed(f"{self.path}: on_start took longer than {self.spec.start_timeout_s} s"))
            life.end_with(late)
            await self._see_it_end(life)
            return life.exit or late
        return life.exit

    def _welcome(self, life: Incarnation) -> None:
        self.current = life
        self.mailbox.open(life.actor.mailbox_capacity)
        self.ref.actor_class = type(life.actor)
        if self.ref.actor_stopped.is_set() or self.incarnation == 1:
            self.ref.actor_stopped.clear()
            pykka.ActorRegistry.register(self.ref)
        life.actor._start_actor_loop()

    def _start_failed(self, error: Exception) -> Exit:
        self.last_error = describe(error)
        logger.bind(actor=self.path).opt(exception=error).error("{} could not be constructed", self.path)
        return Exit.crash(error)

    def became_ready(self, life: Incarnation) -> None:
        """`on_start` returned."""
        self.state = State.RUNNING
        self.up = True
        life.ready.set()
        life.settled.set()

    def incarnation_ended(self, life: Incarnation) -> None:
        """The task of an incarnation is done."""
        assert life.exit is not None
        self.up = False
        self.current = None
        self._expire_stop_signals()
        if life.exit.error is not None and life.exit.is_crash:
            self.last_error = life.exit.reason
            logger.bind(actor=self.path).opt(exception=life.exit.error).error(
                "{} incarnation {} crashed: {}", self.path, life.number, life.exit.reason
            )
        for watched in life.watching:
            watched._watchers.pop(life, None)
        self._tell_watchers(life.exit.reason)
        life.settled.set()
        if life.ready.is_set() and life.exit.kind is not ExitKind.STOPPED:
            self._on_end(life.number, life.exit)

    def _expire_stop_signals(self) -> None:
        for _ in self.mailbox.withdraw(lambda item: isinstance(item, StopSignal)):
            self.mailbox.expired += 1

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
        with trio.move_on_after(_CANCEL_GRACE_S):
            await life.ended.wait()
        if not life.ended.is_set():
            self.system.die(_INTERNAL_ERROR, f"{self.path} did not end within {_CANCEL_GRACE_S} s of being cancelled")

    def kill(self, error: BaseException) -> bool:
        """Crash the present incarnation; False if nobody runs."""
        if self.current is None:
            return False
        self.current.end_with(Exit.crash(error))
        return True

    # -- watching ------------------------------------------------------------------------------------------------------

    def watched_by(self, watcher: Incarnation) -> None:
        """Tell `watcher` when the present or next incarnation ends; at once if there will be none."""
        if self.state in (State.VACANT, State.ENDED):
            watcher.slot.tell_or_bury(Down(self.path, self.incarnation, f"the address is {self.state.value}"))
        else:
            self._watchers[watcher] = None
            watcher.watching.add(self)

    def _tell_watchers(self, reason: str) -> None:
        watchers, self._watchers = self._watchers, {}
        for watcher in watchers:
            watcher.watching.discard(self)
            watcher.slot.tell_or_bury(Down(self.path, self.incarnation, reason))

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
