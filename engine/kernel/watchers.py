"""Who is to be told when the incarnation at an address ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.kernel.message import Down

if TYPE_CHECKING:
    from engine.kernel.address import Address
    from engine.kernel.incarnation import Incarnation


class Watchers:
    """One address's watchers. Each is told once and then forgotten; one that ends first is forgotten too."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._waiting: dict[Incarnation, None] = {}

    def add(self, watcher: Incarnation) -> None:
        """Watch the present or the next incarnation; be told at once if there will be none."""
        if self._address.mailbox.closed:
            self._tell(watcher, f"the address is {self._address.state.value}")
        else:
            self._waiting[watcher] = None
            watcher.watching.add(self)

    def drop(self, watcher: Incarnation) -> None:
        """It has ended."""
        self._waiting.pop(watcher, None)

    def notify(self, reason: str) -> None:
        """The slot's incarnation has ended, or nobody will ever run there."""
        waiting, self._waiting = self._waiting, {}
        for watcher in waiting:
            watcher.watching.discard(self)
            self._tell(watcher, reason)

    def _tell(self, watcher: Incarnation, reason: str) -> None:
        watcher.slot.tell_or_bury(Down(self._address.path, self._address.incarnation, reason))
