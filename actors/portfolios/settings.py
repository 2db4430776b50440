"""One portfolio's section of the configuration."""

from decimal import Decimal
from typing import Annotated

import msgspec

from engine.model import SyncMode
from engine.settings import Secret, SecretUnavailable
from engine.venues.ccxt import CcxtSettings, CredentialError, MarketCredential

Seconds = Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]


class PortfolioSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account at any exchange ccxt knows: `market` is the exchange, `trading_symbol` the currency its money is counted in.

    Without keys here they are read from `{MARKET}_API_KEY`, `{MARKET}_SECRET_KEY`, `{MARKET}_PASSWORD` and `{MARKET}_UID`. With
    `initial_balance` the portfolio takes so much of what is available, without it all. `mode` says what follows when money
    left that was not allowed to: `raise` refuses whoever asks and keeps the portfolio as it was, `warn` tells people and follows the
    exchange, `halt` keeps it and halts the portfolio until a person accepts. A `backtest` portfolio never touches an exchange.
    `priority` is that of ccxt among providers for this market. `simulated` connects it to the node's own simulated venue.
    """

    market: Name
    trading_symbol: Name
    initial_balance: Decimal | None = None
    mode: SyncMode = SyncMode.RAISE
    tolerance: Decimal = Decimal("0.00000001")
    allow_withdrawals: bool = False
    sync_every_s: Seconds = 60.0
    sync_retry_s: Seconds = 10.0
    retry_max_s: Seconds = 600.0
    confirm_after_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 1.0  # between two looks at a difference
    missing_after_s: Seconds = 300.0  # an order that the exchange has not known for so long is told to people
    first_lookback_s: Seconds = 86_400.0
    overlap_s: Seconds = 600.0
    priority: int = 0
    backtest: bool = False
    simulated: bool = False
    api_key: Secret | None = None
    secret_key: Secret | None = None
    password: Secret | None = None
    uid: Secret | None = None
    client: CcxtSettings = CcxtSettings()

    def __post_init__(self) -> None:
        for name, value in (("initial_balance", self.initial_balance), ("tolerance", self.tolerance)):
            if value is not None and not (value.is_finite() and value >= 0):
                raise ValueError(f"{name}: expected 0 or more, got {value}")

    @property
    def account(self) -> str:
        """Which account it is, as far as that can be told without showing a key: by where the keys are kept."""
        places = (f"{name}={part.reference}" for name, part in self._parts.items() if part is not None)
        return " ".join(places)

    @property
    def _parts(self) -> dict[str, Secret | None]:
        return {
            "api_key": self.api_key,
            "secret_key": self.secret_key,
            "password": self.password,
            "uid": self.uid,
        }

    def read_credential(self) -> MarketCredential:
        """The keys as their places hold them now, what is not named from the environment. Raises `CredentialError`."""
        try:
            named = {name: secret.again().reveal() for name, secret in self._parts.items() if secret is not None}
        except SecretUnavailable as error:
            raise CredentialError(self.market, str(error)) from error
        return MarketCredential(self.market, others=named).initialize()
