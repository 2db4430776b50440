"""Holes in trades and bars: found by counting, asked for by themselves, never left.

A bar or a trade the venue does not have either is no hole: what is left after it has answered is given up, and counts as
repaired.
"""

from collections.abc import Callable

import numpy as np
import trio

from actors.feed.rest import MarketRest
from actors.feed.seat import FeedSeat
from engine.kernel import Backoff, Entropy
from engine.model import DataClass
from engine.venues.base import Applied, RateLimited, VenueError

_PAGES = 20  # of trades for one repair
_LEAVES_SOON_S = 60.0  # trades that can only be had for so long do not wait for what the budget leaves over
_TIME = 0
_SEQ = 4
_BARS = int(Applied.BARS)


class Repair:
    """Of one incarnation; what it has to do is in the seat."""

    def __init__(self, seat: FeedSeat, rest: MarketRest, entropy: Entropy) -> None:
        self._seat = seat
        self._rest = rest
        self._entropy = entropy
        self._backoff = Backoff(min_s=0.25, max_s=10.0, jitter=0.5)
        self._has_bars = DataClass.BARS in seat.streamed
        self._has_trades = DataClass.TRADES in seat.streamed
        self.running: set[DataClass] = set()

    def lost_touch(self) -> None:
        """From now on bars may be missing: those after the newest ones, and these may change."""
        if self._has_bars:
            self._doubt_bars(bars_back=0)

    def found(self, bits: int) -> None:
        """The adapter says that something is missing. A bar may have lost its last version only."""
        if self._has_bars and bits & _BARS:
            self._seat.bars_owed += 1
            self._seat.state.quality[DataClass.BARS].missing += 1
            self._doubt_bars(bars_back=1)

    def _doubt_bars(self, bars_back: int) -> None:
        for interval, bars in self._seat.state.bars.items():
            last = bars.last_key
            if last is not None:
                from_ms = int(last) - bars_back * bars.interval_ms
                self._seat.whole_ms[interval] = min(self._seat.whole_ms.get(interval, from_ms), from_ms)

    def polled(self) -> None:
        """Whatever was missing before the newest bars has just come."""
        self._seat.whole_ms.clear()
        self.lost_touch()

    def begin(self, spawn: Callable[..., object]) -> None:
        """Count what is missing, and have it asked for. Bars do not wait for trades: a hole in these may cost a venue's
        whole budget, and is asked for with what is left of it."""
        for data_class in (DataClass.BARS, DataClass.TRADES):
            if self._lacks(data_class) and data_class not in self.running:
                self.running.add(data_class)
                spawn(self._run, data_class)

    def _lacks(self, data_class: DataClass) -> bool:
        if data_class is DataClass.TRADES:
            return self._count_trades() > 0
        return self._count_bars() > 0 or not self._seat.whole_ms.keys().isdisjoint(self._seat.state.loaded)

    def _loaded(self) -> list[str]:
        state = self._seat.state
        return [interval for interval in state.bars if interval in state.loaded]

    # ── counting ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _count_trades(self) -> int:
        seat = self._seat
        if not self._has_trades:
            return 0
        missed = seat.state.trades.missed
        seat.trades_given_up = min(seat.trades_given_up, missed)
        missing = missed - seat.trades_given_up
        lost = seat.state.trades.never_seen - missing  # they left with the old trades, or the venue has none
        self._note(DataClass.TRADES, missing - seat.trades_missing, lost - seat.trades_lost)
        seat.trades_missing, seat.trades_lost = missing, lost
        return missing

    def _count_bars(self) -> int:
        seat = self._seat
        if not self._has_bars:
            return 0
        missing = sum(self._bars_missing(interval) for interval in self._loaded())
        lost = sum(seat.bars_given_up.values())
        self._note(DataClass.BARS, missing - seat.bars_missing, lost - seat.bars_lost)
        seat.bars_missing, seat.bars_lost = missing, lost
        return missing

    def _bars_missing(self, interval: str) -> int:
        missing, given_up = self._seat.state.bars[interval].missing(), self._seat.bars_given_up
        given_up[interval] = min(given_up.get(interval, 0), missing)  # old holes leave with the old bars
        return missing - given_up[interval]

    def _note(self, data_class: DataClass, more: int, lost: int) -> None:
        """So many more are missing, and so many more were lost: fewer are missing because they came, or because they were lost."""
        quality = self._seat.state.quality[data_class]
        lost = max(0, lost)
        quality.lost += lost
        quality.missing += max(0, more + lost)
        quality.repaired += max(0, -more - lost)

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, data_class: DataClass) -> None:
        """Until nothing is missing, however long that takes."""
        failures = 0
        while self._lacks(data_class):
            try:
                await (self._repair_trades() if data_class is DataClass.TRADES else self._repair_bars())
            except VenueError as error:
                failures += 1
                asked_for_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
                await trio.sleep(max(asked_for_s, self._backoff.delay_s(failures, self._entropy)))
        self.running.discard(data_class)

    async def _repair_bars(self) -> None:
        for interval in self._loaded() if self._has_bars else ():
            whole_ms = self._seat.whole_ms
            from_ms = whole_ms.pop(interval, None)
            if self._bars_missing(interval):
                from_ms = min(self._first_hole_ms(interval), 2**62 if from_ms is None else from_ms)
            if from_ms is None:
                continue
            try:
                await self._take_bars(interval, from_ms)
            except BaseException:
                whole_ms[interval] = from_ms
                raise
        self._count_bars()
        if not self._seat.whole_ms and self._seat.bars_owed:
            self._seat.state.quality[DataClass.BARS].repaired += self._seat.bars_owed
            self._seat.bars_owed = 0

    async def _take_bars(self, interval: str, from_ms: int) -> None:
        bars = self._seat.state.bars[interval]
        before_ms = bars.last_key or 0.0
        await self._rest.take_bars(interval, from_ms)
        self._count_bars()
        if (bars.last_key or 0.0) <= before_ms + bars.interval_ms:  # else another hole may have come meanwhile
            self._seat.bars_given_up[interval] = bars.missing()

    def _first_hole_ms(self, interval: str) -> int:
        bars = self._seat.state.bars[interval]
        keys = bars.view()[:, 0]
        return int(keys[np.argmax(np.diff(keys) > bars.interval_ms)])

    async def _repair_trades(self) -> None:
        """Hole by hole, as long as each page brings something."""
        seat = self._seat
        for _ in range(_PAGES):
            hole = self._first_trade_before_a_hole()
            if hole is None:
                break
            spare_s = self._leaves_in_s(hole) - _LEAVES_SOON_S
            patience_s = spare_s if spare_s > 0 else _LEAVES_SOON_S
            brought = await self._rest.take_trades_after(hole, timeout_s=patience_s, history=spare_s > 0)
            if not brought:
                seat.trades_whole_to = hole + 1
            self._count_trades()
        seat.trades_given_up = seat.state.trades.missed
        self._count_trades()

    def _leaves_in_s(self, hole: int) -> float:
        """How long until a hole is older than the trades that are kept, at the pace of those: then nobody can fill it."""
        trades = self._seat.state.trades
        rows = trades.view()
        newer = len(rows) - int(np.searchsorted(rows[:, _SEQ], hole))
        per_s = len(rows) / max(1.0, (rows[-1, _TIME] - rows[0, _TIME]) / 1000)
        leaves_in_s = float(max(1, trades.capacity - newer) / per_s)
        return min(self._seat.settings.history_timeout_s, leaves_in_s)

    def _first_trade_before_a_hole(self) -> int | None:
        seqs = self._seat.state.trades.view()[:, _SEQ]
        before = seqs[:-1][(np.diff(seqs) > 1) & (seqs[:-1] >= self._seat.trades_whole_to)]
        return int(before[0]) if len(before) else None
