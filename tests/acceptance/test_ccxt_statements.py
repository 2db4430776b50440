"""A client nobody here wrote: ccxt's Deribit and Binance USD-M tell what an account holds and how it came to that."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.support.ccxt_clients import ccxt, ccxt_binance, ccxt_deribit
from tests.support.programs import simulated_venues

D = Decimal


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, Any]]:
    """Where a simulator in its own process can be reached."""
    with simulated_venues(9) as place:
        yield place


@pytest.fixture(scope="module")
def deribit(place: dict[str, Any]) -> Iterator["ccxt.deribit"]:
    with ccxt_deribit(place) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def binance(place: dict[str, Any]) -> Iterator["ccxt.binanceusdm"]:
    with ccxt_binance(place) as exchange:
        yield exchange


@pytest.fixture
def act(place: dict[str, Any]):
    """Something done to the main account by hand."""

    def do(venue: str, kind: str, **fields: Any) -> dict[str, Any]:
        reply = httpx.post(place["control"] + "/act", json={"venue": venue, "do": kind, **fields})
        assert reply.status_code == 200, reply.text
        done: dict[str, Any] = reply.json()
        return done

    return do


@pytest.fixture
def truth(place: dict[str, Any]):
    def ask(venue: str) -> dict[str, Any]:
        return httpx.get(f"{place['control']}/truth?venue={venue}&account=main").json()[venue]["main"]

    return ask


def amounts(rows: list[dict[str, Any]]) -> list[Decimal]:
    return [D(str(row["amount"])) for row in rows]


# -- Deribit


def test_money_that_came_to_deribit_or_left_it_is_listed_with_the_balance_it_made(deribit, act, truth):
    act("deribit", "deposit", currency="ETH", amount="3.5")
    act("deribit", "withdraw", currency="ETH", amount="1.25")
    act("deribit", "transfer_out", currency="ETH", amount="0.5")
    assert amounts(deribit.fetch_deposits("ETH"))[-1] == D("3.5")
    (left,) = deribit.fetch_withdrawals("ETH")
    assert (left["amount"], left["status"], left["currency"]) == (1.25, "ok", "ETH")
    (moved,) = deribit.fetch_transfers("ETH")
    assert (moved["amount"], moved["status"]) == (0.5, "ok")
    assert D(str(deribit.fetch_balance()["ETH"]["total"])) == D(truth("deribit")["balances"]["ETH"]) == D("101.75")


def test_positions_and_trades_at_deribit_are_those_of_the_account(deribit, act, truth):
    bought = act("deribit", "order", symbol="BTC-PERPETUAL", side="buy", amount=70)["trades"]
    (position,) = [row for row in deribit.fetch_positions() if row["contracts"]]
    assert (position["symbol"], position["side"]) == ("BTC/USD:BTC", "long")
    assert D(str(position["info"]["size"])) == D(truth("deribit")["positions"]["BTC-PERPETUAL"]) == 70
    trades = deribit.fetch_my_trades("BTC/USD:BTC")
    assert [trade["id"] for trade in trades] == [trade["trade_id"] for trade in bought]
    assert [str(trade["fee"]["currency"]) for trade in trades] == ["BTC"] * len(bought)
    assert [trade["id"] for trade in deribit.fetch_order_trades(bought[0]["order_id"])] == [t["id"] for t in trades]


# -- Binance


def test_the_ledger_of_binance_adds_up_to_its_balance(binance, act, truth):
    before = D(truth("binance_usdm")["balances"]["USDT"])
    since_ms = binance.milliseconds() - 60_000
    known = len(binance.fetch_ledger("USDT", since_ms, 1000))
    act("binance_usdm", "deposit", currency="USDT", amount="250.5")
    act("binance_usdm", "withdraw", currency="USDT", amount="50.25")
    act("binance_usdm", "order", symbol="BTCUSDT", side="buy", amount="0.05")
    act("binance_usdm", "funding", symbol="BTCUSDT", rate="0.0001")
    act("binance_usdm", "close", symbol="BTCUSDT")
    lines = binance.fetch_ledger("USDT", since_ms, 1000)[known:]
    signed = [D(line["info"]["income"]) for line in lines]
    assert before + sum(signed) == D(truth("binance_usdm")["balances"]["USDT"])
    assert {"transfer", "fee"} <= {line["type"] for line in lines}
    total = D(str(binance.fetch_balance()["USDT"]["total"]))
    assert total == pytest.approx(D(truth("binance_usdm")["balances"]["USDT"]))
    (paid,) = binance.fetch_funding_history("BTC/USDT:USDT", since_ms)
    assert paid["amount"] < 0


def test_positions_and_trades_at_binance_are_those_of_the_account(binance, act, truth):
    sold = act("binance_usdm", "order", symbol="ETHUSDT", side="sell", amount="0.5")["trades"]
    (position,) = [row for row in binance.fetch_positions() if row["contracts"]]
    assert (position["symbol"], position["side"], position["contracts"]) == ("ETH/USDT:USDT", "short", 0.5)
    assert D(truth("binance_usdm")["positions"]["ETHUSDT"]) == D("-0.5")
    trades = binance.fetch_my_trades("ETH/USDT:USDT")
    assert [trade["id"] for trade in trades] == [trade["trade_id"] for trade in sold]
    assert sum(amounts(trades)) == D("0.5")


def test_the_spot_host_tells_ccxt_what_the_key_may_do(binance):
    said = binance.sapi_get_account_apirestrictions()
    assert (said["enableReading"], said["enableFutures"], said["enableWithdrawals"]) == (True, True, True)
