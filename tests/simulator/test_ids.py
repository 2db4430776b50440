"""Ids of the simulated venue: a client may remember them for ever."""

from engine.kernel import Entropy
from engine.simulator.deribit.venue import DeribitVenue

SECOND_MS = 1000


def trade_ids(start_ms: int) -> set[str]:
    """Of every trade of the warm-up and of a minute of life."""
    venue = DeribitVenue(start_ms=start_ms, entropy=Entropy(1))
    venue.advance(start_ms + 60 * SECOND_MS)
    markets = venue.exchange.markets.values()
    return {trade.trade_id for market in markets for trade in market.tape.trades if trade.at_ms >= start_ms}


def test_a_venue_started_anew_with_the_same_seed_gives_no_trade_id_a_second_time() -> None:
    first, second = trade_ids(1_790_000_000_000), trade_ids(1_790_000_000_000 + 60 * SECOND_MS)
    assert first
    assert second
    assert not first & second
