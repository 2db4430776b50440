"""What the faults of the board do to a Deribit server beside what they do to any."""

from engine.kernel import Entropy
from engine.simulator.deribit.venue import FORGET_CLOSED_MS, DeribitVenue
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.deribit.desk import NAME
from engine.simulator.wire.effects import VenueEffects
from engine.simulator.wire.faultboard import FaultBoard
from engine.simulator.wire.faults import (
    AnyFault,
    ClockOffset,
    EngineHold,
    ForgetHistory,
    HideOrders,
    LateFills,
    Maintenance,
    Settlement,
    SkipSequence,
)
from engine.simulator.wire.reception import Reception

__all__ = ["DeribitEffects"]


class DeribitEffects(VenueEffects):
    """See `VenueEffects`."""

    def __init__(
        self, venue: DeribitVenue, clock: VenueClock, reception: Reception, board: FaultBoard, entropy: Entropy
    ) -> None:
        super().__init__(NAME, clock, reception, board, entropy)
        self._venue = venue
        venue.loses_fill = self._loses

    def _struck(self, fault: AnyFault) -> bool:
        if not isinstance(fault, SkipSequence):
            return False
        self._venue.skip_change_id(fault.instrument)
        return True

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
