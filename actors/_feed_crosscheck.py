"""Trades and bars of one instrument tell the same story, so each is a witness against the other.

A venue sends each by a stream of its own. When one of them dies while the socket and its neighbours live, nothing is late
and nothing is missing in sequence; but what the other one brought proves it, and no request is needed.
"""

from engine.model import BAR_COLUMNS, Bars, Instrument, MarketState

_CLOSE, _VOLUME, _COST = (BAR_COLUMNS.index(name) for name in ("close", "volume", "cost"))
_DUST = 1e-9  # sums of floats


def bars_lack(state: MarketState, instrument: Instrument | None) -> bool:
    """Whether a trade in hand is in no bar in hand."""
    bars = shortest(state)
    if bars is None or not len(state.trades):
        return False
    traded_ms = float(state.trades.view(1)[0, 0])
    open_ms = bars.last_key() or 0.0
    return traded_ms >= open_ms + bars.interval_ms or _traded(state, open_ms) > _bar_amount(bars, instrument) * (
        1 + _DUST
    )


def trades_lack(state: MarketState, instrument: Instrument | None) -> bool:
    """Whether the newest bar holds more than the trades in hand; False where they do not reach back to its opening."""
    bars = shortest(state)
    if bars is None or not len(state.trades):
        return False
    open_ms = bars.last_key() or 0.0
    if float(state.trades.view()[0, 0]) >= open_ms:
        return False
    return _traded(state, open_ms) < _bar_amount(bars, instrument) * (1 - _DUST)


def shortest(state: MarketState) -> Bars | None:
    """The bars of the shortest interval there are any of."""
    return min((bars for bars in state.bars.values() if len(bars)), key=lambda bars: bars.interval_ms, default=None)


def _traded(state: MarketState, since_ms: float) -> float:
    trades = state.trades.view()
    return float(trades[trades[:, 0] >= since_ms, 2].sum())


def _bar_amount(bars: Bars, instrument: Instrument | None) -> float:
    """In the unit of the trades' amounts: money for an inverse contract."""
    return float(bars.view(1)[0, _COST if instrument is not None and instrument.inverse else _VOLUME])


class Intervals:
    """Bars of all intervals end with the same price. One that stays behind has a stream that died."""

    def __init__(self) -> None:
        self._odd: dict[str, tuple[tuple[float, float], float]] = {}  # its newest bar, and since when it is odd

    def behind(self, state: MarketState, now_s: float, patience_s: float) -> str:
        """The interval that has been behind for longer than `patience_s` without a word, empty if none."""
        reference = shortest(state)
        if reference is None or len(state.bars) < 2:
            return ""
        close = reference.view(1)[0, _CLOSE]
        for interval, bars in state.bars.items():
            row = bars.view(1)
            if not len(row) or row[0, _CLOSE] == close:
                self._odd.pop(interval, None)
                continue
            shown = (float(row[0, 0]), float(row[0, _VOLUME]))
            odd = self._odd.get(interval)
            if odd is None or odd[0] != shown:
                self._odd[interval] = (shown, now_s)
            elif now_s - odd[1] > patience_s:
                return interval
        return ""
