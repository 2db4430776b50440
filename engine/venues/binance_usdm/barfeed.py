"""Messages of a kline stream → bars, and the notice when one is missing.

The venue sends the bar in progress about four times a second while there is trade, and once more, with `x` true, when it
is closed; also when nothing was traded in it. So a new bar whose predecessor was never seen closed, or one that begins more
than one interval after it, means that messages were lost: `Applied.HOLE` asks for the bars again.
"""

from collections.abc import Callable

from engine.model import BAR_COLUMNS, INTERVAL_MS, Bars, DataClass, MarketState, Source
from engine.venues.base import Applied
from engine.venues.binance_usdm.heard import Heard
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
        self._heard = Heard(DataClass.BARS)

    def apply(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        event = decode(_BAR, frame).data
        if event.k.t > event.E or event.k.t % INTERVAL_MS[self._interval]:
            raise WireError("data.k.t", f"the start of a bar of {self._interval} before {event.E}", str(event.k.t))
        bars = state.bars.get(self._interval)
        if bars is None:
            return Applied.NOTHING
        bar, newest_ms, applied = event.k, bars.last_key, Applied.BARS
        if newest_ms is not None:
            if bar.t > newest_ms:
                applied = _in_order(bars, int(newest_ms), bar.t)
            elif self._is_old(event, newest_ms, bars):
                self._heard.old(event.E, state)
                return Applied.NOTHING
        if bar.t >= self._open_ms:
            self._open_ms, self._event_ms = bar.t, event.E
        self._heard.note(event.E)
        bars.upsert(_row(bar), bar.x)
        state.touch(DataClass.BARS, Source.STREAM, now_s)
        return applied

    def _is_old(self, event: BarEvent, newest_ms: float, bars: Bars) -> bool:
        """Whether the bar is known in this version or a later one. The volume of the newest only grows; of an earlier bar
        only the last version counts, when it came too late to be seen in its place."""
        bar = event.k
        if bar.t < newest_ms:
            return not bar.x or _row(bar) in map(tuple, bars.view().tolist())
        if bars.is_closed(bar.t):
            return True
        newer = bar.t != self._open_ms or self._event_ms < event.E
        return not (bar.x or (newer and bar.v >= bars.last(_VOLUME)))


def _in_order(bars: Bars, newest_ms: int, open_ms: int) -> Applied:
    """Whether every bar before the one that begins at `open_ms` was seen closed."""
    whole = bars.is_closed(newest_ms) and open_ms == newest_ms + bars.interval_ms
    return Applied.BARS if whole else _BARS_HOLE


def _row(bar: BarData) -> tuple[float, ...]:
    """`BAR_COLUMNS`."""
    return (float(bar.t), bar.o, bar.h, bar.l, bar.c, bar.v, bar.q, float(bar.n), bar.V, bar.Q)
