"""Trades and bars of one instrument tell the same story, so each is a witness against the other.

A venue sends each by a stream of its own. When one of them dies while the socket and its neighbours live, nothing is late
and nothing is missing in sequence; but what the other one brought proves it, and no request is needed.
"""

from engine.model import BAR_COLUMNS, Bars, Instrument, MarketState

_CLOSE, _VOLUME, _COST = (BAR_COLUMNS.index(name) for name in ("close", "volume", "cost"))
_TOLD_BY_ALL = BAR_COLUMNS.index("trades")  # columns before this one are never NaN
_DUST = 1e-9  # sums of floats


def bars_lack(state: MarketState, instrument: Instrument | None) -> bool:
    """Whether a trade in hand is in no bar in hand."""
    bars, traded_ms = shortest(state), state.trades.last_key
    if bars is None or bars.last_key is None or traded_ms is None:
        return False
    open_ms = bars.last_key
    return traded_ms >= open_ms + bars.interval_ms or _traded(state, open_ms) > _amount(bars, instrument) * (1 + _DUST)


def trades_lack(state: MarketState, instrument: Instrument | None) -> bool:
    """Whether the newest bar holds more than the trades in hand; False where they do not reach back to its opening."""
    bars = shortest(state)
    if bars is None or bars.last_key is None or not len(state.trades):
        return False
    open_ms = bars.last_key
    if state.trades.view()[0, 0] >= open_ms:
        return False
    return _traded(state, open_ms) < _amount(bars, instrument) * (1 - _DUST)


def shortest(state: MarketState) -> Bars | None:
    """The bars of the shortest interval there are any of."""
    return min((bars for bars in state.bars.values() if len(bars)), key=lambda bars: bars.interval_ms, default=None)


def _traded(state: MarketState, since_ms: float) -> float:
    trades = state.trades.view()
    return float(trades[trades[:, 0] >= since_ms, 2].sum())


def _amount(bars: Bars, instrument: Instrument | None) -> float:
    """Of the newest bar, in the unit of the trades' amounts: money for an inverse contract."""
    return bars.last(_COST if instrument is not None and instrument.inverse else _VOLUME)


class Intervals:
    """Bars of all intervals end with the same price. One that stays behind has a stream that died."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[float, ...]] = {}
        self._odd_s: dict[str, float] = {}  # since when an interval has said nothing though others have

    def behind(self, state: MarketState, now_s: float, patience_s: float) -> str:
        """The interval that has not moved for longer than `patience_s` since others moved on; empty if none."""
        newest = {name: bar[:_TOLD_BY_ALL] for name, bars in state.bars.items() if (bar := bars.newest) is not None}
        moved = [name for name, bar in newest.items() if bar != self._newest.get(name)]
        for interval in moved:
            self._newest[interval] = newest[interval]
            self._odd_s.pop(interval, None)
        if moved:
            close = self._newest[moved[0]][_CLOSE]
            for interval, bar in self._newest.items():
                if interval not in moved and bar[_CLOSE] != close:
                    self._odd_s.setdefault(interval, now_s)
        return next((name for name, odd_s in self._odd_s.items() if now_s - odd_s > patience_s), "")
