"""Accounts at exchanges this project has no client of its own for, read through ccxt (the extra `[ccxt]`).

Nothing here trades. `CcxtPortfolioProvider` answers what a portfolio holds, which of its orders rest, and what became of the
others; ccxt's blocking classes run in threads with a deadline each. Loading this package does not load ccxt.
"""

from engine.venues.ccxt.client import Client
from engine.venues.ccxt.credentials import MarketCredential, MarketCredentialService
from engine.venues.ccxt.errors import (
    CapabilityMissing,
    CredentialError,
    ImproperlyConfigured,
    OperationalException,
    OrderUnknown,
    PortfolioOutOfSyncError,
    TooManyRows,
    TransientExchangeError,
)
from engine.venues.ccxt.library import check_credentials
from engine.venues.ccxt.portfolio_provider import CcxtPortfolioProvider
from engine.venues.ccxt.provider import PortfolioProvider, PortfolioProviders
from engine.venues.ccxt.settings import CcxtSettings

__all__ = [
    "CapabilityMissing",
    "CcxtPortfolioProvider",
    "CcxtSettings",
    "Client",
    "CredentialError",
    "ImproperlyConfigured",
    "MarketCredential",
    "MarketCredentialService",
    "OperationalException",
    "OrderUnknown",
    "PortfolioOutOfSyncError",
    "PortfolioProvider",
    "PortfolioProviders",
    "TooManyRows",
    "TransientExchangeError",
    "check_credentials",
]
