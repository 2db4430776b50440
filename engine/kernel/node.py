"""What a keeper keeps up, and what it knows about each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from engine.kernel.exits import Exit, State
from engine.kernel.restarts import Ladder, RestartBook
from engine.kernel.spec import NodeSpec
from engine.kernel.tree import TreeNode

_DOWN = (State.WAITING, State.BACKOFF, State.PARKED)
_UP = (State.STARTING, State.RUNNING, State.STOPPING)


class Node(Protocol):
    """A place in the tree: a Slot or a Supervisor."""

    path: str
    state: State
    incarnation: int
    restarts: int
    ladder: Ladder

    @property
    def mode(self) -> str:
        """The present rung's name, empty without a ladder."""

    async def start(self, nursery: trio.Nursery, on_end: Callable[[int, Exit], None]) -> Exit | None:
        """Start an incarnation in `nursery` and wait until it is ready: None, or how it failed.

        `on_end(number, exit)` is called once if an incarnation that was ready ends other than by `stop`.
        """

    async def stop(self, deadline_s: float) -> None:
        """Stop in order; after `deadline_s` (trio time) without mercy."""

    def wait(self, state: State) -> None:
        """Be down for a while: `state` is WAITING, BACKOFF or PARKED."""

    def retire(self, state: State, reason: str) -> None:
        """Be down for good: ENDED keeps the place, VACANT gives it up."""

    def kill(self, error: BaseException) -> bool:
        """Crash what runs; False if nothing does."""

    def tree(self) -> TreeNode:
        """The node as a value."""


class Kid:
    """A child and what its keeper knows about it. `dynamic` ones came by `start_child` and vanish when they end."""

    def __init__(self, node: Node, spec: NodeSpec, book: RestartBook, dynamic: bool) -> None:
        self.node = node
        self.spec = spec
        self.book = book
        self.dynamic = dynamic
        self.due_s = float("-inf")
        self.failure: Exit | None = None  # why a dynamic child's first start failed
        self.settled = trio.Event()  # its first start went one way or the other
        self.removed = trio.Event()

    @property
    def is_down(self) -> bool:
        """Whether it is to be started when it is due."""
        return self.node.state in _DOWN

    @property
    def is_up(self) -> bool:
        """Whether there is something to stop."""
        return self.node.state in _UP
