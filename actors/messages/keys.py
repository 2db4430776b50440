"""Keys: what the session finds out about them, what their keeper is asked, and whom it tells."""

from enum import StrEnum
from typing import ClassVar

import msgspec

from engine.kernel import Message, Overflow, Request, WhileDown
from engine.venues.base import KeyPermissions


class KeyRefused(Message, frozen=True):
    """The venue did not accept an account's credentials."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    account: str
    words: str

    def conflation_key(self) -> str:
        return self.account


class KeyReplaced(Message, frozen=True):
    """The account signs with another pair now: what the venue had against the old one is over, and connections that were opened
    with it are to be opened anew."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    while_down: ClassVar[WhileDown] = WhileDown.HOLD
    account: str


class ReloadOutcome(StrEnum):
    REPLACED = "replaced"
    UNCHANGED = "unchanged"  # the place holds the pair that is in use
    FIXED = "fixed"  # where it is kept it cannot change under a running process
    UNREADABLE = "unreadable"
    REFUSED = "refused"  # the venue does not accept the new pair
    UNANSWERED = "unanswered"  # the venue did not say whether it does
    UNFIT = "unfit"  # accepted, and not fit for this account; the text says why


class Reloaded(msgspec.Struct, frozen=True):
    """What became of one account's pair. Unless `outcome` is `replaced` the pair in use is the one from before."""

    account: str
    outcome: ReloadOutcome
    text: str
    key: str  # of the pair in use, shortened


class ReloadKeys(Request[tuple[Reloaded, ...]], frozen=True):
    """Read the pairs of these accounts again, and use what is new and good. `trust`: also one whose account does not look like
    the one that was traded until now."""

    accounts: tuple[str, ...]
    trust: bool = False


class ReadKeysAgain(Message, frozen=True):
    """`ReloadKeys` for all accounts, and nobody waits for it."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Checked(msgspec.Struct, frozen=True):
    """What the venue says of the pair in use; without permissions, why not."""

    account: str
    permissions: KeyPermissions | None
    problem: str = ""


class CheckKeys(Request[tuple[Checked, ...]], frozen=True):
    """Ask the venue what the pairs of these accounts may do."""

    accounts: tuple[str, ...]
