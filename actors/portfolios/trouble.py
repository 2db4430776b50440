"""What keeps a portfolio from being in step, for how long, and what of it people were told."""

from collections.abc import Callable

from engine.model import Severity
from engine.venues.ccxt import (
    CapabilityMissing,
    CredentialError,
    ImproperlyConfigured,
    OperationalException,
    TransientExchangeError,
)

Tell = Callable[[Severity, str, str], None]

TELL_AFTER = 3  # passes in a row that the exchange did not answer

#: What nobody but a person can mend: it is not asked again by itself.
HOPELESS = (CredentialError, ImproperlyConfigured, CapabilityMissing)


class Trouble:
    """`error` is why the last pass failed; `refusal` is what a pass that did not fail came to all the same.

    Each kind of trouble is told once, until it is over.
    """

    def __init__(self, name: str, tell: Tell) -> None:
        self._name = name
        self._tell = tell
        self._told: set[str] = set()
        self.error: OperationalException | None = None
        self.refusal: OperationalException | None = None
        self.failures = 0  # in a row, of the kind that may pass

    def __str__(self) -> str:
        return str(self.error or self.refusal or "")

    @property
    def hopeless(self) -> bool:
        return isinstance(self.error, HOPELESS)

    @property
    def of_keys(self) -> bool:
        return isinstance(self.error, CredentialError)

    def failed(self, error: OperationalException) -> None:
        """A pass was not made."""
        self.error = error
        text = f"{self._name}: {type(error).__name__}: {error}"
        if self.hopeless:
            self.failures = 0
            self._once(Severity.ERROR, "portfolio.stopped", f"{text}; it is not asked again until that changes")
            return
        self.failures += 1
        if not isinstance(error, TransientExchangeError):
            self._once(Severity.WARNING, "portfolio.failed", text)
        elif self.failures >= TELL_AFTER:
            self._once(Severity.WARNING, "portfolio.unreachable", f"{text}; it is asked again and again")

    def passed(self, refusal: OperationalException | None) -> None:
        """A pass was made; `refusal` is what whoever asked is refused with."""
        self.error, self.refusal, self.failures = None, refusal, 0
        if refusal is None:
            self._told.clear()
        else:
            self._once(Severity.ERROR, "portfolio.refused", f"{self._name}: {refusal}")

    def _once(self, severity: Severity, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._tell(severity, kind, text)
