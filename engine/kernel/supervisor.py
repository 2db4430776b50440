"""An inner node of the tree.

Where it comes from. The semantics are Erlang/OTP's: children start in order, each after the previous one said ready,
and stop in reverse; an end is judged by the child's restart type; restarts too dense in time mean that restarting does
not help, and the level above decides. What OTP lacks is added: a backoff (OTP restarts at once and burns its intensity
on an outage that lasts two seconds), parking (a strategy that fails for ever must not take the node down), a ladder of
modes, a start timeout, and addresses that outlive an incarnation.

How it works. Children whose fates are tied form a group, and a `Keeper` runs each group as one sequential loop: it
digests an end, stops what is tied, waits, starts in order. Sequential is the point: a crash during a restart, a stop
during a backoff, a second crash while siblings are being stopped are not races but the next thing the loop looks at.
The only interruption is `stop`: it cancels the loop wherever it stands and then stops, in reverse, whatever is up.
A `Supervisor` is a list of keepers: one for tied children, one each for children that are not.

Two clocks never mix. Being *judged* (intensity, backoff, ladder) is pure arithmetic in `restarts.py`, with time as an
argument. *Waiting* is trio's, so a MockClock runs a day of restarts in milliseconds.

Rejected. *Supervisors as actors*: every stop and start handshake would become a message protocol with the states the
sequential loop does not have. *trio nurseries as supervisors*: a nursery knows one strategy, all fail together, and no
memory. *Restarting in the crashed task*: nothing is left to stop the siblings in order. *Counting restarts per
supervisor, as OTP does*: two hundred feeds under one supervisor would share one budget, and one bad symbol would spend
it for all.

What would change our mind: children on other machines. Then an end has to be inferred, and this file cannot do that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from engine.kernel.errors import SpecError, StartFailed
from engine.kernel.exits import Exit, ExitKind, State
from engine.kernel.keeper import Keeper
from engine.kernel.node import Kid, Node
from engine.kernel.restarts import Ladder, RestartBook
from engine.kernel.spec import MAX_CHILDREN, LadderPolicy, NodeSpec, Strategy, SupervisorSpec
from engine.kernel.tree import TreeNode

if TYPE_CHECKING:
    from engine.kernel.system import System


class _Child:
    """A child's place, which outlives the supervisor's own incarnations."""

    def __init__(self, spec: NodeSpec, node: Node, dynamic: bool) -> None:
        self.spec = spec
        self.node = node
        self.dynamic = dynamic


class Supervisor:
    """Starts, watches and stops its children. A Node itself, so that its parent can do the same with it."""

    mode = ""

    def __init__(self, system: System, path: str, spec: SupervisorSpec) -> None:
        self.system = system
        self.path = path
        self.spec = spec
        self.state = State.WAITING
        self.incarnation = 0
        self.restarts = 0
        self.last_error = ""
        self.ladder = Ladder(1, LadderPolicy())
        self._children: dict[str, _Child] = {}
        self._keepers: list[Keeper] = []
        self._nursery: trio.Nursery | None = None
        self._failure: Exit | None = None
        self._scope = trio.CancelScope()
        self._finished = trio.Event()
        self._stop_deadline_s = float("inf")
        for child in spec.children:
            self._place(child, dynamic=False)

    def _place(self, spec: NodeSpec, dynamic: bool) -> _Child:
        path = f"{self.path}/{spec.name}"
        self._children[spec.name] = child = _Child(spec, self.system.place(path, spec), dynamic)
        return child

    # -- as a node -----------------------------------------------------------------------------------------------------

    async def start(self, nursery: trio.Nursery, on_end: Callable[[int, Exit], None]) -> Exit | None:
        """Start the children in order and wait until each is ready or parked: None, or how it failed."""
        self.state = State.STARTING
        self.incarnation += 1
        self._failure = None
        self._scope = trio.CancelScope()
        self._finished = trio.Event()
        self._stop_deadline_s = float("inf")
        settled = trio.Event()
        nursery.start_soon(self._run, self.incarnation, settled, on_end, name=self.path)
        await settled.wait()
        return None if self.state is State.RUNNING else self._why_not_ready()

    def _why_not_ready(self) -> Exit:
        return self._failure or Exit(ExitKind.STOPPED, f"{self.path} was stopped before it was ready")

    async def stop(self, deadline_s: float) -> None:
        """Stop the children in reverse order."""
        if self.state in (State.STARTING, State.RUNNING):
            self.state = State.STOPPING
        self._stop_deadline_s = min(self._stop_deadline_s, deadline_s)
        self._scope.cancel()
        await self._finished.wait()

    def wait(self, state: State) -> None:
        """Be down for a while, with everything below."""
        self.state = state
        for child in self._children.values():
            child.node.wait(State.PARKED if state is State.PARKED else State.WAITING)

    def retire(self, state: State, reason: str) -> None:
        """Be down for good, with everything below."""
        self.state = state
        for child in self._children.values():
            child.node.retire(state, reason)
        if state is State.VACANT:
            self.system.displace(self.path)

    def kill(self, error: BaseException) -> bool:
        """Fail as if a child had escalated; False if it is not running."""
        if self.state is not State.RUNNING:
            return False
        self._give_up(Exit.crash(error))
        return True

    def tree(self) -> TreeNode:
        """This subtree as a value."""
        return TreeNode(
            path=self.path,
            kind="supervisor",
            state=self.state,
            mode=self.mode,
            incarnation=self.incarnation,
            restarts=self.restarts,
            last_error=self.last_error,
            mailbox=None,
            children=tuple(child.node.tree() for child in self._children.values()),
        )

    # -- its life ------------------------------------------------------------------------------------------------------

    async def _run(self, number: int, settled: trio.Event, on_end: Callable[[int, Exit], None]) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                with self._scope:
                    if await self._start_children():
                        self.state = State.RUNNING
                        settled.set()
                    await trio.sleep_forever()  # until stop, or until a keeper gives up
                for keeper in reversed(self._keepers):
                    await keeper.stop(self._stop_deadline_s)
        finally:
            self._nursery = None
            self._finished.set()
        was_running = settled.is_set()
        settled.set()
        if was_running and self._failure is not None:
            on_end(number, self._failure)

    async def _start_children(self) -> bool:
        kids = [self._kid(child) for child in self._children.values()]
        groups = [[kid] for kid in kids] if self.spec.strategy is Strategy.ONE_FOR_ONE else [kids]
        self._keepers = []
        for group in groups:
            await self._keep(group).settled.wait()
            if self._failure is not None:
                return False
        return True

    def _kid(self, child: _Child) -> Kid:
        child.node.wait(State.WAITING)
        book = RestartBook(child.spec, self.system.entropy.fork(f"backoff/{child.node.path}/{self.incarnation}"))
        return Kid(child.node, child.spec, book, child.dynamic)

    def _keep(self, group: list[Kid]) -> Keeper:
        assert self._nursery is not None
        keeper = Keeper(self.system, self.spec.strategy, group, self._forget)
        self._keepers.append(keeper)
        self._nursery.start_soon(keeper.run, self._give_up, name=f"{self.path}:keeper")
        return keeper

    def _give_up(self, failure: Exit) -> None:
        if self._failure is None and self.state in (State.STARTING, State.RUNNING):
            self._failure = failure
            self.last_error = failure.reason
        self._scope.cancel()

    # -- dynamic children ----------------------------------------------------------------------------------------------

    async def add(self, spec: NodeSpec) -> Node:
        """Start one more child, last in the order. Raises SpecError, StartFailed; then it was not added."""
        if self.state is not State.RUNNING:
            raise StartFailed(f"{self.path} is {self.state.value}, it cannot start children")
        if spec.name in self._children:
            raise SpecError(f"{self.path}/{spec.name} exists already")
        if len(self._children) >= MAX_CHILDREN:
            raise SpecError(f"{self.path} has {MAX_CHILDREN} children, no more are allowed")
        kid = self._kid(self._place(spec, dynamic=True))
        if self.spec.strategy is Strategy.ONE_FOR_ONE:
            self._keep([kid])
        else:
            self._keepers[0].add(kid)
        await kid.settled.wait()
        if kid.failure is not None:
            raise StartFailed(f"{kid.node.path}: {kid.failure.reason}") from kid.failure.error
        if kid.node.state in (State.WAITING, State.VACANT, State.STOPPING):
            raise StartFailed(f"{kid.node.path}: {self.path} was stopped before it was ready")
        return kid.node

    async def remove(self, name: str) -> None:
        """Stop one child and forget it; its messages become dead letters. Raises SpecError if there is none."""
        for keeper in self._keepers:
            for kid in keeper.kids:
                if kid.spec.name == name:
                    await keeper.remove(kid)
                    return
        raise SpecError(f"{self.path}/{name}: no such child")

    def _forget(self, keeper: Keeper, kid: Kid) -> None:
        del self._children[kid.spec.name]
        if self.spec.strategy is Strategy.ONE_FOR_ONE:
            self._keepers.remove(keeper)
            keeper.dismiss()
