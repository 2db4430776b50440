"""The actor that executes plans."""

from actors.execution.desk import ExecutionDesk
from engine.kernel import Actor


class Execution(Actor):
    """See the package's page."""

    mailbox_capacity = 10_000

    def __init__(self, desk: ExecutionDesk) -> None:
        super().__init__()
        self._desk = desk
