"""A client nobody here wrote: ccxt's Deribit, pointed at the simulator, trades as it would on the real venue."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.support.ccxt_clients import ccxt, ccxt_deribit
from tests.support.programs import simulated_venues

SYMBOL = "BTC/USD:BTC"


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, Any]]:
    """Where a simulator in its own process can be reached."""
    with simulated_venues(5) as place:
        yield place


@pytest.fixture(scope="module")
def exchange(place: dict[str, Any]) -> Iterator["ccxt.deribit"]:
    with ccxt_deribit(place) as exchange:
        yield exchange


def test_markets_have_their_rules(exchange):
    market = exchange.market(SYMBOL)
    assert (market["id"], market["swap"], market["inverse"], market["settle"]) == ("BTC-PERPETUAL", True, True, "BTC")
    assert (market["precision"]["price"], market["contractSize"], market["limits"]["amount"]["min"]) == (0.5, 10, 10)
    linear = exchange.market("BTC/USDC:USDC")
    assert (linear["linear"], linear["settle"]) == (True, "USDC")


def test_prices_agree_with_each_other(exchange):
    ticker = exchange.fetch_ticker(SYMBOL)
    book = exchange.fetch_order_book(SYMBOL)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    assert 0 < ticker["bid"] < ticker["ask"]
    assert book["bids"] == sorted(book["bids"], reverse=True)
    assert book["asks"] == sorted(book["asks"])
    assert book["bids"][0][0] < book["asks"][0][0]
    assert abs(book["bids"][0][0] / ticker["bid"] - 1) < 0.01


def test_bars_are_complete(exchange):
    bars = exchange.fetch_ohlcv(SYMBOL, "1m", limit=30)
    assert len(bars) >= 10
    assert {later[0] - earlier[0] for earlier, later in pairwise(bars)} == {60_000}
    assert all(low <= min(first, last) <= max(first, last) <= high for _, first, high, low, last, _ in bars)


def test_trades_are_listed(exchange):
    trades = exchange.fetch_trades(SYMBOL, limit=5)
    assert len(trades) == 5
    assert all(trade["price"] > 0 and trade["side"] in ("buy", "sell") for trade in trades)


def test_the_balance_is_that_of_the_account(exchange):
    balance = exchange.fetch_balance({"code": "BTC"})
    assert balance["BTC"]["total"] == pytest.approx(10, abs=0.1)


def test_an_order_is_placed_found_and_cancelled(exchange):
    price = exchange.price_to_precision(SYMBOL, exchange.fetch_ticker(SYMBOL)["bid"] * 0.995)
    order = exchange.create_order(SYMBOL, "limit", "buy", 20, float(price), {"label": "from-ccxt"})
    assert (order["status"], order["amount"], order["price"]) == ("open", 20, float(price))
    assert exchange.fetch_order(order["id"], SYMBOL)["info"]["label"] == "from-ccxt"
    assert order["id"] in [found["id"] for found in exchange.fetch_open_orders(SYMBOL)]
    assert exchange.cancel_order(order["id"], SYMBOL)["status"] == "canceled"
    assert order["id"] not in [found["id"] for found in exchange.fetch_open_orders(SYMBOL)]
    with pytest.raises(ccxt.ExchangeError):
        exchange.cancel_order(order["id"], SYMBOL)


def test_a_market_order_trades_and_makes_a_position(exchange):
    order = exchange.create_order(SYMBOL, "market", "buy", 30)
    assert (order["status"], order["filled"]) == ("closed", 30)
    mine = [trade for trade in exchange.fetch_my_trades(SYMBOL) if trade["order"] == order["id"]]
    assert sum(trade["amount"] for trade in mine) == 30
    assert exchange.fetch_position(SYMBOL)["side"] == "long"


def test_refusals_are_the_kind_ccxt_knows(exchange):
    with pytest.raises(ccxt.InsufficientFunds):
        exchange.create_order(SYMBOL, "limit", "buy", 90_000_000, 83_000)
    stranger = ccxt.deribit({"apiKey": exchange.apiKey, "secret": "wrong"})
    stranger.urls["api"]["rest"] = exchange.urls["api"]["rest"]
    with pytest.raises(ccxt.AuthenticationError):
        stranger.fetch_balance()
    stranger.session.close()
