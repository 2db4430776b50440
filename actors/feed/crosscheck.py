"""Trades and bars of one instrument tell the same story, so each is a witness against the other.

A venue sends each by a stream of its own. When one of them dies while the socket and its neighbours live, nothing is late
and nothing is missing in sequence; but what the other one brought proves it, and no request is needed.
"""

from engine.model import BAR_COLUMNS, Bars, Instrument, MarketState

_CLOSE, _VOLUME, _COST = (BAR_COLUMNS.index(name) for name in ("close", "volume", "cost"))
_DUST = 1e-9  # sums of floats


def bars_lack(state: MarketState, instrument: Instrument | None) -> bool:
    """Whether a trade in hand is in no bar in hand."""
    bars, trade = shortest(state), state.trades.newest
    if bars is None or bars.newest is None or trade is None:
        return False
    open_ms = bars.newest[0]
    return trade[0] >= open_ms + bars.interval_ms or _traded(state, open_ms) > _amount(bars, instrument) * (1 + _DUST)


def trades_lack(state: MarketState, instrument: Instrument | None) -> bool:
    """Whether the newest bar holds more than the trades in hand; False where they do not reach back to its opening."""
    bars = shortest(state)
    if bars is None or bars.newest is None or not len(state.trades):
        return False
    open_ms = bars.newest[0]
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
    assert bars.newest is not None, "there is a bar"
    return bars.newest[_COST if instrument is not None and instrument.inverse else _VOLUME]


class Intervals:
    """Bars of all intervals end with the same price. One that stays behind has a stream that died."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[float, ...]] = {}
        self._odd_s: dict[str, float] = {}  # since when an interval has said nothing though others have

    def behind(self, state: MarketState, now_s: float, patience_s: float) -> str:
        """The interval that has not moved for longer than `patience_s` since others moved on; empty if none."""
        moved = [name for name, bars in state.bars.items() if bars.newest is not self._newest.get(name)]
        for interval in moved:
            newest = state.bars[interval].newest
            assert newest is not None, "a bar that came stays"
            self._newest[interval] = newest
            self._odd_s.pop(interval, None)
        if moved:
            close = self._newest[moved[0]][_CLOSE]
            for interval, bar in self._newest.items():
                if interval not in moved and bar[_CLOSE] != close:
                    self._odd_s.setdefault(interval, now_s)
        return next((name for name, odd_s in self._odd_s.items() if now_s - odd_s > patience_s), "")
