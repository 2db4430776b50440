"""The whole: one loop, one tree, one set of seams."""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from loguru import logger

from engine.kernel.bridge import Bridge
from engine.kernel.clock import Clock
from engine.kernel.dead_letters import DeadLetters
from engine.kernel.entropy import Entropy
from engine.kernel.errors import Killed, SpecError, StartFailed
from engine.kernel.exits import EventKind, Exit, KernelEvent, State
from engine.kernel.host import Host
from engine.kernel.node import Node
from engine.kernel.ref import Ref
from engine.kernel.slot import INTERNAL_ERROR, Slot
from engine.kernel.spec import NodeSpec, SupervisorSpec
from engine.kernel.supervisor import Supervisor
from engine.kernel.tree import TreeNode

ROOT = "root"
_DEFAULT_STOP_S = 30.0


def exit_process(code: int) -> None:
    """End the process now, after the log was flushed: the last rung of the stop ladder."""
    logger.complete()
    os._exit(code)


class System:
    """Made by `open_system`. Loop thread only, except for refs."""

    def __init__(
        self, nursery: trio.Nursery, clock: Clock, entropy: Entropy, name: str, die: Callable[[int], None]
    ) -> None:
        self.name = name
        self.clock = clock
        self.entropy = entropy
        self.bridge = Bridge()
        self.host = Host()
        self.dead_letters = DeadLetters(clock)
        self._nursery = nursery
        self._die = die
        self._addresses: weakref.WeakValueDictionary[str, Slot] = weakref.WeakValueDictionary()
        self._nodes: dict[str, Node] = {}
        self._root: Supervisor | None = None
        self._listeners: list[Callable[[KernelEvent], None]] = []
        self._exit_code: int | None = None
        self._exit_wanted = trio.Event()

    # -- addresses -----------------------------------------------------------------------------------------------------

    def address(self, path: str) -> Ref:
        """The ref of a place in the tree, which may be filled later. Raises SpecError for what is not a path."""
        return self._slot(path).ref

    def _slot(self, path: str) -> Slot:
        slot = self._addresses.get(path)
        if slot is None:
            if path.split("/", maxsplit=1)[0] != ROOT:
                raise SpecError(f"path: expected {ROOT}/…, got {path!r}")
            self._addresses[path] = slot = Slot(self, path)
        return slot

    def place(self, path: str, spec: NodeSpec) -> Node:
        """For supervisors: the node of a new child."""
        node: Node
        if isinstance(spec, SupervisorSpec):
            node = Supervisor(self, path, spec)
        else:
            slot = self._slot(path)
            slot.place(spec)
            node = slot
        self._nodes[path] = node
        return node

    def displace(self, path: str) -> None:
        """For nodes: the place is empty from now on."""
        self._nodes.pop(path, None)

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self, root: SupervisorSpec) -> None:
        """Start the tree; returns when every child is ready or parked. Raises StartFailed."""
        if root.name != ROOT or self._root is not None:
            raise SpecError(f"expected one supervisor named {ROOT!r}, got {root.name!r}, running: {self._root}")
        self._root = Supervisor(self, ROOT, root)
        self._nodes[ROOT] = self._root
        failure = await self._root.start(self._nursery, self._root_ended)
        if failure is not None:
            self.close("did not start")
            raise StartFailed(f"the tree did not start: {failure.reason}") from failure.error

    def _root_ended(self, _number: int, exit_: Exit) -> None:
        self.close(exit_.reason)
        self.request_exit(INTERNAL_ERROR, exit_.reason)

    async def stop(self, deadline_s: float = _DEFAULT_STOP_S) -> None:
        """Stop every child in reverse order; after `deadline_s` seconds those that are left are cancelled."""
        if self._root is not None and self._root.state is not State.ENDED:
            await self._root.stop(trio.current_time() + deadline_s)
            self.close("the system has ended")

    def close(self, reason: str) -> None:
        """For the kernel, once nothing runs: no address is live any more."""
        if self._root is not None and self._root.state is not State.ENDED:
            self._root.retire(State.ENDED, reason)

    def request_exit(self, code: int, reason: str) -> None:
        """Ask whoever waits in `wait_exit` to end the process; the first request counts."""
        if self._exit_code is None:
            self._exit_code = code
            logger.warning("exit {} requested: {}", code, reason)
            self.emit(EventKind.EXIT_REQUESTED, ROOT, 0, "", f"code {code}: {reason}")
            self._exit_wanted.set()

    async def wait_exit(self) -> int:
        """The code of the first `request_exit`."""
        await self._exit_wanted.wait()
        assert self._exit_code is not None
        return self._exit_code

    def die(self, code: int, reason: str) -> None:
        """End the process without further ado."""
        logger.critical("exit {} now: {}", code, reason)
        self._die(code)

    # -- dynamic children and drills -----------------------------------------------------------------------------------

    async def start_child(self, parent_path: str, spec: NodeSpec) -> Ref:
        """Start one more child. Raises SpecError for a bad place, StartFailed if it is not ready; then it is not added.

        A dynamic child that ends for good leaves the tree. It comes back when its supervisor is restarted.
        """
        await self._supervisor(parent_path).add(spec)
        return self.address(f"{parent_path}/{spec.name}")

    async def stop_child(self, path: str) -> None:
        """Stop a child and everything below it, and forget it."""
        parent_path, _, name = path.rpartition("/")
        await self._supervisor(parent_path).remove(name)

    def kill(self, path: str, error: BaseException | None = None) -> bool:
        """Crash the incarnation at `path` wherever it stands; False if nobody runs there."""
        node = self._nodes.get(path)
        if node is None:
            raise SpecError(f"{path}: no such child")
        return node.kill(error or Killed(f"{path} was killed on purpose"))

    def abandon(self) -> None:
        """Cancel everything where it stands, as the death of the process would; nothing is stopped in order."""
        self._nursery.cancel_scope.cancel()

    def _supervisor(self, path: str) -> Supervisor:
        node = self._nodes.get(path)
        if not isinstance(node, Supervisor):
            raise SpecError(f"{path}: expected the path of a supervisor")
        return node

    # -- looking -------------------------------------------------------------------------------------------------------

    def tree(self) -> TreeNode:
        """The whole tree as a value. Raises SpecError before `start`."""
        if self._root is None:
            raise SpecError("there is no tree before start")
        return self._root.tree()

    def on_event(self, callback: Callable[[KernelEvent], None]) -> None:
        """Call `callback` with every supervision event, on the loop, at once; it must not block."""
        self._listeners.append(callback)

    def emit(self, kind: EventKind, path: str, incarnation: int, mode: str, reason: str) -> None:
        """For the kernel: tell the listeners. One that raises is logged; it must not stop a supervisor."""
        event = KernelEvent(kind, path, self.clock.wall_ms(), incarnation, mode, reason)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001 - logged; a listener must not stop a supervisor
                logger.opt(exception=error).error("an event listener failed on {}", event)


@asynccontextmanager
async def open_system(
    clock: Clock, entropy: Entropy, name: str = "tradenode", die: Callable[[int], None] = exit_process
) -> AsyncIterator[System]:
    """A system for the duration of the block; leaving it stops the tree in order, an exception cancels it.

    `die` ends the process at the last rung of the stop ladder; tests replace it.
    """
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            system = System(nursery, clock, entropy, name, die)
            try:
                yield system
                await system.stop()
            except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery that would wrap it
                failure = error
            nursery.cancel_scope.cancel()
    finally:
        system.close("the system has ended")
        system.bridge.close()
        system.host.close()
    if failure is not None:
        raise failure
