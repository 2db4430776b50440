"""What a fallen feed's stream brings is gathered in a small state of its own, and handed over when it can be trusted."""

from actors.feed.rest import MARK_FIELDS, TICKER_FIELDS
from actors.feed.seat import FeedSeat
from engine.model import DataClass, MarketState, Source

_BARS = 4  # what polls bring reaches back further
_ROWS = 200


def probation_of(seat: FeedSeat) -> MarketState:
    """An empty state for the streamed classes of a seat. It takes a few kilobytes."""
    state = seat.state
    return MarketState(
        state.instrument,
        bounds_s={name: state.fresh[name].bound_s for name in state.fresh if name in seat.streamed},
        intervals=tuple(state.bars) if DataClass.BARS in seat.streamed else (),
        bars_kept=_BARS,
        trades_kept=_ROWS,
        forced_kept=_ROWS,
    )


def hand_over(seat: FeedSeat, gathered: MarketState) -> None:
    """What the stream brought on probation becomes what everyone reads; what REST brought meanwhile stays."""
    state = seat.state
    if DataClass.BOOK in seat.streamed:
        book = gathered.book
        state.book.replace(book.bids(), book.asks(), change_id=book.change_id, venue_ms=book.venue_ms)
    state.trades.merge(gathered.trades.view())
    for interval, bars in gathered.bars.items():
        state.bars[interval].merge(bars.view(), bars.closed_through_ms)
    _hand_over_figures(state, gathered)
    _hand_over_forced(state, gathered)
    for data_class, fresh in gathered.fresh.items():
        if _brought_newer(state, gathered, data_class):
            state.touch(data_class, Source.STREAM, fresh.updated_s)


def _hand_over_figures(state: MarketState, gathered: MarketState) -> None:
    theirs, ours = gathered.ticker, state.ticker
    if _brought_newer(state, gathered, DataClass.TICKER):
        for name in (*TICKER_FIELDS, "venue_ms") if DataClass.MARK in state.fresh else theirs.__slots__:
            setattr(ours, name, getattr(theirs, name))
    if _brought_newer(state, gathered, DataClass.MARK) and theirs.mark_ms >= ours.mark_ms:
        for name in (*MARK_FIELDS, "mark_ms"):
            setattr(ours, name, getattr(theirs, name))


def _brought_newer(state: MarketState, gathered: MarketState, data_class: DataClass) -> bool:
    """Whether the stream has told of this class since what is in `state` was current."""
    fresh = gathered.fresh.get(data_class)
    return fresh is not None and fresh.source is Source.STREAM and fresh.updated_s > state.fresh[data_class].updated_s


def _hand_over_forced(state: MarketState, gathered: MarketState) -> None:
    newest_ms = state.forced.last_key
    for row in gathered.forced.view().tolist():
        if newest_ms is None or row[0] > newest_ms:
            state.forced.append(tuple(row))
