"""An account's key pair while the node runs: held in one place, looked after, replaced without a restart."""

from actors.credentials.keeper import KeysDesk, KeysSettings, keeper_spec
from actors.credentials.likeness import Sight, unlike
from actors.credentials.pairs import HeldKeys, Kept, KeyPair, shortened
from actors.credentials.rights import Finding, findings
from actors.credentials.rows import HANDED_OUT, CredentialRow, row_of
from actors.credentials.trial import Trial, try_out

__all__ = [
    "HANDED_OUT",
    "CredentialRow",
    "Finding",
    "HeldKeys",
    "Kept",
    "KeyPair",
    "KeysDesk",
    "KeysSettings",
    "Sight",
    "Trial",
    "findings",
    "keeper_spec",
    "shortened",
    "row_of",
    "try_out",
    "unlike",
]
