"""Messages of a kline stream → bars, and the notice when one is missing.

The venue sends the bar in progress about four times a second while there is trade, and once more, with `x` true, when it
is closed; also when nothing was traded in it. So a new bar whose predecessor was never seen closed, or one that begins more
than one interval after it, means that messages were lost: `Applied.HOLE` asks for the bars again.
"""

from collections.abc import Callable

from engine.model import BAR_COLUMNS, INTERVAL_MS, Bars, DataClass, MarketState, Quality, Source
from engine.venues.base import Applied
from engine.venues.binance_usdm.localbook import note_old
from engine.venues.binance_usdm.wire import BarData, BarEvent, Wrapped, decoder
from engine.venues.decoding import WireError, decode

_BAR = decoder(Wrapped[BarEvent])
_VOLUME = BAR_COLUMNS.index("volume")
_BARS_HOLE = Applied.BARS | Applied.HOLE


def bars_applier(interval: str) -> Callable[[bytes, MarketState, float], Applied]:
    """What to do with the frames of one interval's stream."""
    if interval not in INTERVAL_MS:
        raise WireError("stream", f"a kline of {', '.join(INTERVAL_MS)}", repr(interval[:20]))
    return _BarFeed(interval).apply


class _BarFeed:
    """One interval. Remembers the stamp of the newest message, which the bars themselves do not keep."""

    def __init__(self, interval: str) -> None:
        self._interval = interval
        self._open_ms = -1
        self._event_ms = -1

    def apply(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        event = decode(_BAR, frame).data
        if event.k.t > event.E or event.k.t % INTERVAL_MS[self._interval]:
            raise WireError("data.k.t", f"the start of a bar of {self._interval} before {event.E}", str(event.k.t))
        bars = state.bars.get(self._interval)
        if bars is None:
            return Applied.NOTHING
        bar, quality = event.k, state.quality[DataClass.BARS]
        newest = bars.last_key()
        missing = 0
        if newest is not None and bar.t < newest:
            if not self._mends(bar, bars, quality):
                return Applied.NOTHING
        elif newest == bar.t:
            if self._is_old(event, bars, quality):
                return Applied.NOTHING
        elif newest is not None:
            missing = _missing(bars, int(newest), bar.t)
        if bar.t >= self._open_ms:
            self._open_ms, self._event_ms = bar.t, event.E
        bars.upsert(_row(bar), bar.x)
        state.touch(DataClass.BARS, Source.STREAM, now_s)
        quality.missing += missing
        return _BARS_HOLE if missing else Applied.BARS

    def _mends(self, bar: BarData, bars: Bars, quality: Quality) -> bool:
        """Of an earlier bar only the last version counts, when it came too late to be seen in its place."""
        row = _row(bar)
        if not bar.x or any(tuple(known) == row for known in bars.view().tolist()):
            note_old(quality, same=bar.x)
            return False
        quality.repaired += quality.unrepaired > 0
        return True

    def _is_old(self, event: BarEvent, bars: Bars, quality: Quality) -> bool:
        """Whether the newest bar is known in this version or a later one. Its volume only grows."""
        bar = event.k
        if bars.closed_through_ms < bar.t:
            newer = bar.t != self._open_ms or self._event_ms < event.E
            if bar.x or (newer and bar.v >= bars.view(1)[0, _VOLUME]):
                return False
        note_old(quality, same=bar.t == self._open_ms and self._event_ms == event.E)
        return True


def _missing(bars: Bars, newest_ms: int, open_ms: int) -> int:
    """How many bars before the one that begins at `open_ms` were never seen closed."""
    closed = bars.closed_through_ms >= newest_ms
    return (open_ms - newest_ms) // bars.interval_ms - (1 if closed else 0)


def _row(bar: BarData) -> tuple[float, ...]:
    """`BAR_COLUMNS`."""
    return (float(bar.t), bar.o, bar.h, bar.l, bar.c, bar.v, bar.q, float(bar.n), bar.V, bar.Q)
