"""Orders that depend on each other: what a fill or an end of one means for the others."""

from actors.orders.changing import Changing
from engine.model import Order


class Linking(Changing):
    """What is due follows from the stored orders alone, so it is done again after a crash and changes nothing then."""

    def _durable(self, order: Order) -> None:
        """`order` is on disk as it is now."""

    def _recover_links(self) -> None:
        """Every order that is not over is in memory: do what was due when the last incarnation ended."""
