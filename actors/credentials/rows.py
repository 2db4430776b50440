"""An account's keys as people see them. Nothing here can be used to sign."""

import msgspec

from actors.credentials.pairs import HeldKeys, Kept, shortened
from actors.credentials.rights import findings
from engine.settings import HIDDEN

HANDED_OUT = "the simulated venue"


class CredentialRow(msgspec.Struct, frozen=True):
    """`key` is shortened. `read`, `trade`, `withdraw`: as the venue last said, None where it did not. Times are None for never.

    `refused`: the venue does not accept the pair in use. `problem` is what a person must see to, empty when there is nothing.
    """

    account: str
    key: str
    kept: tuple[str, ...]
    replaceable: bool  # while the node runs
    read: bool | None
    trade: bool | None
    withdraw: bool | None
    said: str
    checked_at_ms: int | None
    used_at_ms: int | None
    refused_at_ms: int | None
    replaced_at_ms: int | None
    refused: bool
    problem: str


def row_of(held: HeldKeys) -> CredentialRow:
    said = held.permissions
    return CredentialRow(
        account=held.account,
        key=shortened(held.key),
        kept=_places(held.references),
        replaceable=held.kept is Kept.CHANGES,
        read=said.read if said else None,
        trade=said.trade if said else None,
        withdraw=said.withdraw if said else None,
        said=said.text if said else "",
        checked_at_ms=held.checked_ms or None,
        used_at_ms=held.used_ms or None,
        refused_at_ms=held.refused_ms or None,
        replaced_at_ms=held.replaced_ms or None,
        refused=bool(held.refusal),
        problem=_problem(held),
    )


def _places(references: tuple[str, ...]) -> tuple[str, ...]:
    if not references:
        return (HANDED_OUT,)
    return tuple(dict.fromkeys("the configuration" if place == HIDDEN else place for place in references))


def _problem(held: HeldKeys) -> str:
    if held.refusal:
        return f"the venue does not accept the key pair: {held.refusal}"
    found = "; ".join(finding.text for finding in findings(held.permissions, play_money=held.play_money))
    if not found and held.permissions is None and held.unanswered:
        return f"what the key pair may do is not known: {held.unanswered}"
    return found
