"""What the faults of the board do to a Deribit server: some turn a knob of the venue, some strike its sockets at once."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from engine.kernel import Entropy
from engine.simulator.deribit.venue import FORGET_CLOSED_MS, DeribitVenue
from engine.simulator.orders import Fill
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.deribit.desk import NAME
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import (
    AnyFault,
    ClockOffset,
    Drop,
    EngineHold,
    Fault,
    ForgetHistory,
    GarbageFrame,
    HideFills,
    HideOrders,
    LateFills,
    LoseFills,
    Maintenance,
    Settlement,
    SkipSequence,
)
from engine.simulator.wire.garbage import garbage_frame

__all__ = ["DeribitEffects", "Sockets"]


F = TypeVar("F", bound=Fault)


class Sockets(Protocol):
    """The connections of a server, as far as faults reach them."""

    def sites(self) -> Iterable[Site]: ...

    def drop(self, site: Site, *, reset: bool) -> None: ...

    def inject(self, site: Site, ready: bytes) -> None: ...


class DeribitEffects:
    """Of several faults of one kind the one that came last counts; without any, the venue is as it was at the start."""

    def __init__(
        self, venue: DeribitVenue, clock: VenueClock, sockets: Sockets, board: FaultBoard, entropy: Entropy
    ) -> None:
        self._venue = venue
        self._clock = clock
        self._sockets = sockets
        self._board = board
        self._entropy = entropy
        venue.loses_fill = self._loses

    def started(self, fault: AnyFault) -> None:
        if isinstance(fault, Drop) and not fault.method:
            for site in self._board.targets(fault, self._sockets.sites()):
                self._sockets.drop(site, reset=fault.reset)
        elif isinstance(fault, GarbageFrame) and not fault.method and not fault.channel:
            ready = garbage_frame(fault.variant, self._entropy)
            for site in self._board.targets(fault, self._sockets.sites()):
                self._sockets.inject(site, ready)
        elif isinstance(fault, SkipSequence):
            self._venue.skip_change_id(fault.instrument)
        else:
            self._turn_knobs()

    def ended(self, fault: AnyFault) -> None:
        self._turn_knobs()

    def _turn_knobs(self) -> None:
        venue = self._venue
        venue.maintenance = self._newest(Maintenance) is not None
        venue.settlement_in_progress = self._newest(Settlement) is not None
        offset = self._newest(ClockOffset)
        self._clock.fault_ms = 0 if offset is None else offset.offset_ms
        late = self._newest(LateFills)
        venue.late_fill_ms = 0 if late is None else late.delay_ms
        forget = self._newest(ForgetHistory)
        venue.forget_closed_after_ms = FORGET_CLOSED_MS if forget is None else forget.after_ms
        hold = self._newest(EngineHold)
        venue.engine_hold_ms = 0 if hold is None else hold.hold_ms
        hide = self._newest(HideOrders)
        venue.hide_orders_ms = 0 if hide is None else hide.hide_ms
        venue.hide_fills_from_ms = self._hidden_from_ms(venue.hide_fills_from_ms)

    def _hidden_from_ms(self, since_ms: int | None) -> int | None:
        """Of several the first counts, until all are gone."""
        if self._newest(HideFills) is None:
            return None
        return self._clock.now_ms() if since_ms is None else since_ms

    def _loses(self, fill: Fill) -> bool:
        return self._board.take(LoseFills, Site(NAME, channel=fill.trade.instrument)) is not None

    def _newest(self, kind: type[F]) -> F | None:
        return self._board.newest(kind, NAME)
