"""The ccxt library: loaded when it is first wanted, since that takes a second and a hundred megabytes.

Its amounts are asked for as text. An answer's decimal places reach us as the exchange wrote them, and no figure is a float on
the way; only markets are read ccxt's own way, whose sorting of them by precision expects numbers. Its errors become ours,
without the query of any address and without any part of the credential in their text.
"""

import importlib
import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from engine.venues.ccxt.credentials import MarketCredential
from engine.venues.ccxt.errors import (
    CapabilityMissing,
    CredentialError,
    ImproperlyConfigured,
    OperationalException,
    OrderUnknown,
    TransientExchangeError,
)
from engine.venues.ccxt.settings import CcxtSettings

for _chatty in ("ccxt", "urllib3"):  # they log whole requests, keys and all, at DEBUG
    logging.getLogger(_chatty).setLevel(logging.WARNING)

EXTRA = "install it with: pip install 'tradenode[ccxt]'"
MAX_TEXT = 300

#: By the name of ccxt's class; the nearest class above one decides.
MEANING: Mapping[str, type[OperationalException]] = {
    "OrderNotFound": OrderUnknown,
    "AuthenticationError": CredentialError,
    "NotSupported": CapabilityMissing,
    "ArgumentsRequired": CapabilityMissing,
    "InvalidProxySettings": ImproperlyConfigured,
    "ExchangeClosedByUser": TransientExchangeError,
    "OperationFailed": TransientExchangeError,
    "BaseError": OperationalException,
}

#: What reading an answer of an unexpected shape raises inside ccxt.
MISREAD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

_QUERY = re.compile(r"\?[^\s\"']*")


def load() -> Any:
    """The library. Raises `ImproperlyConfigured` naming the extra when it is not installed."""
    try:
        return importlib.import_module("ccxt")
    except ModuleNotFoundError as error:
        if error.name != "ccxt":
            raise
        raise ImproperlyConfigured("", f"portfolios are read through ccxt, which is not installed; {EXTRA}") from error


def markets() -> frozenset[str]:
    """The exchanges ccxt knows. Its module has attributes of other names too, so they are not asked for."""
    return frozenset(load().exchanges)


def make_exchange(market: str, credential: MarketCredential, settings: CcxtSettings) -> Any:
    """A client of ccxt's own, not connected yet. Raises `ImproperlyConfigured`, `CredentialError`."""
    if market not in markets():
        raise ImproperlyConfigured(market, f"expected one of ccxt's {len(markets())} exchanges, got {market!r}")
    config: dict[str, Any] = {"enableRateLimit": True, "timeout": int(settings.call_timeout_s * 1000)}
    config["options"] = {"warnOnFetchOpenOrdersWithoutSymbol": False, **settings.options}
    if settings.rate_limit_ms is not None:
        config["rateLimit"] = settings.rate_limit_ms
    exchange = getattr(load(), market)({**config, **credential.reveal()})
    try:
        check_credentials(exchange, credential)
        if settings.sandbox:
            exchange.set_sandbox_mode(True)
        _point(exchange, settings.urls)
    except BaseException:
        exchange.close()
        raise
    exchange.has.update(dict.fromkeys(settings.without, False))
    return exchange


def check_credentials(exchange: Any, credential: MarketCredential) -> None:
    """Raise `CredentialError` unless all is there that the exchange says it requires."""
    missing = credential.missing(exchange.requiredCredentials)
    if missing:
        raise CredentialError(credential.market, f"expected the credential's {', '.join(missing)}, got none")


def prepare(exchange: Any) -> None:
    """Read the markets once, then have every figure as the exchange wrote it."""
    if not exchange.markets:
        exchange.load_markets()
        exchange.on_json_response = exactly
        exchange.number = str


def exactly(text: str) -> Any:
    """JSON with fractions as text. ccxt takes numbers and texts alike."""
    return json.loads(text, parse_float=str)


def _point(exchange: Any, urls: Mapping[str, str]) -> None:
    """Other addresses for an exchange's APIs. Raises `ImproperlyConfigured` for one it has not."""
    api = exchange.urls["api"]
    everywhere = urls.get("*")
    if everywhere is not None:
        exchange.urls["api"] = api = _moved(api, everywhere.rstrip("/"))
    for name, url in urls.items():
        if name != "*" and not (isinstance(api, dict) and name in api):
            known = sorted(api) if isinstance(api, dict) else []
            raise ImproperlyConfigured(exchange.id, f"urls: expected names of {known} or *, got {name!r}")
        if name != "*":
            api[name] = url


def _moved(url: Any, host: str) -> Any:
    """The same paths at another host."""
    if isinstance(url, dict):
        return {name: _moved(inner, host) for name, inner in url.items()}
    return re.sub(r"^[a-z]+://[^/]+", host, url) if isinstance(url, str) else url


def translated(
    error: BaseException, market: str, what: str, credential: MarketCredential, retry_after_s: float | None = None
) -> OperationalException:
    """Ours for an error of ccxt's, or of its reading an answer."""
    text = _QUERY.sub("?…", credential.redact(str(error)))[:MAX_TEXT]
    text = f"{what}: {type(error).__name__} {text}"
    names = [kind.__name__ for kind in type(error).__mro__]
    meaning = next((MEANING[name] for name in names if name in MEANING), None)
    if meaning is None:
        meaning = OperationalException if isinstance(error, MISREAD) else TransientExchangeError
    if meaning is TransientExchangeError:
        return TransientExchangeError(market, text, retry_after_s=retry_after_s)
    return meaning(market, text)


def retry_after_s(exchange: Any) -> float | None:
    """What the last answer said about when to come back, in seconds."""
    headers = exchange.last_response_headers or {}
    value = next((headers[name] for name in headers if name.lower() == "retry-after"), None)
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None  # a date: the backoff of our own does
