"""A client nobody here wrote: ccxt's Binance USD-M, pointed at the simulator, reads what is really so."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.support.ccxt_clients import ccxt, ccxt_binance_without_keys
from tests.support.programs import simulated_venues

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, Any]]:
    """Where a simulator in its own process can be reached."""
    with simulated_venues(5) as place:
        yield place


@pytest.fixture(scope="module")
def exchange(place: dict[str, Any]) -> Iterator["ccxt.binanceusdm"]:
    with ccxt_binance_without_keys(place) as exchange:
        yield exchange


@pytest.fixture
def truth(place: dict[str, Any]):
    """What is really so about BTCUSDT, asked for at the control endpoint."""

    def ask() -> dict[str, Any]:
        reply = httpx.get(place["control"] + "/truth?venue=binance_usdm&symbol=BTCUSDT")
        return reply.json()["binance_usdm"]["BTCUSDT"]

    return ask


def test_markets_have_their_rules(exchange):
    market = exchange.market(SYMBOL)
    assert (market["id"], market["swap"], market["linear"], market["settle"]) == ("BTCUSDT", True, True, "USDT")
    filters = {row["filterType"]: row for row in market["info"]["filters"]}
    assert market["precision"]["price"] == float(filters["PRICE_FILTER"]["tickSize"])
    assert market["limits"]["amount"]["min"] == float(filters["LOT_SIZE"]["minQty"])
    assert len(exchange.markets) >= 12


def test_the_book_is_the_true_one(exchange, truth):
    """The book moves on between two questions, so the one in between is bracketed by two that are true."""
    before, book, after = truth()["book"], exchange.fetch_order_book(SYMBOL, 50), truth()["book"]
    assert before["lastUpdateId"] <= book["nonce"] <= after["lastUpdateId"]
    assert book["bids"] == sorted(book["bids"], reverse=True)
    assert book["asks"] == sorted(book["asks"])
    assert book["bids"][0][0] < book["asks"][0][0]
    for side in ("bids", "asks"):
        true = {(float(price), float(size)) for level in (before, after) for price, size in level[side]}
        shared = sum(tuple(level) in true for level in book[side])
        assert shared >= 0.7 * len(book[side])


def test_prices_agree_with_each_other(exchange, truth):
    ticker = exchange.fetch_ticker(SYMBOL)
    book = exchange.fetch_order_book(SYMBOL, 5)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    best = exchange.fetch_bids_asks([SYMBOL])[SYMBOL]
    assert 0 < best["bid"] < best["ask"]
    assert abs(book["bids"][0][0] / ticker["last"] - 1) < 0.01
    assert abs(float(truth()["book"]["bids"][0][0]) / ticker["last"] - 1) < 0.01


def test_bars_are_the_true_ones(exchange, place, truth):
    """The clock of the venue is put ahead, so that bars end while we look; ended ones never change."""
    assert httpx.post(place["control"] + "/clock", json={"offset_ms": 130_000}).status_code == 200
    bars = exchange.fetch_ohlcv(SYMBOL, "1m", limit=100)
    assert {later[0] - earlier[0] for earlier, later in pairwise(bars)} == {60_000}
    assert len(bars) == 100
    true = truth()["bars"]["1m"]
    ended = {row[0]: [float(value) for value in row[1:6]] for row in true["closed"]}
    seen = {bar[0]: bar[1:] for bar in bars}
    assert len(ended) >= 2
    assert {opened: seen[opened] for opened in ended if opened != bars[-1][0]} == {
        opened: row for opened, row in ended.items() if opened in seen and opened != bars[-1][0]
    }
    now = true["open"] if true["open"][0] == bars[-1][0] else true["closed"][-1]
    assert bars[-1][1] == float(now[1])
    assert float(now[3]) <= bars[-1][3] <= bars[-1][2] <= float(now[2])


def test_trades_funding_and_open_interest_are_read(exchange):
    trades = exchange.fetch_trades(SYMBOL, limit=5)
    assert len(trades) == 5
    assert all(trade["price"] > 0 and trade["side"] in ("buy", "sell") for trade in trades)
    funding = exchange.fetch_funding_rate(SYMBOL)
    assert funding["markPrice"] > 0
    assert abs(funding["fundingRate"]) < 0.03
    history = exchange.fetch_open_interest_history(SYMBOL, "1h", limit=5)
    assert len(history) == 5
    assert all(row["openInterestAmount"] > 0 for row in history)


def test_refusals_are_the_kind_ccxt_knows(exchange, place):
    with pytest.raises(ccxt.BadSymbol):
        exchange.fapiPublicGetDepth({"symbol": "NOPE"})
    httpx.post(place["control"] + "/fault", json={"kind": "ban", "venue": "binance_usdm", "count": 1})
    with pytest.raises((ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
        exchange.fetch_ticker(SYMBOL)
