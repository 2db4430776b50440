"""What a portfolio works with. It outlives incarnations."""

from collections.abc import Callable

import msgspec

from actors.portfolios.settings import PortfolioSettings
from engine.kernel import Ref
from engine.store import Store
from engine.venues.ccxt import MarketCredential, MarketCredentialService, PortfolioProviders


class PortfolioDesk(msgspec.Struct, frozen=True, kw_only=True):
    """`read_credential` reads the keys where they are kept; it raises `CredentialError`."""

    name: str
    settings: PortfolioSettings
    providers: PortfolioProviders
    credentials: MarketCredentialService
    read_credential: Callable[[], MarketCredential]
    store: Store
    recorder: Ref
    notifier: Ref
