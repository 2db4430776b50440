"""What the tree looks like from outside: plain values for the admin socket and the tests."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.kernel.exits import State
from engine.kernel.mailbox import Counters


class TreeNode(msgspec.Struct, frozen=True):
    """One place in the tree. `mailbox` is None for a supervisor; `mode` is empty without a ladder."""

    path: str
    kind: Literal["actor", "supervisor"]
    state: State
    mode: str
    incarnation: int
    restarts: int
    last_error: str
    mailbox: Counters | None
    children: tuple[TreeNode, ...] = ()

    def walk(self) -> list[TreeNode]:
        """This node and everything below it, parents first."""
        return [self, *(node for child in self.children for node in child.walk())]

    def find(self, path: str) -> TreeNode:
        """The node at `path`. Raises KeyError."""
        for node in self.walk():
            if node.path == path:
                return node
        raise KeyError(path)
