"""Which messages of a stream were heard already: a second copy is no disorder.

While one connection replaces another both bring everything, the later one a little behind. Most of what it brings is
older than what is shown, and all of it is known. What is older and not known was overtaken on its way.
"""

from collections import deque

from engine.model import DataClass, MarketState

COUNTS_ANEW_MS = 5_000  # a message this much later whose number is lower: the venue has begun to count again

_RECENT = 24  # two seconds of the fastest stream: further behind nobody comes


class Heard:
    """The newest messages of one stream, by number or stamp; `note` one that was used."""

    __slots__ = ("_data_class", "_recent", "note")

    def __init__(self, data_class: DataClass) -> None:
        self._data_class = data_class
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self.note = self._recent.append

    def old(self, number: int, state: MarketState) -> None:
        """Count a message that changed nothing, for it was not the newest."""
        quality = state.quality[self._data_class]
        if number in self._recent:
            quality.duplicates += 1
        else:
            quality.out_of_order += 1
            self.note(number)
