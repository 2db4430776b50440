"""What the faults of the board do to a Binance server: some turn a knob of the venue, some strike its sockets at once."""

from collections.abc import Iterable

from engine.kernel import Entropy
from engine.simulator.binance_usdm import BinanceVenue
from engine.simulator.binance_usdm.trading import FORGET_UNFILLED_MS
from engine.simulator.orders import Fill
from engine.simulator.wire.binance_usdm.routes import NAME
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import (
    AnyFault,
    ClockOffset,
    DayCut,
    Drop,
    EndListenKeys,
    Fault,
    ForgetHistory,
    GarbageFrame,
    HideFills,
    HideOrders,
    LateFills,
    LoseFills,
    Maintenance,
    SkipSequence,
)
from engine.simulator.wire.garbage import garbage_frame
from engine.simulator.wire.reception import Reception
from engine.simulator.wire.websocket import End

__all__ = ["BinanceEffects"]


class BinanceEffects:
    """Of several faults of one kind the one that came last counts; without any, the venue is as it was at the start."""

    def __init__(
        self, venue: BinanceVenue, clock: VenueClock, reception: Reception, board: FaultBoard, entropy: Entropy
    ) -> None:
        self._venue = venue
        self._clock = clock
        self._reception = reception
        self._board = board
        self._entropy = entropy
        venue.trading.loses_fill = self._loses

    def started(self, fault: AnyFault) -> None:
        if isinstance(fault, Drop) and not fault.method:
            for site in self._board.targets(fault, self._reception.sites()):
                self._reception.drop(site, reset=fault.reset)
        elif isinstance(fault, DayCut):
            for site in self._sockets(fault):
                self._reception.end(site, End.EXPIRED)
        elif isinstance(fault, GarbageFrame) and not fault.method and not fault.channel:
            ready = garbage_frame(fault.variant, self._entropy, NAME)
            for site in self._sockets(fault):
                self._reception.inject(site, ready)
        elif isinstance(fault, EndListenKeys):
            self._venue.trading.listen_keys.end_all(self._clock.now_ms())
        elif isinstance(fault, SkipSequence):
            self._venue.skip_update(fault.instrument)
        else:
            self._turn_knobs()

    def ended(self, fault: AnyFault) -> None:
        self._turn_knobs()

    def _sockets(self, fault: Fault) -> Iterable[Site]:
        """The sockets that a fault strikes which is none for HTTP."""
        return self._board.targets(fault, [site for site in self._reception.sites() if site.socket])

    def _turn_knobs(self) -> None:
        self._venue.maintenance = self._board.newest(Maintenance, NAME) is not None
        trading = self._venue.trading
        late = self._board.newest(LateFills, NAME)
        trading.late_fill_ms = 0 if late is None else late.delay_ms
        hide = self._board.newest(HideOrders, NAME)
        trading.hide_orders_ms = 0 if hide is None else hide.hide_ms
        forget = self._board.newest(ForgetHistory, NAME)
        trading.forget_unfilled_ms = FORGET_UNFILLED_MS if forget is None else forget.after_ms
        offset = self._board.newest(ClockOffset, NAME)
        self._clock.fault_ms = 0 if offset is None else offset.offset_ms
        trading.hide_fills_from_ms = self._hidden_from_ms(trading.hide_fills_from_ms)

    def _hidden_from_ms(self, since_ms: int | None) -> int | None:
        """Of several the first counts, until all are gone."""
        if self._board.newest(HideFills, NAME) is None:
            return None
        return self._clock.now_ms() if since_ms is None else since_ms

    def _loses(self, fill: Fill) -> bool:
        return self._board.take(LoseFills, Site(NAME, channel=fill.trade.instrument)) is not None
