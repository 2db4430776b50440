"""Which messages of a stream were heard already: a second copy is no disorder.

While one connection replaces another both bring everything, the later one a little behind. Most of what it brings is
older than what is shown, and all of it is known. What is older and not known was overtaken on its way.
"""

from struct import Struct

from engine.model import DataClass, MarketState

COUNTS_ANEW_MS = 5_000  # a message this much later whose number is lower: the venue has begun to count again

_RECENT = 24  # two seconds of the fastest stream: further behind nobody comes
_RING = Struct(f"{_RECENT}q")
_NUMBER = Struct("q")
_NOBODY = -1


class Heard:
    """The newest messages of one stream, by number or stamp; `note` one that was used.

    Kept as packed bytes: of thousands of streams, objects would be a fourth of all that their feeds hold.
    """

    __slots__ = ("_at", "_data_class", "_recent")

    def __init__(self, data_class: DataClass) -> None:
        self._data_class = data_class
        self._recent = bytearray(_RING.pack(*[_NOBODY] * _RECENT))
        self._at = 0

    def note(self, number: int) -> None:
        _NUMBER.pack_into(self._recent, self._at, number)
        self._at = (self._at + _NUMBER.size) % _RING.size

    def old(self, number: int, state: MarketState) -> None:
        """Count a message that changed nothing, for it was not the newest."""
        quality = state.quality[self._data_class]
        if number in _RING.unpack(self._recent):
            quality.duplicates += 1
        else:
            quality.out_of_order += 1
            self.note(number)
