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
        self._seen: dict[str, tuple[tuple[float, ...], float]] = {}  # its newest bar, and since when that is so

    def behind(self, state: MarketState, now_s: float, patience_s: float) -> str:
        """The interval that has not moved for longer than `patience_s` though others have moved on; empty if none."""
        for interval, bars in state.bars.items():
            seen = self._seen.get(interval)
            if bars.newest is not None and (seen is None or seen[0] is not bars.newest):
                self._seen[interval] = (bars.newest, now_s)
        if len(self._seen) < 2:
            return ""
        latest, latest_s = max(self._seen.values(), key=lambda seen: seen[1])
        for interval, (bar, moved_s) in self._seen.items():
            if bar[_CLOSE] != latest[_CLOSE] and moved_s < latest_s and now_s - moved_s > patience_s:
                return interval
        return ""
