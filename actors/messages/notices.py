"""Telling people."""

from typing import ClassVar

from engine.kernel import (
    Message,
    Overflow,
    WhileDown,
)
from engine.model import (
    Notice,
)


class Notify(Message, frozen=True):
    """Tell people. Stored first when it matters (`ERROR` and above)."""

    overflow: ClassVar[Overflow] = Overflow.DROP_OLDEST
    while_down: ClassVar[WhileDown] = WhileDown.HOLD
    notice: Notice
