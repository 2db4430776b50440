"""Each figure is read where it is told first, and is as fresh as exactly that."""

import pytest

from engine.model import DataClass, Figure, MarketState, Samples, Source
from engine.model.conditions.figures import MarketFigure

DERIBIT = {DataClass.BOOK: 5.0, DataClass.TICKER: 5.0, DataClass.TRADES: 60.0}
BINANCE = {DataClass.BOOK: 1.0, DataClass.MARK: 5.0, DataClass.TRADES: 1.0}
TICKER_ONLY = {DataClass.TICKER: 5.0}


def of(state: MarketState, name: str) -> MarketFigure:
    return MarketFigure(state, Figure("sim:X", name))


def market(bounds_s: dict[DataClass, float]) -> MarketState:
    state = MarketState("sim:X", bounds_s=bounds_s)
    ticker = state.ticker
    ticker.mark, ticker.index, ticker.funding, ticker.last = 101.0, 102.0, 0.001, 103.0
    ticker.bid, ticker.ask = 104.0, 105.0
    state.book.replace(((99.0, 1.0),), ((100.0, 1.0),), change_id=1, venue_ms=1)
    state.trades.add(time_ms=1, price=98.0, amount=1.0, taker_side=1, trade_seq=1)
    return state


@pytest.mark.parametrize(
    ("bounds_s", "name", "data_class", "value"),
    [
        (DERIBIT, "mark", DataClass.TICKER, 101.0),
        (BINANCE, "mark", DataClass.MARK, 101.0),
        (BINANCE, "index", DataClass.MARK, 102.0),
        (BINANCE, "funding", DataClass.MARK, 0.001),
        (DERIBIT, "last", DataClass.TRADES, 98.0),
        (TICKER_ONLY, "last", DataClass.TICKER, 103.0),
        (DERIBIT, "bid", DataClass.BOOK, 99.0),
        (DERIBIT, "ask", DataClass.BOOK, 100.0),
        (TICKER_ONLY, "bid", DataClass.TICKER, 104.0),
        (TICKER_ONLY, "ask", DataClass.TICKER, 105.0),
    ],
)
def test_a_figure_is_fresh_when_its_own_class_is(
    bounds_s: dict[DataClass, float], name: str, data_class: DataClass, value: float
) -> None:
    state = market(bounds_s)
    figure = of(state, name)
    for other in bounds_s:
        if other is not data_class:
            state.touch(other, Source.STREAM, 10.0)
    assert figure.data_class is data_class
    assert (figure.fresh_value(10.0), figure.value(), figure.age_s(10.0)) == (None, value, None)
    state.touch(data_class, Source.STREAM, 10.0)
    bound_s = bounds_s[data_class]
    assert figure.fresh_value(10.0 + bound_s) == value
    assert figure.age_s(10.0 + bound_s) == bound_s
    assert figure.fresh_value(10.1 + bound_s) is None


def test_a_class_nobody_follows_is_never_fresh() -> None:
    state = market({DataClass.BARS: 5.0})
    for name in ("mark", "last", "bid", "open_interest"):
        assert of(state, name).fresh_value(0.0) is None


def test_open_interest_is_the_tickers_or_the_newest_sample() -> None:
    state = market({**BINANCE, DataClass.TICKER: 1.0})
    figure = of(state, "open_interest")
    state.touch(DataClass.TICKER, Source.STREAM, 10.0)
    assert figure.fresh_value(10.0) is None
    samples = state.samples["open_interest"] = Samples(
        ("time_ms", "sum_open_interest", "sum_open_interest_value"), capacity=5, bound_s=660.0
    )
    samples.append((1.0, 7.0, 70.0))
    assert figure.fresh_value(10.0) is None
    samples.fresh.touch(Source.REST, 10.0)
    assert figure.fresh_value(600.0) == 7.0
    state.ticker.open_interest = 8.0
    assert figure.fresh_value(600.0) is None
    assert figure.fresh_value(10.5) == 8.0


def test_the_mode_is_always_known() -> None:
    state = market(DERIBIT)
    assert of(state, "mode").fresh_value(1e9) == 0.0
    state.modes[""] = "streaming"
    assert of(state, "mode").fresh_value(1e9) == 2.0


@pytest.mark.parametrize("figure", [None, float("nan"), float("inf"), float("-inf")])
def test_no_number_is_no_value(figure: float | None) -> None:
    state = market(TICKER_ONLY)
    state.ticker.mark = figure
    state.touch(DataClass.TICKER, Source.STREAM, 0.0)
    assert of(state, "mark").fresh_value(0.0) is None


def test_no_market_has_any_other_figure() -> None:
    with pytest.raises(ValueError, match="no market has a figure named 'volume'"):
        of(market(DERIBIT), "volume")
