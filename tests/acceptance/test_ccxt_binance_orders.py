"""A client nobody here wrote: ccxt's Binance USD-M trades at the simulator, and what it believes is what is so."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.ccxt_clients import ccxt, ccxt_binance
from tests.support.programs import simulated_venues

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, Any]]:
    """Where a simulator in its own process can be reached."""
    with simulated_venues(6) as place:
        yield place


@pytest.fixture(scope="module")
def exchange(place: dict[str, Any]) -> Iterator["ccxt.binanceusdm"]:
    with ccxt_binance(place) as exchange:
        yield exchange


@pytest.fixture
def truth(place: dict[str, Any]):
    """What is really so about the account, asked for at the control endpoint."""

    def ask() -> dict[str, Any]:
        reply = httpx.get(place["control"] + "/truth?venue=binance_usdm&account=main")
        return reply.json()["binance_usdm"]["main"]

    return ask


def far(exchange, factor=0.98):
    return float(exchange.price_to_precision(SYMBOL, exchange.fetch_ticker(SYMBOL)["last"] * factor))


def test_the_balance_is_that_of_the_account(exchange, truth):
    assert exchange.fetch_balance()["USDT"]["total"] == pytest.approx(float(truth()["balances"]["USDT"]))


def test_an_order_is_placed_found_changed_and_cancelled(exchange, truth):
    price = far(exchange)
    order = exchange.create_order(SYMBOL, "limit", "buy", 0.01, price, {"clientOrderId": "from-ccxt"})
    assert (order["status"], order["amount"], order["price"]) == ("open", 0.01, price)
    assert truth()["orders"][order["id"]]["client_id"] == "from-ccxt"
    assert exchange.fetch_order(order["id"], SYMBOL)["clientOrderId"] == "from-ccxt"
    assert order["id"] in [found["id"] for found in exchange.fetch_open_orders(SYMBOL)]
    changed = exchange.edit_order(order["id"], SYMBOL, "limit", "buy", 0.02, price)
    assert (changed["id"], changed["amount"]) == (order["id"], 0.02)
    assert exchange.cancel_order(order["id"], SYMBOL)["status"] == "canceled"
    assert exchange.fetch_open_orders(SYMBOL) == []
    assert exchange.fetch_order(order["id"], SYMBOL)["status"] == "canceled"
    assert truth()["orders"][order["id"]]["status"] == "CANCELED"
    with pytest.raises(ccxt.OrderNotFound):
        exchange.cancel_order(order["id"], SYMBOL)


def test_several_orders_are_placed_and_cancelled_together(exchange, truth):
    price = far(exchange)
    row = {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": price}
    orders = exchange.create_orders([row, row])
    assert [order["status"] for order in orders] == ["open", "open"]
    ids = [order["id"] for order in orders]
    assert {truth()["orders"][number]["status"] for number in ids} == {"NEW"}
    exchange.cancel_orders(ids, SYMBOL)
    assert {truth()["orders"][number]["status"] for number in ids} == {"CANCELED"}
    exchange.create_orders([row, row])
    exchange.cancel_all_orders(SYMBOL)
    assert exchange.fetch_open_orders(SYMBOL) == []


def test_a_market_order_trades_and_makes_a_position(exchange, truth):
    order = exchange.create_order(SYMBOL, "market", "buy", 0.03)
    assert (order["status"], order["filled"]) == ("closed", 0.03)
    mine = [trade for trade in exchange.fetch_my_trades(SYMBOL) if trade["order"] == order["id"]]
    assert sum(trade["amount"] for trade in mine) == pytest.approx(0.03)
    (position,) = exchange.fetch_positions([SYMBOL])
    assert (position["side"], position["contracts"]) == ("long", 0.03)
    assert position["entryPrice"] == pytest.approx(sum(t["price"] * t["amount"] for t in mine) / 0.03)
    exchange.create_order(SYMBOL, "market", "sell", 0.03, None, {"reduceOnly": True})
    assert truth()["positions"] == {}


def test_a_stop_lives_apart_from_orders(exchange, truth):
    stop = exchange.create_order(SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": far(exchange, 0.97)})
    assert truth()["algos"][stop["id"]]["status"] == "NEW"
    assert truth()["algos"][stop["id"]]["type"] == "STOP_MARKET"
    assert exchange.fetch_open_orders(SYMBOL) == []
    listed = exchange.fetch_open_orders(SYMBOL, params={"trigger": True})
    assert [found["id"] for found in listed] == [stop["id"]]
    assert exchange.fetch_order(stop["id"], SYMBOL, {"trigger": True})["status"] == "open"
    exchange.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    assert truth()["algos"][stop["id"]]["status"] == "CANCELED"


@pytest.mark.parametrize(
    ("kind", "price", "params", "type_"),
    [
        ("limit", 0.95, {"stopLossPrice": 0.96}, "STOP"),
        ("market", None, {"takeProfitPrice": 1.05}, "TAKE_PROFIT_MARKET"),
        ("limit", 1.05, {"takeProfitPrice": 1.04}, "TAKE_PROFIT"),
        ("market", None, {"trailingPercent": 1}, "TRAILING_STOP_MARKET"),
    ],
)
def test_every_kind_of_conditional_order_is_taken_and_swept(exchange, truth, kind, price, params, type_):
    given = {name: far(exchange, value) if name.endswith("Price") else value for name, value in params.items()}
    stop = exchange.create_order(SYMBOL, kind, "sell", 0.01, price and far(exchange, price), given)
    assert (truth()["algos"][stop["id"]]["type"], truth()["algos"][stop["id"]]["status"]) == (type_, "NEW")
    exchange.cancel_all_orders(SYMBOL, {"trigger": True})
    assert exchange.fetch_open_orders(SYMBOL, params={"trigger": True}) == []
    listed = exchange.fetch_orders(SYMBOL, params={"trigger": True})
    assert {order["id"]: order["status"] for order in listed}[stop["id"]] == "canceled"


@pytest.mark.parametrize(
    ("factor", "params", "status"),
    [
        (1.01, {"timeInForce": "IOC"}, "closed"),
        (0.98, {"postOnly": True}, "open"),
        (0.98, {"timeInForce": "IOC"}, "expired"),
    ],
)
def test_an_order_is_found_among_all_orders_whatever_became_of_it(exchange, truth, factor, params, status):
    order = exchange.create_order(SYMBOL, "limit", "buy", 0.01, far(exchange, factor), params)
    found = {row["id"]: row["status"] for row in exchange.fetch_orders(SYMBOL)}
    assert found[order["id"]] == status
    by_name = exchange.fetch_order(None, SYMBOL, {"origClientOrderId": order["clientOrderId"]})
    assert by_name["id"] == order["id"]
    exchange.cancel_all_orders(SYMBOL)
    held = float(truth()["positions"].get("BTCUSDT", 0))
    if held:
        exchange.create_order(SYMBOL, "market", "sell", held, None, {"reduceOnly": True})


def test_several_orders_are_changed_together(exchange, truth):
    order = exchange.create_order(SYMBOL, "limit", "buy", 0.01, far(exchange))
    price = far(exchange, 0.97)
    row = {"id": order["id"], "symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.03, "price": price}
    (changed,) = exchange.edit_orders([row])
    assert (changed["id"], changed["amount"], changed["price"]) == (order["id"], 0.03, price)
    (told,) = exchange.fapiPrivateGetOrderAmendment({"symbol": "BTCUSDT", "orderId": order["id"]})
    assert float(told["amendment"]["origQty"]["after"]) == 0.03
    exchange.cancel_all_orders(SYMBOL)


def test_leverage_and_position_mode_are_set(exchange):
    assert exchange.set_leverage(7, SYMBOL)["leverage"] in (7, "7")
    exchange.set_position_mode(True)
    exchange.set_position_mode(False)
    assert exchange.fetch_trading_fee(SYMBOL)["taker"] == 0.0005


def test_refusals_come_with_the_codes_of_the_venue(exchange):
    """At another address than the venue's own ccxt tells few codes apart, but shows them."""
    with pytest.raises(ccxt.ExchangeError, match="-2019"):
        exchange.create_order(SYMBOL, "limit", "buy", 100, far(exchange))
    with pytest.raises(ccxt.ExchangeError, match="-5022"):
        exchange.create_order(SYMBOL, "limit", "buy", 0.01, far(exchange, 1.01), {"timeInForce": "GTX"})
    stranger = ccxt.binanceusdm({"apiKey": exchange.apiKey, "secret": "wrong"})
    stranger.urls["api"] = exchange.urls["api"]
    stranger.has["fetchCurrencies"] = False
    with pytest.raises(ccxt.AuthenticationError):
        stranger.fetch_balance()
    stranger.session.close()
