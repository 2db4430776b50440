"""What a stream and its feeds say to each other."""

from collections.abc import Sequence
from typing import ClassVar

from engine.kernel import Lane, Message, Overflow


class Frames(Message, frozen=True):
    """Raw frames of one symbol in the order they came, all received at `at_s` (monotonic) on the connection made at `since_s`."""

    prompt: ClassVar[bool] = True
    since_s: float
    at_s: float
    frames: Sequence[bytes]


class StreamChanged(Message, frozen=True):
    """The connection made at `at_s` brings everything that was asked for (`up`), or is gone since then."""

    lane: ClassVar[Lane] = Lane.CONTROL
    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    up: bool
    at_s: float
    reason: str = ""


class FramesLost(Message, frozen=True):
    """The feed's mailbox was full: what came meanwhile is gone and its book must start again."""

    lane: ClassVar[Lane] = Lane.CONTROL
    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class ChannelRefused(Message, frozen=True):
    """The venue does not send one of the symbol's channels."""

    lane: ClassVar[Lane] = Lane.CONTROL
    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    channel: str

    def conflation_key(self) -> str:
        return self.channel


class Resnapshot(Message, frozen=True):
    """A feed lost its place: have the venue send this symbol's book from the start."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    symbol: str

    def conflation_key(self) -> str:
        return self.symbol


class Resubscribe(Message, frozen=True):
    """A feed misses a whole class of data: ask for everything of this symbol again."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    symbol: str

    def conflation_key(self) -> str:
        return self.symbol


class Pulse:
    """When a connection last brought data of any symbol. Written by its stream, read by the feeds it serves."""

    __slots__ = ("heard_s",)

    def __init__(self) -> None:
        self.heard_s = float("-inf")
