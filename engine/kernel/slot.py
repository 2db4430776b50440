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
from engine.kernel.message import Message, policy_of
from engine.kernel.ref import Ref
from engine.kernel.reply import Reply, down
from engine.kernel.restarts import Ladder
from engine.kernel.tree import TreeNode
from engine.kernel.watchers import Watchers

if TYPE_CHECKING:
    from engine.kernel.spec import ChildSpec
    from engine.kernel.system import System

CANCEL_GRACE_S = 1.0
INTERNAL_ERROR = 70


class Slot:
    """`up` says whether the present incarnation takes requests. Made vacant by `System.address`, then placed."""

    def __init__(self, system: System, path: str) -> None:
        self.system = system
        self.path = path
        self.mailbox = Mailbox(path)
        self.inbox = Inbox(self)
        self.ref = Ref(self, Actor)
        self.state = State.VACANT
        self.up = False
        self.incarnation = 0
        self.restarts = 0
        self.last_error = ""
        self.current: Incarnation | None = None
        self.watchers = Watchers(self)
        self.spec: ChildSpec
        self.ladder: Ladder
        self.nursery: trio.Nursery
        self._on_end: Callable[[int, Exit], None]
        self._stop_futures: list[pykka.Future[Any]] = []

    # -- messages ------------------------------------------------------------------------------------------------------

    def tell(self, message: Message) -> None:
        """The part of `Ref.tell` that is not the common case."""
        policy = policy_of(type(message))
        if policy.refuse_while_down and not self.up:
            raise down(self.path, self.state.value)
        if self.mailbox.closed:
            self.bury(message, f"the address is {self.state.value}")
            return
        try:
            self.mailbox.put(message, policy)
        except MailboxOverflow as error:
            self.bury(message, "mailbox full")
            self.kill(error)

    def tell_or_bury(self, message: Message) -> None:
        """Tell on behalf of a sender who cannot be told no."""
        try:
            self.tell(message)
        except KernelError as error:
            self.bury(message, describe(error))

    def call(self, message: Message, reply: Reply[Any]) -> None:
        """Put a called message in the mailbox. Raises ActorDown or MailboxFull."""
        policy = policy_of(type(message))
        if self.mailbox.closed or (policy.refuse_while_down and not self.up):
            raise down(self.path, self.state.value)
        self.mailbox.put_call(message, policy, reply)

    def bury(self, message: Message, reason: str) -> None:
        """Make a message a dead letter."""
        self.system.dead_letters.bury(self.path, message, reason)

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
            self._withdraw(lambda item: isinstance(item, Envelope), state.value)

    def retire(self, state: State, reason: str) -> None:
        """Nobody will run here (again): what waits becomes dead letters, callers are told."""
        self.state = state
        self.mailbox.room = 0
        self._withdraw(lambda _item: True, reason)
        self.ref.actor_stopped.set()
        pykka.ActorRegistry.unregister(self.ref)
        self.watchers.notify(reason)
        if state is State.VACANT:
            self.system.displace(self.path)

    def _withdraw(self, doomed: Callable[[Any], bool], reason: str) -> None:
        for message, reply in self.mailbox.withdraw(doomed):
            self.mailbox.dead += 1
            if reply is not None:
                reply.refuse(down(self.path, reason))
            else:
                self.bury(message, reason)

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
