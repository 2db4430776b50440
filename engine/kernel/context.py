"""What an actor is given: where it lives and the seams it may use; and its timers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import trio

if TYPE_CHECKING:
    from engine.kernel.clock import Clock
    from engine.kernel.entropy import Entropy
    from engine.kernel.ref import Ref
    from engine.kernel.system import System


class Context(msgspec.Struct, frozen=True):
    """Handed to every incarnation. `mode` is empty for a child without a ladder; incarnations count from 1."""

    path: str
    incarnation: int
    mode: str
    self_ref: Ref
    clock: Clock
    entropy: Entropy
    system: System


class Timer:
    """A message to come. Ends with its incarnation."""

    __slots__ = ("_scope",)

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope

    def cancel(self) -> None:
        """Tell nothing more; a message already in the mailbox stays there."""
        self._scope.cancel()
