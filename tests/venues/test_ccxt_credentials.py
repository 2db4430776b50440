"""Credentials: from the environment, typed, never shown; an exchange says itself which parts it wants."""

import pickle

import msgspec
import pytest

from engine.venues.ccxt import CredentialError, MarketCredential, MarketCredentialService, check_credentials

ENV = {"OKX_API_KEY": "key-from-env", "OKX_SECRET_KEY": "secret-from-env", "OKX_PASSWORD": "phrase", "OKX_UID": " 7 "}


def test_what_is_not_given_comes_from_the_environment_by_the_markets_name():
    credential = MarketCredential("okx", api_key="given").initialize(ENV)
    assert (credential.api_key, credential.secret_key) == ("given", "secret-from-env")
    assert (credential.password, credential.uid) == ("phrase", "7")


def test_without_any_credential_the_error_says_what_to_set():
    with pytest.raises(CredentialError, match="KRAKEN_API_KEY and KRAKEN_SECRET_KEY"):
        MarketCredential("kraken").initialize({})


def test_no_part_of_a_credential_is_ever_shown():
    credential = MarketCredential("okx").initialize(ENV)
    for shown in (repr(credential), str(credential), f"{credential}", repr([credential])):
        assert not any(value.strip() in shown for value in ENV.values() if value.strip() != "7")
        assert "api_key=***" in shown
    with pytest.raises(TypeError):
        pickle.dumps(credential)
    with pytest.raises(TypeError):
        msgspec.json.encode(credential)
    assert credential.redact("sent key-from-env with phrase") == "sent *** with ***"


class Wants:
    def __init__(self, **required: bool) -> None:
        self.requiredCredentials = required


def test_an_exchange_says_which_parts_must_be_there():
    keys = MarketCredential("okx", "k", "s")
    check_credentials(Wants(apiKey=True, secret=True, password=False), keys)
    with pytest.raises(CredentialError, match="password"):
        check_credentials(Wants(apiKey=True, secret=True, password=True), keys)
    check_credentials(Wants(apiKey=False, secret=False), MarketCredential("okx"))
    wallet = MarketCredential("hyperliquid").initialize(
        {"HYPERLIQUID_WALLET_ADDRESS": "0x1", "HYPERLIQUID_PRIVATE_KEY": "p"}
    )
    check_credentials(Wants(walletAddress=True, privateKey=True), wallet)
    with pytest.raises(CredentialError, match="surprise"):
        check_credentials(Wants(surprise=True), keys)


@pytest.mark.parametrize(
    ("market", "wanted"),
    [("okx", {"password"}), ("deribit", set()), ("coinmate", {"uid"})],
)
def test_the_parts_that_real_exchanges_want_beside_key_and_secret(market, wanted):
    ccxt = pytest.importorskip("ccxt", reason="install the [test] extra")
    exchange = getattr(ccxt, market)()
    assert set(MarketCredential(market, "k", "s").missing(exchange.requiredCredentials)) == wanted
    exchange.close()


def test_the_service_keeps_one_for_each_market_and_for_each_portfolio_with_its_own():
    replaced: list[MarketCredential] = []
    service = MarketCredentialService(replaced.append)
    first, own = MarketCredential("okx", "k", "s"), MarketCredential("okx", "k2", "s2")
    assert service.get("okx") is None
    service.add(first)
    service.add(own, "mine")
    assert service.get("OKX") == first
    assert (service.get("okx", "mine"), service.get("okx", "other")) == (own, first)
    assert service.get_all() == (first, own)
    assert replaced == []


def test_a_replaced_credential_is_let_go_of_once_nobody_uses_it():
    replaced: list[MarketCredential] = []
    service = MarketCredentialService(replaced.append)
    old, new = MarketCredential("okx", "k", "s"), MarketCredential("okx", "k2", "s2")
    service.add(old)
    service.add(MarketCredential("okx", "k", "s"))
    assert replaced == []
    service.add(old, "mine")
    service.add(new)
    assert replaced == []
    service.add(new, "mine")
    assert replaced == [old]
