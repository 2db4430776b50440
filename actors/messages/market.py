"""That a market moved."""

from typing import ClassVar

from engine.kernel import (
    Message,
    Overflow,
    Ref,
)
from engine.venues.base import Applied


class WatchMarket(Message, frozen=True):
    """Tell `watcher` `MarketChanged` whenever one of `wanted` changes.

    Repeating it changes what is wanted; `NOTHING` ends it.
    """

    watcher: Ref
    wanted: Applied


class MarketChanged(Message, frozen=True):
    """Something moved; the data is in the `MarketState`. Of each kind of change only the newest one waits in a mailbox."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    instrument: str
    applied: Applied

    def conflation_key(self) -> tuple[str, Applied]:
        return self.instrument, self.applied
