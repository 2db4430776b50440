"""What each of ccxt's errors means, and that none of them carries a key."""

import subprocess
import sys

import pytest

from engine.venues.ccxt import (
    CapabilityMissing,
    CcxtSettings,
    CredentialError,
    ImproperlyConfigured,
    MarketCredential,
    OperationalException,
    OrderUnknown,
    TransientExchangeError,
    library,
)
from engine.venues.ccxt.credentials import PARTS
from tests.support.fake_ccxt import KEYS

ccxt = pytest.importorskip("ccxt", reason="install the [test] extra")

ORDINARY = OperationalException
MEANINGS = {
    "BaseError": ORDINARY,
    "ExchangeError": ORDINARY,
    "AuthenticationError": CredentialError,
    "PermissionDenied": CredentialError,
    "AccountNotEnabled": CredentialError,
    "AccountSuspended": CredentialError,
    "ArgumentsRequired": CapabilityMissing,
    "BadRequest": ORDINARY,
    "BadSymbol": ORDINARY,
    "OperationRejected": ORDINARY,
    "NoChange": ORDINARY,
    "MarginModeAlreadySet": ORDINARY,
    "MarketClosed": ORDINARY,
    "ManualInteractionNeeded": ORDINARY,
    "RestrictedLocation": ORDINARY,
    "InsufficientFunds": ORDINARY,
    "InvalidAddress": ORDINARY,
    "AddressPending": ORDINARY,
    "InvalidOrder": ORDINARY,
    "OrderNotFound": OrderUnknown,
    "OrderNotCached": ORDINARY,
    "OrderImmediatelyFillable": ORDINARY,
    "OrderNotFillable": ORDINARY,
    "DuplicateOrderId": ORDINARY,
    "ContractUnavailable": ORDINARY,
    "NotSupported": CapabilityMissing,
    "InvalidProxySettings": ImproperlyConfigured,
    "ExchangeClosedByUser": TransientExchangeError,
    "OperationFailed": TransientExchangeError,
    "NetworkError": TransientExchangeError,
    "DDoSProtection": TransientExchangeError,
    "RateLimitExceeded": TransientExchangeError,
    "ExchangeNotAvailable": TransientExchangeError,
    "OnMaintenance": TransientExchangeError,
    "InvalidNonce": TransientExchangeError,
    "ChecksumError": TransientExchangeError,
    "RequestTimeout": TransientExchangeError,
    "BadResponse": TransientExchangeError,
    "NullResponse": TransientExchangeError,
    "CancelPending": TransientExchangeError,
    "UnsubscribeError": ORDINARY,
}


def errors_of(kind: type) -> set[type]:
    return {kind}.union(*(errors_of(inner) for inner in kind.__subclasses__()))


def test_every_error_there_is_has_a_meaning_and_only_one_of_them_is_not_found():
    kinds = {kind for kind in errors_of(ccxt.BaseError) if kind.__module__.startswith("ccxt")}
    assert {kind.__name__ for kind in kinds} == set(MEANINGS)
    for kind in kinds:
        assert type(library.translated(kind("x"), "fake", "fetchOrder", KEYS)) is MEANINGS[kind.__name__], kind


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), ValueError("x"), ZeroDivisionError()])
def test_an_answer_that_ccxt_cannot_read_is_no_fact_and_no_crash(error):
    assert type(library.translated(error, "fake", "fetchOrder", KEYS)) is OperationalException


def test_a_broken_wire_is_transient_whoever_reports_it():
    assert type(library.translated(ConnectionResetError(), "fake", "x", KEYS)) is TransientExchangeError


def test_neither_the_query_of_an_address_nor_a_key_is_in_an_errors_text():
    error = ccxt.NetworkError("binance GET https://x/v1/order?signature=abc&a-key-to-hide=1 a-secret-to-hide")
    text = str(library.translated(error, "fake", "fetchOrder", KEYS))
    assert "signature" not in text
    assert "hide" not in text
    assert "fetchOrder: NetworkError binance GET https://x/v1/order" in text


def test_modules_of_ccxt_that_are_no_exchanges_are_not_supported():
    for name in ("base", "errors", "exchanges", "Exchange", "nope"):
        assert name not in library.markets()
        with pytest.raises(ImproperlyConfigured, match="exchanges, got"):
            library.make_exchange(name, MarketCredential(name), CcxtSettings())
    assert {"deribit", "binanceusdm", "okx"} <= library.markets()


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'tradenode\[ccxt\]'"):
        library.load()


@pytest.mark.parametrize("market", sorted(ccxt.exchanges))
def test_every_exchange_can_be_made_at_any_address_and_gives_its_figures_as_text(market):
    whole = MarketCredential(market, others=dict.fromkeys(PARTS.values(), "0x" + "1" * 64))
    exchange = library.make_exchange(market, whole, CcxtSettings(urls={"*": "http://127.0.0.1:9"}))
    assert whole.missing(exchange.requiredCredentials) == ()
    assert all(url.startswith("http://127.0.0.1:9") for url in strings(exchange.urls["api"]) if "://" in url)
    assert library.retry_after_s(exchange) is None
    exchange.number = str
    order = exchange.safe_order({"amount": "1.10", "filled": "0.5", "price": "3", "trades": [], "status": "open"})
    assert (order["amount"], order["remaining"]) == ("1.10", "0.6")
    exchange.close()


@pytest.mark.parametrize("market", sorted(ccxt.exchanges))
def test_without_keys_an_exchange_says_what_it_wants_unless_it_wants_none(market):
    exchange = getattr(ccxt, market)()
    wanted = any(exchange.requiredCredentials.values())
    exchange.close()
    if wanted:
        with pytest.raises(CredentialError, match="expected the credential's"):
            library.make_exchange(market, MarketCredential(market), CcxtSettings())
    else:
        library.make_exchange(market, MarketCredential(market), CcxtSettings()).close()


def strings(value):
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    return [value] if isinstance(value, str) else []


def test_addresses_can_be_replaced_all_or_one_by_one():
    keys = MarketCredential("binanceusdm", "k", "s")
    there = CcxtSettings(urls={"*": "http://127.0.0.1:9", "fapiPrivate": "http://127.0.0.1:8/x"})
    exchange = library.make_exchange("binanceusdm", keys, there)
    assert exchange.urls["api"]["fapiPublic"] == "http://127.0.0.1:9/fapi/v1"
    assert exchange.urls["api"]["fapiPrivate"] == "http://127.0.0.1:8/x"
    assert exchange.enableRateLimit
    exchange.close()
    with pytest.raises(ImproperlyConfigured, match="expected names of"):
        library.make_exchange("binanceusdm", keys, CcxtSettings(urls={"nope": "http://x"}))


def test_amounts_arrive_as_the_exchange_wrote_them():
    assert library.exactly('{"a": 123456789.12345678901, "b": 5, "c": 1e-8}') == {
        "a": "123456789.12345678901",
        "b": 5,
        "c": "1e-8",
    }


def test_the_library_is_loaded_only_when_an_exchange_is_asked():
    code = "import sys, actors.node, actors.cli, engine.venues.ccxt; sys.exit('ccxt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
