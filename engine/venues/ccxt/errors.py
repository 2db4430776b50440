"""What asking an exchange for an account's state can come to besides its answer. Who must act is in the type.

::

    OperationalException            the exchange refused the question, or something is wrong that only a person can tell
    ├─ TransientExchangeError       no answer now: network, limits, maintenance; it is asked again, nothing is concluded
    ├─ CredentialError              keys missing, wrong, or without the right: whoever keeps the keys must act
    ├─ CapabilityMissing            the exchange, or ccxt for it, cannot be asked this
    ├─ TooManyRows                  more trades, or lines of a statement, than are read at once; some are not all
    ├─ ImproperlyConfigured         no such market, no provider, no library: whoever configures must act
    └─ PortfolioOutOfSyncError      the exchange has less than the portfolio believes, beyond what is tolerated or allowed

A confirmed "there is no such order" is none of these: it is None.
"""

from decimal import Decimal

from engine.model import plain


class OperationalException(Exception):
    """The base of the tree. `market` is the exchange's name as ccxt has it."""

    def __init__(self, market: str, text: str) -> None:
        super().__init__(f"{market}: {text}" if market else text)
        self.market = market
        self.text = text


class TransientExchangeError(OperationalException):
    """No answer now. `retry_after_s`: when the exchange, or our own limit, says to come back; None when nobody says.

    `asked`: the exchange was asked. False when our own limiter or breaker kept the question back.
    """

    def __init__(self, market: str, text: str, *, retry_after_s: float | None = None, asked: bool = True) -> None:
        super().__init__(market, text)
        self.retry_after_s = retry_after_s
        self.asked = asked


class CredentialError(OperationalException):
    """The keys are missing, wrong, or not allowed this."""


class CapabilityMissing(OperationalException):
    """The exchange cannot be asked this through ccxt."""


class TooManyRows(OperationalException):
    """There are more own trades, or lines of the statement, than can be read to their end."""


class ImproperlyConfigured(OperationalException):
    """Nothing here can ask this market."""


class OrderUnknown(OperationalException):
    """The exchange says that it has no such order. It becomes None at the provider's door."""


class PortfolioOutOfSyncError(OperationalException):
    """Less is available at the exchange than the portfolio has unallocated. `delta` is below zero."""

    def __init__(self, market: str, *, local_unallocated: Decimal, broker_available: Decimal) -> None:
        self.local_unallocated = local_unallocated
        self.broker_available = broker_available
        self.delta = broker_available - local_unallocated
        super().__init__(
            market,
            f"expected at least the {plain(local_unallocated)} unallocated to be available at the exchange,"
            f" got {plain(broker_available)} ({plain(self.delta)})",
        )
