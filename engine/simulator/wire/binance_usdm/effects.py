"""What the faults of the board do to a Binance server beside what they do to any."""

from collections.abc import Iterable

from engine.kernel import Entropy
from engine.simulator.binance_usdm import BinanceVenue
from engine.simulator.binance_usdm.trading import FORGET_UNFILLED_MS
from engine.simulator.wire.binance_usdm.routes import NAME
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.effects import VenueEffects
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import (
    AnyFault,
    ClockOffset,
    DayCut,
    EndListenKeys,
    ForgetHistory,
    HideOrders,
    LateFills,
    Maintenance,
    SkipSequence,
)
from engine.simulator.wire.reception import Reception
from engine.simulator.wire.websocket import End

__all__ = ["BinanceEffects"]


class BinanceEffects(VenueEffects):
    """See `VenueEffects`."""

    def __init__(
        self, venue: BinanceVenue, clock: VenueClock, reception: Reception, board: FaultBoard, entropy: Entropy
    ) -> None:
        super().__init__(NAME, clock, reception, board, entropy)
        self._venue = venue
        venue.trading.loses_fill = self._loses

    def _open_to_frames(self) -> Iterable[Site]:
        return [site for site in self._reception.sites() if site.socket]

    def _struck(self, fault: AnyFault) -> bool:
        if isinstance(fault, DayCut):
            for site in self._board.targets(fault, self._open_to_frames()):
                self._reception.end(site, End.EXPIRED)
        elif isinstance(fault, EndListenKeys):
            self._venue.trading.listen_keys.end_all(self._clock.now_ms())
        elif isinstance(fault, SkipSequence):
            self._venue.skip_update(fault.instrument)
        else:
            return False
        return True

    def _turn_knobs(self) -> None:
        self._venue.maintenance = self._newest(Maintenance) is not None
        trading = self._venue.trading
        late = self._newest(LateFills)
        trading.late_fill_ms = 0 if late is None else late.delay_ms
        hide = self._newest(HideOrders)
        trading.hide_orders_ms = 0 if hide is None else hide.hide_ms
        forget = self._newest(ForgetHistory)
        trading.forget_unfilled_ms = FORGET_UNFILLED_MS if forget is None else forget.after_ms
        offset = self._newest(ClockOffset)
        self._clock.fault_ms = 0 if offset is None else offset.offset_ms
        trading.hide_fills_from_ms = self._hidden_from_ms(trading.hide_fills_from_ms)
