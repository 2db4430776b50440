"""What the faults of the board do to a server, whichever venue it serves: some turn a knob of the venue, some strike its
connections at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TypeVar

from engine.kernel import Entropy
from engine.simulator.orders import Fill
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import AnyFault, Drop, Fault, GarbageFrame, HideFills, LoseFills
from engine.simulator.wire.garbage import garbage_frame
from engine.simulator.wire.reception import Reception

__all__ = ["VenueEffects"]

F = TypeVar("F", bound=Fault)


class VenueEffects(ABC):
    """Of several faults of one kind the one that came last counts; without any, the venue is as it was at the start."""

    def __init__(self, name: str, clock: VenueClock, reception: Reception, board: FaultBoard, entropy: Entropy) -> None:
        self._name = name
        self._clock = clock
        self._reception = reception
        self._board = board
        self._entropy = entropy

    def started(self, fault: AnyFault) -> None:
        if isinstance(fault, Drop) and not fault.method:
            for site in self._board.targets(fault, self._reception.sites()):
                self._reception.drop(site, reset=fault.reset)
        elif isinstance(fault, GarbageFrame) and not fault.method and not fault.channel:
            ready = garbage_frame(fault.variant, self._entropy, self._name)
            for site in self._board.targets(fault, self._open_to_frames()):
                self._reception.inject(site, ready)
        elif not self._struck(fault):
            self._turn_knobs()

    def ended(self, fault: AnyFault) -> None:
        self._turn_knobs()

    def _open_to_frames(self) -> Iterable[Site]:
        """Among whom a frame that nobody asked for finds those it strikes."""
        return self._reception.sites()

    @abstractmethod
    def _struck(self, fault: AnyFault) -> bool:
        """Do what only this venue suffers, at once; whether it was that."""

    @abstractmethod
    def _turn_knobs(self) -> None:
        """Put every knob where the faults in force want it."""

    def _newest(self, kind: type[F]) -> F | None:
        return self._board.newest(kind, self._name)

    def _hidden_from_ms(self, since_ms: int | None) -> int | None:
        """Of several the first counts, until all are gone."""
        if self._newest(HideFills) is None:
            return None
        return self._clock.now_ms() if since_ms is None else since_ms

    def _loses(self, fill: Fill) -> bool:
        return self._board.take(LoseFills, Site(self._name, channel=fill.trade.instrument)) is not None
