"""Orders that depend on each other: one cancels the other, one triggers the others.

The node keeps these promises itself, whatever the venue: each order carries all that is needed to keep them, so what is
due can be told from the stored orders alone, after any crash.
"""

from enum import StrEnum

import msgspec

from engine.model.terms import TriggerFill


class LinkKind(StrEnum):
    """The usual kinds. A bracket is an OTOCO: an entry, and exits of which one cancels the other."""

    OCO = "one_cancels_other"
    OTO = "one_triggers_other"
    OTOCO = "one_triggers_one_cancels_other"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """How one order depends on others.

    `after`: the order whose fills release this one, empty once it is released or if it depends on none. `entry`: the same,
    kept. `rivals`: of these and this one, the first that is filled (as `cancels_at` says) ends the others.
    """

    group: str
    kind: LinkKind
    after: str = ""
    entry: str = ""
    releases_at: TriggerFill = TriggerFill.INCREMENTAL
    rivals: tuple[str, ...] = ()
    cancels_at: TriggerFill = TriggerFill.FIRST_HIT
