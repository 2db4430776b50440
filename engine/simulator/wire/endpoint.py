"""A running simulated venue, as the one who started it holds it: what is the same whichever venue it is."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Any, Protocol

import trio
from trio.testing import memory_stream_pair

from engine.kernel import Entropy
from engine.simulator.acts import AnyAct
from engine.simulator.hand import Hand
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.control import UnknownName

__all__ = ["Endpoint", "Server"]


class Server(Protocol):
    """What serves a venue."""

    def serve_stream(self, stream: trio.abc.Stream) -> Awaitable[None]: ...
    def nudge(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...


class Endpoint(ABC):
    """Accounts by name, hands that act for them, a clock to put right or wrong, and connections without a network."""

    server: Server

    def __init__(self, clock: VenueClock, entropy: Entropy, nursery: trio.Nursery) -> None:
        self._clock = clock
        self._entropy = entropy
        self._nursery = nursery
        self._accounts: list[str] = []

    def connect(self) -> trio.abc.HalfCloseableStream:
        """The client's end of a new connection without a network: for a node and its venue under one MockClock."""
        ours, theirs = memory_stream_pair()
        self._nursery.start_soon(self.server.serve_stream, ours)
        return theirs

    def now_ms(self) -> int:
        """The venue's time."""
        return self._clock.now_ms()

    def act(self, act: AnyAct) -> dict[str, Any]:
        """Do what somebody does by hand; what came of it. Raises `UnknownName` and `ActRefused`."""
        self._check_account(act.account)
        hand = self._hand()
        try:
            return hand.do(act)
        finally:
            self.server.nudge()

    @abstractmethod
    def _hand(self) -> Hand:
        """Who acts by hand in the venue as it is now."""

    def _check_account(self, account: str) -> None:
        if account not in self._accounts:
            raise UnknownName(f"account: expected one of {', '.join(self._accounts)}, got {account!r}")

    def stats(self) -> dict[str, Any]:
        return self.server.stats()

    def set_clock(self, offset_ms: int) -> int:
        """Put the venue's clock `offset_ms` from ours; it never runs backwards, but slows down. Returns its time now, in ms."""
        self._clock.offset_ms = offset_ms
        return self._clock.now_ms()
