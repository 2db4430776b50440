"""A key pair, and the place an account's pair is held at while the node runs.

Whoever signs holds the place and not the pair, so a new pair is in use with the next request, and a request that is on its way was
signed with the old one. Only the keeper writes here; sessions, queues and faces read in place.
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from engine.kernel import Clock
from engine.model import Denial, denied
from engine.settings import Secret
from engine.venues.base import KeyPermissions

_WHOLE = 16  # keys at least so long are shown by four characters of each end, others by less


class KeyPair(msgspec.Struct, frozen=True):
    """Credentials of one account; prints without its secret."""

    key: str
    secret: Secret

    def reveal_secret(self) -> str:
        return self.secret.reveal()

    def __repr__(self) -> str:
        return f"KeyPair({shortened(self.key)})"


class Kept(StrEnum):
    """What a place does when its content is replaced while the node runs."""

    CHANGES = "changes"  # a file: what is in it now is read
    AT_START = "at_start"  # handed over when the process starts: its environment, systemd's credentials
    NOWHERE = "nowhere"  # the configuration has it in plain text, or the simulated venue gave it


def shortened(key: str) -> str:
    """Enough of a key to tell it from another."""
    if len(key) >= _WHOLE:
        return f"{key[:4]}…{key[-4:]}"
    return f"{key[:2]}…" if len(key) >= _WHOLE // 2 else "…"


def kept(references: tuple[str, ...]) -> Kept:
    """Of a pair that is kept at these places: one that changes is enough."""
    if any(reference.startswith("file:") for reference in references):
        return Kept.CHANGES
    at_start = any(reference.startswith(("env:", "systemd:")) for reference in references)
    return Kept.AT_START if at_start else Kept.NOWHERE


class HeldKeys:
    """The pair in use of one account, and what is known of it. Serves as `engine.venues.base.Credentials`.

    `read_again` reads the pair from its places, and raises `SecretUnavailable`; None where it has none. `references` are the
    places' names. Times are of our wall clock, 0 for never.
    """

    def __init__(
        self,
        account: str,
        pair: KeyPair,
        clock: Clock,
        *,
        references: tuple[str, ...] = (),
        read_again: Callable[[], KeyPair] | None = None,
    ) -> None:
        self.account = account
        self.references = references
        self.read_again = read_again
        self.pair = pair
        self.generation = 0  # how often it was replaced
        self.replaced_ms = 0
        self.used_ms = 0
        self.refused_ms = 0
        self.refusal = ""  # the venue's words, until it is known to accept the pair
        self.permissions: KeyPermissions | None = None  # as the venue last said of this pair
        self.checked_ms = 0
        self.unanswered = ""  # why the venue did not say
        self._clock = clock

    @property
    def key(self) -> str:
        return self.pair.key

    def reveal_secret(self) -> str:
        """For signing, which is what "used" means."""
        self.used_ms = self._clock.wall_ms()
        return self.pair.reveal_secret()

    @property
    def kept(self) -> Kept:
        return Kept.NOWHERE if self.read_again is None else kept(self.references)

    @property
    def play_money(self) -> bool:
        """Whether the simulated venue handed it out."""
        return not self.references

    @property
    def may_trade(self) -> bool:
        """False only when the venue said so."""
        return self.permissions is None or self.permissions.trade is not False

    def deny(self, order_type: str) -> Denial | None:
        """Why no order may leave with this pair."""
        if self.may_trade:
            return None
        wanted = "a key pair that may trade; give it the right at the venue, or replace it and reload the credentials"
        return denied("KEY_CANNOT_TRADE", "account", wanted, f"{order_type} with a pair that may not")

    def replace(self, pair: KeyPair) -> None:
        """Sign with `pair` from now on; what was known of the old one is forgotten."""
        self.pair = pair
        self.generation += 1
        self.replaced_ms = self._clock.wall_ms()
        self.permissions, self.checked_ms, self.unanswered = None, 0, ""
        self.refusal = ""

    def refused(self, words: str) -> None:
        self.refusal = words
        self.refused_ms = self._clock.wall_ms()

    def learned(self, permissions: KeyPermissions) -> None:
        """The venue said what the pair may do, so it accepts it."""
        self.permissions = permissions
        self.checked_ms = self._clock.wall_ms()
        self.refusal = self.unanswered = ""
