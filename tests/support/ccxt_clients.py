"""Clients nobody here wrote: ccxt's, set up as a user would, but at the address of simulated venues."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

ccxt = pytest.importorskip("ccxt", reason="install the [test] extra")

PUBLIC_BASES = {"fapiPublic": "/fapi/v1", "fapiPublicV2": "/fapi/v2", "fapiPublicV3": "/fapi/v3", "public": "/api/v3"}
PRIVATE_BASES = {"fapiPrivate": "/fapi/v1", "fapiPrivateV2": "/fapi/v2", "fapiPrivateV3": "/fapi/v3"}


@contextmanager
def ccxt_deribit(place: dict[str, Any]) -> Iterator["ccxt.deribit"]:
    """It has the account's keys. `place`: what the venues say of themselves."""
    here = place["deribit"]
    exchange = ccxt.deribit({"apiKey": here["client_id"], "secret": here["client_secret"]})
    exchange.urls["api"]["rest"] = here["http"].removesuffix("/api/v2")
    with _ready(exchange):
        yield exchange


@contextmanager
def ccxt_binance(place: dict[str, Any]) -> Iterator["ccxt.binanceusdm"]:
    """It has the account's keys; spot's currencies are no business of this venue."""
    here = place["binance_usdm"]
    exchange = ccxt.binanceusdm({"apiKey": here["api_key"], "secret": here["api_secret"]})
    _lead(exchange, here["http"], PUBLIC_BASES | PRIVATE_BASES)
    exchange.urls["api"]["sapi"] = here["spot_http"] + "/sapi/v1"
    exchange.options["fetchCurrencies"] = False
    exchange.has["fetchCurrencies"] = False
    with _ready(exchange):
        yield exchange


@contextmanager
def ccxt_binance_without_keys(place: dict[str, Any]) -> Iterator["ccxt.binanceusdm"]:
    """It can read what is public, and no more."""
    exchange = ccxt.binanceusdm()
    _lead(exchange, place["binance_usdm"]["http"], PUBLIC_BASES | {"fapiData": "/futures/data"})
    with _ready(exchange):
        yield exchange


def _lead(exchange: "ccxt.binanceusdm", http: str, bases: dict[str, str]) -> None:
    for name, base in bases.items():
        exchange.urls["api"][name] = http + base


@contextmanager
def _ready(exchange: "ccxt.Exchange") -> Iterator[None]:
    with closing(exchange.session):
        exchange.load_markets()
        yield
