"""Trades and bars of one instrument tell the same story, or one of their streams is dead."""

from math import nan

from hypothesis import given
from hypothesis import strategies as st

from actors.feed.crosscheck import Intervals, bars_lack, trades_lack
from engine.model import DataClass, MarketState
from tests.support.markets import instrument

MINUTE = 60_000
INVERSE = instrument()
ticks = st.lists(st.tuples(st.integers(0, 5 * MINUTE), st.integers(1, 1000)), min_size=1, max_size=40)


def market(trades: list[tuple[int, int]], bars: list[tuple[int, int]]) -> MarketState:
    """A state that heard these trades, and bars of these."""
    state = MarketState("sim:X", bounds_s={DataClass.TRADES: 1.0, DataClass.BARS: 5.0}, intervals=("1m",))
    for seq, (at_ms, amount) in enumerate(sorted(trades), start=1):
        state.trades.add(time_ms=at_ms, price=1.0, amount=amount / 1000, taker_side=1, trade_seq=seq)
    volumes: dict[int, float] = {}
    for at_ms, amount in sorted(bars):
        open_ms = at_ms // MINUTE * MINUTE
        volumes[open_ms] = volumes.get(open_ms, 0.0) + amount / 1000
        volume = volumes[open_ms]
        state.bars["1m"].upsert((float(open_ms), 1.0, 1.0, 1.0, 1.0, volume, volume, 0.0, 0.0, 0.0))
    return state


@given(ticks)
def test_one_story_told_twice_is_no_contradiction(story: list[tuple[int, int]]) -> None:
    state = market(story, story)
    assert not bars_lack(state, None) and not trades_lack(state, None)
    assert not bars_lack(state, INVERSE) and not trades_lack(state, INVERSE)


@given(ticks, st.integers(1, 40))
def test_trades_prove_that_a_newer_bar_is_missing_or_behind(story: list[tuple[int, int]], heard: int) -> None:
    story.sort()
    state = market(story, story[:heard])
    assert bars_lack(state, None) == (heard < len(story))
    assert not trades_lack(state, None)


@given(ticks, st.integers(1, 40))
def test_a_bar_proves_that_trades_are_missing_if_they_reach_back_to_its_opening(
    story: list[tuple[int, int]], heard: int
) -> None:
    story.sort()
    state = market(story[:heard], story)
    reaches_back = story[0][0] < story[-1][0] // MINUTE * MINUTE
    assert trades_lack(state, None) == (heard < len(story) and reaches_back)
    assert not bars_lack(state, None)


def test_an_interval_that_stays_behind_is_found_and_a_quiet_market_is_not_one() -> None:
    state = MarketState("sim:X", bounds_s={}, intervals=("1m", "5m", "1h"))
    together = Intervals()

    def say(close: float, *intervals: str) -> None:
        for interval in intervals:
            state.bars[interval].upsert((0.0, 1.0, 9.0, 0.0, close, 1.0, 1.0, 0.0, 0.0, 0.0))

    say(1.0, "1m", "5m", "1h")
    for second in range(60):
        assert together.behind(state, float(second), 5.0) == ""
    for second in range(60, 70):
        say(float(second), "1m", "1h")
        found = together.behind(state, float(second), 5.0)
        assert found == ("5m" if second > 65 else ""), second


def test_a_dead_interval_is_found_though_a_repair_writes_its_old_bar_again() -> None:
    """As at a venue that does not say how many trades a bar holds."""
    state = MarketState("sim:X", bounds_s={}, intervals=("1m", "5m"))
    together, found = Intervals(), []
    for second in range(10):
        for interval, close in (("1m", 1.0 + second), ("5m", 1.0)):
            state.bars[interval].upsert((0.0, 1.0, 99.0, 0.0, close, 1.0, 1.0, nan, nan, nan))
        found.append(together.behind(state, float(second), 5.0))
    assert found == [""] * 7 + ["5m"] * 3
