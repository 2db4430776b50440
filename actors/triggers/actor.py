"""The actor that watches."""

from actors.triggers.desk import TriggersDesk
from engine.kernel import Actor


class Triggers(Actor):
    """See the package's page."""

    mailbox_capacity = 10_000

    def __init__(self, desk: TriggersDesk) -> None:
        super().__init__()
        self._desk = desk
