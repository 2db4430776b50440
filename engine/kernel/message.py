"""What actors say to each other, and what each class of message is worth when there is no room or no receiver."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

R = TypeVar("R")


class Lane(enum.Enum):
    """Everything waiting in CONTROL is handled before anything in USER."""

    CONTROL = "control"
    USER = "user"


class Overflow(enum.Enum):
    """What happens when the receiver's mailbox is full."""

    REJECT = "reject"  # the sender gets MailboxFull
    CONFLATE = "conflate"  # the newest value replaces the waiting one of the same key, in its old place
    DROP_OLDEST = "drop_oldest"  # the oldest waiting droppable message makes room, counted
    FAIL = "fail"  # loud: the receiver crashes under its supervisor, the message becomes a dead letter


class WhileDown(enum.Enum):
    """What happens while nobody runs at the address."""

    HOLD = "hold"  # kept in order for the next incarnation
    REFUSE = "refuse"  # the sender gets ActorDown at once


class Message(msgspec.Struct, frozen=True):
    """Base of everything told to an actor. Subclass with `frozen=True` and set the class variables."""

    lane: ClassVar[Lane] = Lane.USER
    overflow: ClassVar[Overflow] = Overflow.REJECT
    while_down: ClassVar[WhileDown] = WhileDown.HOLD
    prompt: ClassVar[bool] = False  # handled on the teller's turn if the receiver is idle and its handler plain

    def conflation_key(self) -> Hashable:
        """What the value is about; asked only of CONFLATE messages."""
        return type(self)


class Request(Message, Generic[R], frozen=True):
    """Something that is called; `R` is the type of the reply."""

    while_down: ClassVar[WhileDown] = WhileDown.REFUSE


class Down(Message, frozen=True):
    """A watched actor's incarnation ended. One that is older than the incarnation you know of is stale."""

    path: str
    incarnation: int
    reason: str

    lane: ClassVar[Lane] = Lane.CONTROL
    overflow: ClassVar[Overflow] = Overflow.CONFLATE

    def conflation_key(self) -> Hashable:
        return (Down, self.path)


class Policy(NamedTuple):
    """A message class's rules, looked up once per class instead of once per message."""

    control: bool
    overflow: Overflow
    refuse_while_down: bool


_policies: dict[type, Policy] = {}

#: Classes that need nothing but an append while there is room: user lane, held while down, not conflated.
PLAIN: set[type] = set()

#: Those of PLAIN that need not even wait for the receiver's turn.
PROMPT: set[type] = set()


def policy_of(cls: type[Any]) -> Policy:
    """The rules of a message class. Raises TypeError for what is not a Message, or is one whose rules do not fit together."""
    policy = _policies.get(cls)
    return policy if policy is not None else _learn(cls)


def _learn(cls: type[Any]) -> Policy:
    if not issubclass(cls, Message):
        raise TypeError(f"actors are sent subclasses of engine.kernel.Message, got {cls.__qualname__}")
    policy = Policy(cls.lane is Lane.CONTROL, cls.overflow, cls.while_down is WhileDown.REFUSE)
    plain = not policy.control and not policy.refuse_while_down and policy.overflow is not Overflow.CONFLATE
    if cls.prompt and not plain:
        raise TypeError(f"{cls.__qualname__}: prompt expects Lane.USER, WhileDown.HOLD and no Overflow.CONFLATE")
    _policies[cls] = policy
    if plain:
        PLAIN.add(cls)
    if cls.prompt:
        PROMPT.add(cls)
    return policy
