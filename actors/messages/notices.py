"""Telling people."""

from typing import ClassVar

from engine.kernel import Context, Message, Overflow, WhileDown
from engine.model import Notice, Severity


class Notify(Message, frozen=True):
    """Tell people. Stored first when it matters (`ERROR` and above)."""

    overflow: ClassVar[Overflow] = Overflow.DROP_OLDEST
    while_down: ClassVar[WhileDown] = WhileDown.HOLD
    notice: Notice


def notice_by(ctx: Context, severity: Severity, kind: str, text: str, *, order_id: str = "") -> Notice:
    """What an actor has to say to people, now."""
    return Notice(
        notice_id=ctx.entropy.token(12),
        at_ms=ctx.clock.wall_ms(),
        severity=severity,
        kind=kind,
        text=text,
        actor=ctx.path,
        order_id=order_id,
    )
